"""Catalog in the bot's own database. Knows the store only through `EntityStore`; holds no state of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from pydantic import BaseModel, ConfigDict

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError
from integrations.ports import Entity, EntityStore, Finding, Surroundings

PORT: Final = "catalog"
BACKEND: Final = "local catalog"
SEARCH_LIMIT: Final = 100


class Settings(BaseModel):
    """The `catalog` section of platform.yml: nothing to set."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LocalCatalog:
    """Implements `integrations.ports.Catalog`."""

    def __init__(self, store: EntityStore) -> None:
        self._store = store
        # Reading who owns a name and writing the entity are two calls of the store.
        self._writing = asyncio.Lock()

    async def check(self) -> Sequence[Finding]:
        try:
            await self.search("", limit=1)
        except BackendError as error:
            return [
                Finding("catalog", ok=False, detail=error.message, fix="Check DATABASE_URL and the database.")
            ]
        return [Finding("catalog", ok=True, detail="kept in the bot's database")]

    async def ensure_entity(self, entity: Entity, *, request_id: str) -> Entity:
        wanted = replace(entity, request_id=request_id)
        async with self._writing:
            standing = await self.find_entity(entity.name)
            if standing == wanted:
                return standing
            if standing is not None and standing.request_id != request_id:
                raise PermanentBackendError(
                    f"The catalog has an entity named {entity.name} already; its owner is {standing.owner}.",
                    backend=BACKEND,
                    kind=BackendErrorKind.ALREADY_EXISTS,
                )
            await self._store.put_entity(wanted)
        return wanted

    async def find_entity(self, name: str) -> Entity | None:
        return await self._store.find_entity(name)

    async def search(self, text: str, *, limit: int = 20) -> Sequence[Entity]:
        return await self._store.search_entities(text.strip(), limit=max(1, min(limit, SEARCH_LIMIT)))

    async def remove_entity(self, name: str, *, request_id: str) -> None:
        async with self._writing:
            standing = await self.find_entity(name)
            if standing is not None and standing.request_id == request_id:
                await self._store.delete_entity(name)


@asynccontextmanager
async def open(settings: Settings, surroundings: Surroundings) -> AsyncIterator[LocalCatalog]:  # noqa: A001, ARG001 - the port's word
    yield LocalCatalog(surroundings.entities)
