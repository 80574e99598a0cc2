"""What every writing transaction shares: the writers' lock, the audit event, the dirty cards, the next run.

It knows an open session and never commits: the group writer does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, Self

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from bot import audit
from bot.audit import Fact, Head
from bot.domain import JSON, OPEN_STATES, Approval, AuditEvent, Request, RequestState, RunId, StepRecord
from bot.errors import NotFoundError
from bot.rows import to_approval, to_request, to_step
from bot.tables import ApprovalRow, AuditEventRow, AuditHeadRow, CardRow, RequestRow, StepRow

HEAD_ID = 1
SYSTEM = "system"

_HEAD: sa.Table = AuditHeadRow.__table__  # type: ignore[attr-defined]
_EVENTS: sa.Table = AuditEventRow.__table__  # type: ignore[attr-defined]
_CARDS: sa.Table = CardRow.__table__  # type: ignore[attr-defined]
_APPROVALS: sa.Table = ApprovalRow.__table__  # type: ignore[attr-defined]
_REQUESTS: sa.Table = RequestRow.__table__  # type: ignore[attr-defined]
_STEPS: sa.Table = StepRow.__table__  # type: ignore[attr-defined]

# What every transaction executes is built once: building a statement costs three times as much as executing it.
_LOCK_HEAD = sa.select(_HEAD.c.sequence, _HEAD.c.hash).where(_HEAD.c.id == HEAD_ID).with_for_update()
_MOVE_HEAD = sa.update(_HEAD).where(_HEAD.c.id == HEAD_ID)
_APPEND = sa.insert(_EVENTS)
_RECORDED = sa.select(_EVENTS.c.sequence).where(_EVENTS.c.key == sa.bindparam("key"))
_MARK = (
    sa.update(_CARDS)
    .where(_CARDS.c.request_id == sa.bindparam("request"))
    .values(revision=_CARDS.c.revision + 1)
)
_RUN = sa.select(*(_REQUESTS.c[name] for name in ("id", "run", "replica", "service", "environment"))).where(
    _REQUESTS.c.id == sa.bindparam("request")
)
_ANY_OF: sa.BindParameter[Any] = sa.bindparam("requests", expanding=True)
_GIVEN = sa.select(_APPROVALS).where(_APPROVALS.c.request_id.in_(_ANY_OF)).order_by(_APPROVALS.c.id)
_PLANNED = sa.select(_STEPS).where(_STEPS.c.request_id.in_(_ANY_OF)).order_by(_STEPS.c.position)


@dataclass(frozen=True)
class Signals:
    """Wake-ups inside this process, set after a commit. Hints only: the rows say what there is to do."""

    dirty: asyncio.Event = field(default_factory=asyncio.Event)
    queued: asyncio.Queue[RunId] = field(default_factory=asyncio.Queue)
    """Runs to be started."""


class Subject(Protocol):
    """What an event about a request says of it; its row does."""

    @property
    def id(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def environment(self) -> str: ...


@dataclass(frozen=True)
class LatestRun:
    """A request as its run must know it to write anything: whose turn it is, and what its events say of the request."""

    id: str
    run: int
    replica: str
    service: str
    environment: str


@dataclass(frozen=True)
class Transaction:
    """One writer's open transaction, holding the writers' lock."""

    session: AsyncSession
    now: datetime
    signals: Signals
    head: Head
    """Where the chain ended when the lock was taken."""
    appended: list[tuple[AuditEvent, str | None]] = field(default_factory=list)
    """Events that follow it, each with its key; they are written together at the end."""
    marked: set[str] = field(default_factory=set)
    """Requests whose cards are dirty by this transaction already."""
    runs: dict[str, LatestRun] = field(default_factory=dict)
    kept: list[object] = field(default_factory=list)
    """Rows that were read: the session forgets what nobody holds, and would read it again."""

    @classmethod
    @asynccontextmanager
    async def join(cls, session: AsyncSession, now: datetime, *, signals: Signals) -> AsyncIterator[Self]:
        """Take the writers' lock in an open transaction, before anything is read in it.

        One lock, taken first by everybody, means that what is read afterwards stays true until the commit, and that no two
        writers can wait for each other. SQLite holds it since BEGIN IMMEDIATE; PostgreSQL locks the chain's head.
        """
        sequence, last_hash = (await session.execute(_LOCK_HEAD)).one()
        tx = cls(session=session, now=now, signals=signals, head=Head(sequence, last_hash))
        yield tx
        await tx._append()

    async def _append(self) -> None:
        if self.appended:
            events = [{**vars(linked), "key": key} for linked, key in self.appended]
            await self.session.execute(_APPEND, events)
            last = events[-1]
            await self.session.execute(_MOVE_HEAD, {"sequence": last["sequence"], "hash": last["hash"]})

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What fails inside is taken back alone, and the transaction can go on."""
        appended, marked = len(self.appended), set(self.marked)
        try:
            async with self.session.begin_nested():
                yield
        except Exception:
            del self.appended[appended:]
            self.marked.intersection_update(marked)
            raise

    async def request_row(self, request_id: str) -> RequestRow:
        row = await self.session.get(RequestRow, request_id)
        if row is None:
            raise no_request(request_id)
        self.kept.append(row)
        return row

    async def latest_run(self, request_id: str) -> LatestRun:
        """Read once: nothing of it changes in a transaction that a run makes."""
        if request_id not in self.runs:
            row = (await self.session.execute(_RUN, {"request": request_id})).one_or_none()
            if row is None:
                raise no_request(request_id)
            self.runs[request_id] = LatestRun(*row)
        return self.runs[request_id]

    async def request(self, row: RequestRow) -> Request:
        # Approvals and steps are read by a statement the session does not look into.
        await self.session.flush()
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
        await self.session.execute(_MARK, {"request": request_id})
        self.after_commit("dirty", self.signals.dirty.set)

    async def record(self, fact: Fact, *, key: str | None = None) -> None:
        """Append to the audit chain. `key` names a fact that is written once: the database refuses a second one."""
        last = self.appended[-1][0] if self.appended else None
        previous = Head(last.sequence, last.hash) if last else self.head
        self.appended.append((audit.chain(fact, at=self.now, previous=previous), key))

    async def recorded(self, subject: Subject, key: str) -> bool:
        """Whether an event of this key is in the chain, by an earlier transaction."""
        found = await self.session.execute(_RECORDED, {"key": _key(subject, key)})
        return found.first() is not None

    async def record_for(
        self,
        subject: Subject,
        event_name: str,
        *,
        actor: str,
        data: JSON | None = None,
        key: str | None = None,
    ) -> None:
        """Append an event about a request; `key` is unique within the request."""
        fact = Fact(
            event=event_name,
            actor=actor,
            request_id=subject.id,
            service=subject.service,
            environment=subject.environment,
            data=data,
        )
        await self.record(fact, key=None if key is None else _key(subject, key))

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


def _key(subject: Subject, key: str) -> str:
    return f"{subject.id}:{key}"


def no_request(request_id: str) -> NotFoundError:
    return NotFoundError(
        f"There is no request {request_id}.", fix="`/platform requests` lists the ones there are."
    )


async def load_requests(session: AsyncSession, rows: Sequence[RequestRow]) -> list[Request]:
    """The requests with their approvals and steps: two more queries, however many requests there are."""
    if not rows:
        return []
    ids = [row.id for row in rows]
    approvals: dict[str, list[Approval]] = {one: [] for one in ids}
    for approval in await session.execute(_GIVEN, {"requests": ids}):
        approvals[approval.request_id].append(to_approval(approval))
    steps: dict[str, list[StepRecord]] = {one: [] for one in ids}
    for step in await session.execute(_PLANNED, {"requests": ids}):
        steps[step.request_id].append(to_step(step))
    return [to_request(row, approvals[row.id], steps[row.id]) for row in rows]
