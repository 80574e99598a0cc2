"""Commits of a repository on GitHub: found by name, written as a whole tree, compared.

GitHub shares objects between a repository and its forks: a hash that "exists" may have been pushed to somebody's fork. Only
what is on a branch of the repository itself counts as its commit.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from bot.errors import BackendErrorKind, PermanentBackendError
from integrations import _forge_names
from integrations._forge_api import ref_path
from integrations._git_format import parse_trailers, with_trailers
from integrations._github_api import Api, RefMove
from integrations._github_errors import REFUSALS, not_moved, not_ready, refuse
from integrations._github_shapes import (
    CommitAnswer,
    ComparisonAnswer,
    GitCommitAnswer,
    NamedAnswer,
    RepositoryAnswer,
    ShaAnswer,
    TreeAnswer,
    commit_of,
    commit_of_git,
    parse,
)
from integrations.ports import Commit, RenderedFile, RenderedTree

INLINE_BYTES: Final = 100 * 1024
"""Larger files, and what is not text, go up as blobs."""
REQUEST_BYTES: Final = 2 * 1024 * 1024
REQUEST_ENTRIES: Final = 400
NO_COMMIT: Final = frozenset({404, 409, 422})
COMPARE_SECONDS: Final = 30.0


class Commits:
    def __init__(self, api: Api, *, release_branch: str) -> None:
        self._api = api
        self._release_branch = release_branch

    # ------------------------------------------------------------ finding

    async def resolve(self, repository: RepositoryAnswer, revision: str) -> str | None:
        """`revision`: full or abbreviated hash, tag or branch. Raises PermanentBackendError(INVALID) when ambiguous."""
        return await _forge_names.resolve(
            revision,
            find_ref=partial(self._api.find_ref, repository.path),
            find_hash=partial(self._by_hash, repository),
            refusals=REFUSALS,
        )

    async def need(self, repository: RepositoryAnswer, revision: str) -> str:
        if (sha := await self.resolve(repository, revision)) is None:
            raise refuse(f"{repository.name} has no commit {revision!r}.", BackendErrorKind.NOT_FOUND)
        return sha

    async def find(self, repository: RepositoryAnswer, revision: str) -> Commit | None:
        sha = await self.resolve(repository, revision)
        return None if sha is None else commit_of_git(await self.read(repository, sha))

    async def read(self, repository: RepositoryAnswer, sha: str) -> GitCommitAnswer:
        return await self._api.get(f"{repository.path}/git/commits/{sha}", GitCommitAnswer)

    async def _by_hash(self, repository: RepositoryAnswer, start: str) -> str | None:
        path = f"{repository.path}/commits/{start}"
        try:
            found = await self._api.find(path, CommitAnswer, missing=NO_COMMIT, read_seconds=COMPARE_SECONDS)
        except PermanentBackendError as error:
            if error.kind is BackendErrorKind.NOT_FOUND:
                return None
            raise
        # A branch may be called deadbeef; then this is not the commit that was asked for.
        if found is None or not found.sha.startswith(start):
            return None
        return found.sha if await self._is_ours(repository, found.sha) else None

    async def _is_ours(self, repository: RepositoryAnswer, sha: str) -> bool:
        for branch in (repository.default_branch, self._release_branch):
            tip = await self._api.find_ref(repository.path, f"heads/{branch}")
            if tip is not None and await self.is_ancestor(repository, sha, tip):
                return True
        heads = await self._api.find(
            f"{repository.path}/commits/{sha}/branches-where-head", list[NamedAnswer], missing=NO_COMMIT
        )
        return bool(heads)

    async def is_ancestor(self, repository: RepositoryAnswer, older: str, newer: str) -> bool:
        if older == newer:
            return True
        # The files are on the first page only and are not wanted.
        few = {"per_page": "1", "page": "2"}
        shown = await self.compared(repository, older, newer, params=few)
        return shown.status in {"ahead", "identical"}

    async def compared(
        self, repository: RepositoryAnswer, base: str, head: str, *, params: Mapping[str, str] | None = None
    ) -> ComparisonAnswer:
        path = f"{repository.path}/compare/{ref_path(base)}...{ref_path(head)}"
        return await self._api.get(path, ComparisonAnswer, params=params, read_seconds=COMPARE_SECONDS)

    async def history(self, repository: RepositoryAnswer, sha: str, *, limit: int) -> list[Commit]:
        """Newest first; more than `limit` where there are more."""
        listed = await self._api.pages(
            f"{repository.path}/commits", CommitAnswer, params={"sha": sha}, limit=limit + 1
        )
        return [commit_of(one) for one in listed]

    async def whole_tree(self, repository: RepositoryAnswer, sha: str) -> TreeAnswer:
        tree = (await self.read(repository, sha)).tree.sha
        path = f"{repository.path}/git/trees/{tree}"
        return await self._api.get(path, TreeAnswer, params={"recursive": "1"}, read_seconds=COMPARE_SECONDS)

    # ------------------------------------------------------------ writing

    async def ensure_first(
        self, repository: RepositoryAnswer, tree: RenderedTree, *, message: str, request_id: str
    ) -> Commit:
        """On top of the commit GitHub itself makes; whatever else stands there is somebody's work and stays."""
        REFUSALS.check_request_id(request_id)
        if (found := await self._first(repository, request_id)) is not None:
            return found
        REFUSALS.check_tree(tree)
        start = await self._untouched(repository)
        text = with_trailers(message, Request_Id=request_id)
        sha = await self.write(
            repository, tree=await self._put_tree(repository, tree), message=text, parents=(start,)
        )
        ref = f"refs/heads/{repository.default_branch}"
        reason = await self._api.move_refs(repository.node_id, [RefMove(ref, start, sha)])
        tip = await self._api.find_ref(repository.path, f"heads/{repository.default_branch}")
        if tip == sha:
            return commit_of_git(await self.read(repository, sha))
        if (found := await self._first(repository, request_id)) is not None:
            return found
        if tip == start:
            raise not_moved(f"{repository.default_branch} of {repository.name}", reason)
        raise _somebody_elses(repository)

    async def _first(self, repository: RepositoryAnswer, request_id: str) -> Commit | None:
        if await self._api.find_ref(repository.path, f"heads/{repository.default_branch}") is None:
            return None
        oldest = await self._api.last_page(
            f"{repository.path}/commits", CommitAnswer, params={"sha": repository.default_branch}
        )
        for one in reversed(oldest):
            if parse_trailers(one.commit.message).get("Request-Id") == request_id:
                return commit_of(one)
        return None

    async def _untouched(self, repository: RepositoryAnswer) -> str:
        """GitHub's own first commit: a root with a README. It comes a moment after the repository."""
        tip = await self._api.find_ref(repository.path, f"heads/{repository.default_branch}")
        if tip is None:
            raise not_ready(f"{repository.name} is still empty.", retry_after=2.0)
        commit = await self.read(repository, tip)
        files = [one.path for one in (await self.whole_tree(repository, tip)).tree]
        if commit.parents or commit.message.strip() != "Initial commit" or files != ["README.md"]:
            raise _somebody_elses(repository)
        return tip

    async def write(
        self, repository: RepositoryAnswer, *, tree: str, message: str, parents: tuple[str, ...]
    ) -> str:
        """Without author and date, so that GitHub signs it for the App. One that no ref ever reaches is collected."""
        body = {"message": message, "tree": tree, "parents": list(parents)}
        answer = await self._api.write("POST", f"{repository.path}/git/commits", body, repeatable=True)
        return parse(answer, ShaAnswer).sha

    async def _put_tree(self, repository: RepositoryAnswer, tree: RenderedTree) -> str:
        entries = [await self._entry(repository, path, file) for path, file in sorted(tree.items())]
        sha: str | None = None
        for some in batches(entries):
            body: dict[str, Any] = {"tree": some} if sha is None else {"tree": some, "base_tree": sha}
            answer = await self._api.write("POST", f"{repository.path}/git/trees", body, repeatable=True)
            sha = parse(answer, ShaAnswer).sha
        if sha is None:
            raise refuse("A first commit needs at least one file.")
        return sha

    async def _entry(self, repository: RepositoryAnswer, path: str, file: RenderedFile) -> dict[str, str]:
        entry = {"path": path, "mode": "100755" if file.executable else "100644", "type": "blob"}
        if (text := inline_text(file.content)) is not None:
            return {**entry, "content": text}
        body = {"content": base64.b64encode(file.content).decode("ascii"), "encoding": "base64"}
        answer = await self._api.write("POST", f"{repository.path}/git/blobs", body, repeatable=True)
        return {**entry, "sha": parse(answer, ShaAnswer).sha}


def inline_text(content: bytes) -> str | None:
    """What may travel inside the tree without losing a byte; None for what needs a blob of its own."""
    if len(content) > INLINE_BYTES or b"\0" in content:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def batches(entries: list[dict[str, str]]) -> Iterator[list[dict[str, str]]]:
    """Requests of a size that GitHub takes."""
    some: list[dict[str, str]] = []
    size = 0
    for entry in entries:
        weight = sum(len(value) for value in entry.values())
        if some and (size + weight > REQUEST_BYTES or len(some) >= REQUEST_ENTRIES):
            yield some
            some, size = [], 0
        some.append(entry)
        size += weight
    if some:
        yield some


def _somebody_elses(repository: RepositoryAnswer) -> PermanentBackendError:
    return refuse(
        f"The repository {repository.name} has commits of somebody else.", BackendErrorKind.CONFLICT
    )
