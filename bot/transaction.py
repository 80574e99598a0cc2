"""What every writing transaction shares: the writers' lock, the audit event, the dirty cards, the enqueued run.

It knows an open session and never commits: whoever opened the transaction does (the group writer, or the engine together
with its checkpoint).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Connection, Select, event, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from bot import audit
from bot.audit import Fact, Head
from bot.domain import JSON, OPEN_STATES, Request, RequestState
from bot.errors import NotFoundError
from bot.rows import from_event, to_request
from bot.tables import ApprovalRow, AuditEventRow, AuditHeadRow, CardRow, RequestRow, StepRow

HEAD_ID = 1
SYSTEM = "system"

Enqueue = Callable[[Connection, str, str], None]
"""Enqueue a run inside the caller's transaction: (connection, workflow id, request id)."""


@dataclass(frozen=True)
class Signals:
    """Wake-ups inside this process, set after a commit. Hints only: the rows say what there is to do."""

    dirty: asyncio.Event = field(default_factory=asyncio.Event)
    queued: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Transaction:
    """One writer's open transaction, holding the writers' lock."""

    session: AsyncSession
    now: datetime
    signals: Signals
    enqueue: Enqueue | None = None

    @classmethod
    async def join(
        cls, session: AsyncSession, now: datetime, *, signals: Signals, enqueue: Enqueue | None = None
    ) -> Self:
        """Take the writers' lock in an open transaction, before anything is read in it.

        One lock, taken first by everybody, means that what is read afterwards stays true until the commit, and that no two
        writers can wait for each other. SQLite holds it since BEGIN IMMEDIATE; PostgreSQL locks the chain's head.
        """
        await session.execute(_head_statement())
        return cls(session=session, now=now, signals=signals, enqueue=enqueue)

    async def request_row(self, request_id: str) -> RequestRow:
        row = await self.session.get(RequestRow, request_id)
        if row is None:
            raise no_request(request_id)
        return row

    async def request(self, row: RequestRow) -> Request:
        return (await load_requests(self.session, [row]))[0]

    async def change(
        self, row: RequestRow, state: RequestState | None = None, *, new_version: bool = True
    ) -> None:
        """Mark the request as changed, and its cards as dirty; a closed request no longer blocks another one."""
        if state is not None:
            row.state = state
            if state not in OPEN_STATES:
                row.active_key = None
        row.version += 1 if new_version else 0
        row.updated_at = self.now
        await self.dirty(row.id)

    async def dirty(self, request_id: str) -> None:
        """Every card of the request is to be rendered again."""
        await self.session.execute(
            update(CardRow)
            .where(col(CardRow.request_id) == request_id)
            .values(revision=col(CardRow.revision) + 1)
            .execution_options(synchronize_session=False)
        )
        self.after_commit(self.signals.dirty)

    async def record(self, fact: Fact, *, key: str | None = None) -> bool:
        """Append to the audit chain; False where `key` says that this fact is in it already."""
        if key is not None and await self.session.scalar(
            select(col(AuditEventRow.sequence)).where(col(AuditEventRow.key) == key)
        ):
            return False
        head = (await self.session.execute(_head_statement())).scalar_one()
        linked = audit.chain(fact, at=self.now, previous=Head(head.sequence, head.hash))
        self.session.add(from_event(linked, key=key))
        head.sequence, head.hash = linked.sequence, linked.hash
        return True

    async def record_for(
        self,
        row: RequestRow,
        event_name: str,
        *,
        actor: str,
        data: JSON | None = None,
        key: str | None = None,
    ) -> bool:
        """Append an event about a request; `key` is unique within the request."""
        fact = Fact(
            event=event_name,
            actor=actor,
            request_id=row.id,
            service=row.service,
            environment=row.environment,
            data=data,
        )
        return await self.record(fact, key=None if key is None else f"{row.id}:{key}")

    async def start_run(self, row: RequestRow, state: RequestState) -> None:
        """Put the next run of the request into the engine's queue, as part of this transaction."""
        row.run += 1
        row.due_at = None
        await self.change(row, state)
        if self.enqueue is not None:
            enqueue, workflow_id, request_id = self.enqueue, f"{row.id}.{row.run}", row.id
            connection = await self.session.connection()
            await connection.run_sync(lambda sync: enqueue(sync, workflow_id, request_id))
        self.after_commit(self.signals.queued)

    def after_commit(self, wake: asyncio.Event) -> None:
        """Set `wake` when the outermost transaction has ended; after a rollback that is a harmless false alarm."""
        registered: set[int] = self.session.info.setdefault("wakes", set())
        if id(wake) in registered:
            return
        registered.add(id(wake))

        def ended(_session: Any, transaction: Any) -> None:
            if transaction.parent is None:
                wake.set()

        event.listen(self.session.sync_session, "after_transaction_end", ended)


def _head_statement() -> Select[AuditHeadRow]:
    return select(AuditHeadRow).where(col(AuditHeadRow.id) == HEAD_ID).with_for_update()


def no_request(request_id: str) -> NotFoundError:
    return NotFoundError(
        f"There is no request {request_id}.", fix="`/platform requests` lists the ones there are."
    )


async def load_requests(session: AsyncSession, rows: Sequence[RequestRow]) -> list[Request]:
    """The requests with their approvals and steps: two more queries, however many requests there are."""
    if not rows:
        return []
    ids = [row.id for row in rows]
    approvals: dict[str, list[ApprovalRow]] = {one: [] for one in ids}
    for approval in await session.scalars(
        select(ApprovalRow).where(col(ApprovalRow.request_id).in_(ids)).order_by(col(ApprovalRow.id))
    ):
        approvals[approval.request_id].append(approval)
    steps: dict[str, list[StepRow]] = {one: [] for one in ids}
    for step in await session.scalars(
        select(StepRow).where(col(StepRow.request_id).in_(ids)).order_by(col(StepRow.position))
    ):
        steps[step.request_id].append(step)
    return [to_request(row, approvals[row.id], steps[row.id]) for row in rows]
