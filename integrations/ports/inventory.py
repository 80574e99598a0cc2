"""What carries our mark out there: for finding what nobody knows of any more. An optional part of every backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Marked:
    """One thing that carries our mark. `kind` is the word of plans (repository, claim, application, catalog entry, …);
    `place` is where a person finds it: an address, or namespace and name."""

    kind: str
    name: str
    request_id: str
    environment: str = ""
    place: str = ""


@runtime_checkable
class Inventory(Protocol):
    """A backend that can list what it made for us."""

    async def list_marked(self) -> Sequence[Marked]:
        """Everything with our mark, whatever became of its request; what was undone by archiving is left out."""
        ...
