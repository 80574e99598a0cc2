"""Undoing the creation of a repository on any forge: set aside under another name and archived, or deleted.

Only what carries the mark of the request is touched, at whatever step an earlier undo ended. Must not know a forge's calls.
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeVar

from bot.errors import BackendErrorKind
from integrations._forge_mark import undone_names
from integrations._forge_refusals import Refusals


class Found(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def archived(self) -> bool: ...

    @property
    def request_id(self) -> str | None: ...


Repository = TypeVar("Repository", bound=Found)


class Removal(Protocol[Repository]):
    """A forge, by what undoing needs of it."""

    @property
    def refusals(self) -> Refusals: ...

    async def at(self, name: str) -> Repository | None:
        """What answers to the name; after a rename that may be something of another name."""
        ...

    async def rename(self, repository: Repository, name: str) -> Repository: ...

    async def archive(self, repository: Repository) -> None: ...

    async def delete(self, repository: Repository) -> None: ...


async def undo_creation(
    forge: Removal[Repository], name: str, *, request_id: str, how: Literal["archive", "delete"]
) -> None:
    """Archived under another name, so that its own is free again; deleted where the settings say so."""
    aside = undone_names(forge.refusals.check_name(name), request_id)
    there = {place: await _ours_at(forge, place, request_id) for place in (name, *aside)}
    found = there.pop(name)
    for left in there.values():
        # Of an undo that did not come to its end, or of one that was retried and undone again.
        if left is not None:
            await (forge.delete(left) if how == "delete" else forge.archive(left))
    if found is None or (found.archived and how == "archive"):
        return
    if how == "delete":
        await forge.delete(found)
        return
    free = next((place for place, left in there.items() if left is None), None)
    if free is None:
        raise forge.refusals.refuse(
            f"{name} was undone {len(aside)} times for one request.",
            BackendErrorKind.CONFLICT,
            fix=f"Delete {aside[0]} and its like on {forge.refusals.backend}.",
        )
    await forge.archive(await forge.rename(found, free))


async def _ours_at(forge: Removal[Repository], place: str, request_id: str) -> Repository | None:
    """A redirect leads elsewhere; what carries another mark is somebody else's, and stays."""
    found = await forge.at(place)
    return found if found and found.name == place and found.request_id == request_id else None
