"""What one revision has that another has not. Files are those of the two trees compared directly.

GitHub compares with the merge base instead: the same thing where `head` is ahead, the same thing backwards where it is behind.
Where both went their own way, the two trees are compared by hash: exact paths, no line counts.
"""

from __future__ import annotations

import asyncio

from bot.errors import BackendErrorKind
from integrations._forge_trees import COMMIT_LIMIT, FILE_LIMIT, tree_difference
from integrations._github_errors import refuse
from integrations._github_git import Commits
from integrations._github_shapes import (
    RepositoryAnswer,
    changed_files,
    commit_of,
    files_of,
    reversed_files,
    status_of,
)
from integrations.ports import ChangedFile, Comparison, ComparisonStatus


async def compare(
    commits: Commits, repository: RepositoryAnswer | None, *, name: str, base: str | None, head: str
) -> Comparison:
    if repository is None:
        raise refuse(f"There is no repository named {name}.", BackendErrorKind.NOT_FOUND)
    newer = await commits.need(repository, head)
    if base is None:
        return await _with_nothing(commits, repository, newer)
    older = await commits.need(repository, base)
    shown = await commits.compared(repository, older, newer)
    status = status_of(shown)
    files, cut = changed_files(shown.files), len(shown.files) >= FILE_LIMIT
    if status is ComparisonStatus.BEHIND:
        back = await commits.compared(repository, newer, older)
        files, cut = reversed_files(back.files), len(back.files) >= FILE_LIMIT
    elif status is ComparisonStatus.DIVERGED:
        files, cut = await _tree_by_tree(commits, repository, older, newer)
    return Comparison(
        base=older,
        head=newer,
        status=status,
        commits=tuple(commit_of(one) for one in reversed(shown.commits))[:COMMIT_LIMIT],
        files=files[:FILE_LIMIT],
        truncated=cut or shown.total_commits > COMMIT_LIMIT,
    )


async def _with_nothing(commits: Commits, repository: RepositoryAnswer, head: str) -> Comparison:
    listed = await commits.history(repository, head, limit=COMMIT_LIMIT)
    tree = await commits.whole_tree(repository, head)
    files = tree_difference({}, files_of(tree))
    return Comparison(
        base=None,
        head=head,
        status=ComparisonStatus.AHEAD,
        commits=tuple(listed[:COMMIT_LIMIT]),
        files=files[:FILE_LIMIT],
        truncated=len(listed) > COMMIT_LIMIT or len(files) > FILE_LIMIT or tree.truncated,
    )


async def _tree_by_tree(
    commits: Commits, repository: RepositoryAnswer, older: str, newer: str
) -> tuple[tuple[ChangedFile, ...], bool]:
    before, after = await asyncio.gather(
        commits.whole_tree(repository, older), commits.whole_tree(repository, newer)
    )
    files = tree_difference(files_of(before), files_of(after))
    return files, before.truncated or after.truncated or len(files) > FILE_LIMIT
