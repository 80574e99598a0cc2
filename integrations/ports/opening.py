"""How a backend is opened: what its module offers, and what it may use of the place it runs in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from integrations.ports.catalog import Entity


class EntityStore(Protocol):
    """Where a catalog without a server of its own keeps its entities: the bot's database, behind `bot.store`.

    Every method raises a BackendError where the database is away or damaged; anything else it raises is a mistake of ours.
    """

    async def put_entity(self, entity: Entity) -> None: ...

    async def find_entity(self, name: str) -> Entity | None: ...

    async def search_entities(self, text: str, *, limit: int) -> Sequence[Entity]: ...

    async def delete_entity(self, name: str) -> None: ...


@dataclass(frozen=True)
class Surroundings:
    """What a backend may use of the place it runs in. `secrets`: variable -> value, for the names its settings give."""

    state_folder: Path
    base_folder: Path
    """Folder of platform.yml: relative paths in settings start here."""
    entities: EntityStore
    secrets: Mapping[str, str]


class BackendModule(Protocol):
    """What a file in `integrations/` offers to `bot.registry`: one backend, named by the file.

    It may have a constant `NOT_WITH` besides: names of backends that it cannot work with -> what to choose instead, and why.
    """

    @property
    def PORT(self) -> str:  # noqa: N802 - a module's constant
        """golden_paths, code_host, infrastructure, delivery or catalog."""
        ...

    @property
    def Settings(self) -> type[BaseModel]:  # noqa: N802 - a module's class
        """The section of platform.yml, without `use:`."""
        ...

    def open(self, settings: Any, surroundings: Surroundings) -> AbstractAsyncContextManager[Any]: ...
