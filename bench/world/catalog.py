# ruff: noqa: ARG002 - the ports name what these answers do not depend on.
"""A catalog for the bench: it holds what it is given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from bench.world.answering import Answering, Settings
from integrations.ports import Entity, Surroundings

PORT: Final = "catalog"
__all__ = ["PORT", "Settings", "open"]


class BenchCatalog(Answering):
    """Implements `integrations.ports.Catalog`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._entities: dict[str, Entity] = {}

    async def ensure_entity(self, entity: Entity, *, request_id: str) -> Entity:
        await self.asked()
        return self._entities.setdefault(entity.name, replace(entity, request_id=request_id))

    async def find_entity(self, name: str) -> Entity | None:
        await self.asked()
        return self._entities.get(name)

    async def search(self, text: str, *, limit: int = 20) -> Sequence[Entity]:
        await self.asked()
        return [one for one in self._entities.values() if text in one.name][:limit]

    async def remove_entity(self, name: str, *, request_id: str) -> None:
        await self.asked()
        self._entities.pop(name, None)


@asynccontextmanager
async def open(settings: Settings, _surroundings: Surroundings) -> AsyncIterator[BenchCatalog]:  # noqa: A001
    yield BenchCatalog(settings)
