"""What GitHub does for a move of a release: `_forge_release` decides, this asks.

Branch and tag move in one GraphQL mutation, the only call of GitHub's that compares before it swaps.
"""

from __future__ import annotations

from bot.errors import BackendError
from integrations import _forge_release
from integrations._forge_refusals import Refusals
from integrations._forge_release import NewCommit, Tip
from integrations._github_api import Api, RefMove
from integrations._github_errors import REFUSALS, not_moved
from integrations._github_git import NO_COMMIT, Commits
from integrations._github_shapes import GitCommitAnswer, RepositoryAnswer
from integrations.ports import ReleaseRef


class Releases:
    def __init__(self, api: Api, commits: Commits) -> None:
        self._api = api
        self._commits = commits

    async def find(self, repository: RepositoryAnswer, ref: str) -> ReleaseRef | None:
        return await _forge_release.find_release(self._history(repository), ref)

    async def move(
        self, repository: RepositoryAnswer, ref: str, *, revision: str, expected: str | None, request_id: str
    ) -> ReleaseRef:
        return await _forge_release.move_release(
            self._history(repository), ref, revision=revision, expected=expected, request_id=request_id
        )

    def _history(self, repository: RepositoryAnswer) -> RepositoryHistory:
        return RepositoryHistory(self._api, self._commits, repository)


class RepositoryHistory:
    """Implements `integrations._forge_release.History` for one repository."""

    def __init__(self, api: Api, commits: Commits, repository: RepositoryAnswer) -> None:
        self._api = api
        self._commits = commits
        self._repository = repository

    @property
    def name(self) -> str:
        return self._repository.name

    @property
    def refusals(self) -> Refusals:
        return REFUSALS

    async def branch(self, ref: str) -> Tip | None:
        sha = await self._api.find_ref(self._repository.path, f"heads/{ref}")
        return None if sha is None else _tip(await self._commits.read(self._repository, sha))

    async def tag(self, tag: str) -> str | None:
        return await self._api.find_ref(self._repository.path, f"tags/{tag}")

    async def commit(self, sha: str) -> Tip | None:
        path = f"{self._repository.path}/git/commits/{sha}"
        found = await self._api.find(path, GitCommitAnswer, missing=NO_COMMIT)
        return None if found is None else _tip(found)

    async def need(self, revision: str) -> None:
        await self._commits.need(self._repository, revision)

    async def is_ancestor(self, older: str, newer: str) -> bool:
        return await self._commits.is_ancestor(self._repository, older, newer)

    async def move(self, ref: str, *, tag: str, before: str | None, after: str | NewCommit) -> str | None:
        if isinstance(after, NewCommit):
            after = await self._commits.write(
                self._repository, tree=after.tree, message=after.message, parents=after.parents
            )
        moves = [RefMove(f"refs/heads/{ref}", before, after), RefMove(f"refs/tags/{tag}", None, after)]
        return await self._api.move_refs(self._repository.node_id, moves)

    def not_moved(self, ref: str, reason: str | None) -> BackendError:
        return not_moved(f"{ref} of {self.name}", reason)

    def web_url(self, sha: str) -> str:
        return f"{self._repository.html_url}/commits/{sha}"


def _tip(answer: GitCommitAnswer) -> Tip:
    return Tip(answer.sha, answer.tree.sha, answer.message)
