"""What exists and who owns it. Port name: `catalog`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from integrations.ports.backend import Backend


@dataclass(frozen=True)
class Entity:
    """A component of the software catalog. `owner` is the team's name."""

    name: str
    title: str
    description: str
    owner: str
    golden_path: str
    lifecycle: str = "production"
    links: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None


class Catalog(Backend, Protocol):
    """What exists and who owns it. Port name: `catalog`."""

    async def ensure_entity(self, entity: Entity, *, request_id: str) -> Entity: ...

    async def find_entity(self, name: str) -> Entity | None: ...

    async def search(self, text: str, *, limit: int = 20) -> Sequence[Entity]:
        """Case-insensitive over name, title, description and owner; empty text lists by name."""
        ...

    async def remove_entity(self, name: str, *, request_id: str) -> None: ...
