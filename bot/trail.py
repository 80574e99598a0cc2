"""The whole audit chain, page by page: walked, exported, verified. Constant memory, and no moment is held for longer than a page.

What a chain is, and what is wrong with one, is `bot.audit`'s to say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from bot import audit, queries
from bot.domain import AuditEvent

Read = Callable[[], AbstractAsyncContextManager[AsyncSession]]
E = TypeVar("E", AuditEvent, audit.StoredEvent)


class Ask(Protocol[E]):
    """One page of the chain, oldest first."""

    async def __call__(self, session: AsyncSession, *, after: int, upto: int, limit: int) -> list[E]: ...


async def walk(read: Read, *, after: int, batch: int) -> AsyncIterator[AuditEvent]:
    async for page in _pages(
        read, queries.audit_page, after=after, upto=(await _head(read)).sequence, batch=batch
    ):
        for event in page:
            yield event


async def export(read: Read, *, after: int, batch: int) -> AsyncIterator[str]:
    async for event in walk(read, after=after, batch=batch):
        yield audit.line(event)


async def verify(read: Read, *, batch: int) -> audit.Verification:
    """Against the head as it is when the check begins."""
    head, verifier = await _head(read), audit.Verifier()
    async for page in _pages(read, queries.stored_page, after=0, upto=head.sequence, batch=batch):
        if not all(map(verifier.check_stored, page)):
            break
    return verifier.close(head)


async def _head(read: Read) -> audit.Head:
    async with read() as session:
        return await queries.audit_head(session)


async def _pages(read: Read, ask: Ask[E], *, after: int, upto: int, batch: int) -> AsyncIterator[list[E]]:
    while after < upto:
        async with read() as session:
            page = await ask(session, after=after, upto=upto, limit=batch)
        if not page:
            return
        yield page
        after = page[-1].sequence
