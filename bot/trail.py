"""The whole audit chain, page by page: walked, exported, verified. Constant memory, and no moment is held for longer than a page.

What a chain is, and what is wrong with one, is `bot.audit`'s to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncConnection

from bot import audit, queries, stored_chain
from bot.database import DamagedError
from bot.domain import AuditEvent
from bot.writer import translated

PAGES_AT_ONCE = 20
"""How many pages are checked for one visit to a thread."""
Read = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


async def walk(read: Read, *, after: int, batch: int) -> AsyncIterator[AuditEvent]:
    upto = (await _head(read)).sequence
    while after < upto:
        async with read() as connection:
            page = await queries.audit_page(connection, after=after, upto=upto, limit=batch)
        if not page:
            return
        for event in page:
            yield event
        after = page[-1].sequence


async def export(read: Read, *, after: int, batch: int) -> AsyncIterator[str]:
    async for event in walk(read, after=after, batch=batch):
        yield audit.line(event)


async def verify(read: Read, engine: Engine, *, batch: int) -> audit.Verification:
    """Against the head as it is when the check begins. A page that is not plainly right is looked at event by event."""
    head, verifier = await _head(read), audit.Verifier()
    try:
        await _follow(engine, verifier, upto=head.sequence, batch=batch)
    except DamagedError as error:
        verifier.break_off(
            f"it cannot be read, the database is damaged ({error.reason}); restore the last backup"
        )
    return verifier.close(head)


async def _follow(engine: Engine, verifier: audit.Verifier, *, upto: int, batch: int) -> None:
    while (known := verifier.head).sequence < upto:
        visit = min(known.sequence + PAGES_AT_ONCE * batch, upto)
        async with translated():
            reached = await asyncio.to_thread(stored_chain.follow, engine, known, upto=visit, batch=batch)
        verifier.go_on(reached)
        if reached.sequence < visit and not await _look_at(engine, verifier, upto=upto, batch=batch):
            return


async def _look_at(engine: Engine, verifier: audit.Verifier, *, upto: int, batch: int) -> bool:
    """The next events, one by one. False where one is not as written, or where there are no more."""
    after = verifier.head.sequence
    try:
        page = await _stored(engine, after=after, upto=upto, limit=batch)
    except DamagedError:
        # Those before the damage can still be read, if they are not asked for together with it.
        page = await _stored(engine, after=after, upto=upto, limit=1)
    return bool(page) and all(map(verifier.check_stored, page))


async def _stored(engine: Engine, *, after: int, upto: int, limit: int) -> list[audit.StoredEvent]:
    async with translated():
        return await asyncio.to_thread(stored_chain.page, engine, after=after, upto=upto, limit=limit)


async def _head(read: Read) -> audit.Head:
    async with read() as connection:
        return await queries.audit_head(connection)
