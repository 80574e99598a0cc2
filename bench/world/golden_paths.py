"""Golden paths for the bench: two files per service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from bench.world.answering import Answering, Settings, revision
from integrations.ports import GoldenPath, RenderedFile, RenderedTree, Surroundings

PORT: Final = "golden_paths"
__all__ = ["PORT", "Settings", "open"]


class BenchGoldenPaths(Answering):
    """Implements `integrations.ports.GoldenPaths`."""

    async def list_golden_paths(self) -> Sequence[GoldenPath]:
        return [await self.get_golden_path("python-service")]

    async def get_golden_path(self, name: str) -> GoldenPath:
        await self.asked()
        return GoldenPath(
            name=name,
            title="Python service",
            description="An HTTP service.",
            language="python",
            revision=revision(name),
            databases=("none",),
        )

    async def render(self, name: str, *, revision: str, answers: Mapping[str, str]) -> RenderedTree:
        await self.asked()
        said = f"{name} {revision} {sorted(answers.items())}\n"
        return {"README.md": RenderedFile(said.encode()), "app.py": RenderedFile(b"serve()\n")}


@asynccontextmanager
async def open(settings: Settings, _surroundings: Surroundings) -> AsyncIterator[BenchGoldenPaths]:  # noqa: A001
    yield BenchGoldenPaths(settings)
