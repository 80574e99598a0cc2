"""What every writing transaction shares: the writers' lock, the audit event, the dirty cards, the next run.

It knows an open session and never commits: the group writer does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Select, event, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from bot import audit
from bot.audit import Fact, Head
from bot.domain import JSON, OPEN_STATES, Request, RequestState, RunId
from bot.errors import NotFoundError
from bot.rows import from_event, to_request
from bot.tables import ApprovalRow, AuditEventRow, AuditHeadRow, CardRow, RequestRow, StepRow

HEAD_ID = 1
SYSTEM = "system"


@dataclass(frozen=True)
class Signals:
    """Wake-ups inside this process, set after a commit. Hints only: the rows say what there is to do."""

    dirty: asyncio.Event = field(default_factory=asyncio.Event)
    queued: asyncio.Queue[RunId] = field(default_factory=asyncio.Queue)
    """Runs to be started."""


@dataclass(frozen=True)
class Transaction:
    """One writer's open transaction, holding the writers' lock."""

    session: AsyncSession
    now: datetime
    signals: Signals
    head: AuditHeadRow
    marked: set[str] = field(default_factory=set)
    """Requests whose cards are dirty by this transaction already."""
    keys: set[str] = field(default_factory=set)
    """Of the events that this transaction has appended."""
    kept: list[object] = field(default_factory=list)
    """Rows that were read: the session forgets what nobody holds, and would read it again."""

    @classmethod
    async def join(cls, session: AsyncSession, now: datetime, *, signals: Signals) -> Self:
        """Take the writers' lock in an open transaction, before anything is read in it.

        One lock, taken first by everybody, means that what is read afterwards stays true until the commit, and that no two
        writers can wait for each other. SQLite holds it since BEGIN IMMEDIATE; PostgreSQL locks the chain's head.
        """
        head = (await session.execute(_head_statement())).scalar_one()
        return cls(session=session, now=now, signals=signals, head=head)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What fails inside is taken back alone, and the transaction can go on."""
        marked, keys = set(self.marked), set(self.keys)
        try:
            async with self.session.begin_nested():
                yield
        except Exception:
            self.marked.intersection_update(marked)
            self.keys.intersection_update(keys)
            await self.session.refresh(self.head)
            raise

    async def request_row(self, request_id: str) -> RequestRow:
        row = await self.session.get(RequestRow, request_id)
        if row is None:
            raise no_request(request_id)
        self.kept.append(row)
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
        if request_id in self.marked:
            return
        self.marked.add(request_id)
        # A card that this transaction adds is dirty by itself, so nothing needs to be flushed first.
        with self.session.no_autoflush:
            await self.session.execute(
                update(CardRow)
                .where(col(CardRow.request_id) == request_id)
                .values(revision=col(CardRow.revision) + 1)
                .execution_options(synchronize_session=False)
            )
        self.after_commit("dirty", self.signals.dirty.set)

    async def record(self, fact: Fact, *, key: str | None = None) -> bool:
        """Append to the audit chain; False where `key` says that this fact is in it already."""
        if key is not None and await self._recorded(key):
            return False
        linked = audit.chain(fact, at=self.now, previous=Head(self.head.sequence, self.head.hash))
        self.session.add(from_event(linked, key=key))
        self.head.sequence, self.head.hash = linked.sequence, linked.hash
        return True

    async def _recorded(self, key: str) -> bool:
        """Whether it is in the chain already, by this transaction or before; of what is pending only events could say so."""
        if key in self.keys:
            return True
        self.keys.add(key)
        with self.session.no_autoflush:
            found = await self.session.scalar(
                select(col(AuditEventRow.sequence)).where(col(AuditEventRow.key) == key)
            )
        return found is not None

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
        """The request has another run to make from this commit on; the engine is told, and finds it by itself if it was not."""
        row.run += 1
        row.replica, row.deaths = "", 0
        row.due_at = None
        await self.change(row, state)
        run = RunId(row.id, row.run)
        self.after_commit(f"queued {run}", lambda: self.signals.queued.put_nowait(run))

    def after_commit(self, name: str, tell: Callable[[], None]) -> None:
        """Call once when the outermost transaction has ended; after a rollback that is a harmless false alarm."""
        registered: set[str] = self.session.info.setdefault("told", set())
        if name in registered:
            return
        registered.add(name)

        def ended(_session: Any, transaction: Any) -> None:
            if transaction.parent is None:
                tell()

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
