"""What one revision has that another has not. Commits are what `head` reaches and `base` does not; files are tree against tree.

Gitea's own compare starts at the merge base, tells no status and lists no files of its own; counts in both directions do.
"""

from __future__ import annotations

import asyncio

from bot.errors import BackendErrorKind
from integrations._forge_trees import COMMIT_LIMIT, FILE_LIMIT, tree_difference
from integrations._gitea_api import Api
from integrations._gitea_errors import refuse
from integrations._gitea_git import Commits
from integrations._gitea_shapes import RepositoryAnswer, commit_of
from integrations.ports import Comparison, ComparisonStatus


async def compare(
    api: Api,
    commits: Commits,
    repository: RepositoryAnswer | None,
    *,
    name: str,
    base: str | None,
    head: str,
) -> Comparison:
    if repository is None:
        raise refuse(f"There is no repository named {name}.", BackendErrorKind.NOT_FOUND)
    newer = await commits.need(repository, head)
    older = None if base is None else await commits.need(repository, base)
    (listed, ahead), behind, after, before = await asyncio.gather(
        api.commits(repository, newer, without=older, limit=COMMIT_LIMIT),
        _behind(api, repository, older=older, newer=newer),
        commits.files(repository, newer),
        _files(commits, repository, older),
    )
    files = tree_difference(before, after)
    return Comparison(
        base=older,
        head=newer,
        status=status_of(ahead, behind),
        commits=tuple(commit_of(one) for one in listed),
        files=files[:FILE_LIMIT],
        truncated=ahead > COMMIT_LIMIT or len(files) > FILE_LIMIT,
    )


async def _behind(api: Api, repository: RepositoryAnswer, *, older: str | None, newer: str) -> int:
    return 0 if older is None else await api.count(repository, older, without=newer)


async def _files(commits: Commits, repository: RepositoryAnswer, sha: str | None) -> dict[str, str]:
    return {} if sha is None else await commits.files(repository, sha)


def status_of(ahead: int, behind: int) -> ComparisonStatus:
    """Commits that only head has, and that only base has."""
    if ahead and behind:
        return ComparisonStatus.DIVERGED
    if ahead:
        return ComparisonStatus.AHEAD
    return ComparisonStatus.BEHIND if behind else ComparisonStatus.IDENTICAL
