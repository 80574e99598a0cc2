"""Which request put which file into Backstage, noted before it happens. Knows the store only through `EntityStore`.

A location in Backstage has room for a URL and nothing else, so the request's id cannot travel with it. The note is written
before the location is registered: an answer that is lost afterwards leaves the note, and the undo knows what it may take back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from integrations.ports import Entity, EntityStore

_REGISTERED: Final = "Backstage location"
_FOUND: Final = "Backstage file"


@dataclass(frozen=True)
class Registration:
    """`ours`: the bot registered `target`; False where it stood in the catalog already (discovery, a person)."""

    request_id: str
    target: str
    ours: bool


class Registrations:
    def __init__(self, store: EntityStore) -> None:
        self._store = store

    async def find(self, name: str) -> Registration | None:
        entity = await self._store.find_entity(name)
        if entity is None or entity.request_id is None:
            return None
        for key, ours in ((_REGISTERED, True), (_FOUND, False)):
            if target := entity.links.get(key):
                return Registration(entity.request_id, target, ours)
        # A row that the local catalog left: it says nothing of Backstage.
        return None

    async def note(self, entity: Entity, registration: Registration) -> None:
        key = _REGISTERED if registration.ours else _FOUND
        links = {**entity.links, key: registration.target}
        await self._store.put_entity(replace(entity, links=links, request_id=registration.request_id))

    async def forget(self, name: str) -> None:
        await self._store.delete_entity(name)
