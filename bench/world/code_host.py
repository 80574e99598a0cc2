# ruff: noqa: ARG002 - the ports name what these answers do not depend on.
"""A code host for the bench: every repository is there and has one commit; release refs move where they are told to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from bench.world.answering import THE_DAY, Answering, Settings, revision
from integrations.ports import (
    ChangedFile,
    Commit,
    Comparison,
    ComparisonStatus,
    ReleaseRef,
    RenderedTree,
    Repository,
    Surroundings,
)

PORT: Final = "code_host"
__all__ = ["PORT", "Settings", "open"]


class BenchCodeHost(Answering):
    """Implements `integrations.ports.CodeHost`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._repositories: dict[str, Repository] = {}
        self._releases: dict[tuple[str, str], ReleaseRef] = {}

    async def find_repository(self, name: str) -> Repository | None:
        await self.asked()
        return self._repositories.get(name)

    async def ensure_repository(
        self, name: str, *, description: str, team: str, request_id: str
    ) -> Repository:
        await self.asked()
        url = f"https://git.example.com/{team}/{name}"
        made = Repository(name, f"{url}.git", url, "main", request_id)
        return self._repositories.setdefault(name, made)

    async def ensure_first_commit(
        self, name: str, tree: RenderedTree, *, message: str, request_id: str
    ) -> Commit:
        await self.asked()
        return self._commit(name, message)

    async def remove_repository(self, name: str, *, request_id: str) -> None:
        await self.asked()
        self._repositories.pop(name, None)

    async def find_commit(self, name: str, revision: str) -> Commit | None:
        await self.asked()
        return self._commit(name, f"The only commit, found as {revision}")

    async def compare(self, name: str, *, base: str | None, head: str) -> Comparison:
        await self.asked()
        commits = tuple(self._commit(name, f"Change {index}", str(index)) for index in range(3))
        files = tuple(ChangedFile(f"app/{index}.py", "modified", 3, 1) for index in range(4))
        return Comparison(base=base, head=head, status=ComparisonStatus.AHEAD, commits=commits, files=files)

    async def find_release(self, name: str, ref: str) -> ReleaseRef | None:
        await self.asked()
        return self._releases.get((name, ref))

    async def move_release(
        self, name: str, ref: str, *, revision: str, expected: str | None, request_id: str
    ) -> ReleaseRef:
        await self.asked()
        self._releases[name, ref] = ReleaseRef(ref, revision, revision)
        return self._releases[name, ref]

    def _commit(self, name: str, subject: str, *parts: str) -> Commit:
        return Commit(revision(name, *parts), subject, "Omar Osman", "omar@example.com", THE_DAY)


@asynccontextmanager
async def open(settings: Settings, _surroundings: Surroundings) -> AsyncIterator[BenchCodeHost]:  # noqa: A001
    yield BenchCodeHost(settings)
