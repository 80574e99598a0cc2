"""What every writing transaction shares: the writers' lock, the audit event, the dirty cards, the next run.

It knows an open connection and never commits: the group writer does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, Self

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bot import audit
from bot.audit import Fact, Head
from bot.domain import JSON, OPEN_STATES, Approval, AuditEvent, Request, RequestState, RunId, StepRecord
from bot.errors import NotFoundError
from bot.rows import to_approval, to_request, to_step
from bot.tables import APPROVALS, CARDS, EVENTS, HEAD, REQUESTS, STEPS
from bot.writer import Shared

HEAD_ID = 1
SYSTEM = "system"

# What every transaction executes is built once: building a statement costs three times as much as executing it.
_LOCK_HEAD = sa.select(HEAD.c.sequence, HEAD.c.hash).where(HEAD.c.id == HEAD_ID).with_for_update()
_MOVE_HEAD = sa.update(HEAD).where(HEAD.c.id == HEAD_ID)
_APPEND = sa.insert(EVENTS)
_RECORDED = sa.select(EVENTS.c.sequence).where(EVENTS.c.key == sa.bindparam("key"))
_MARK = (
    sa.update(CARDS)
    .where(CARDS.c.request_id == sa.bindparam("request"))
    .values(revision=CARDS.c.revision + 1)
)
_REQUEST = sa.select(REQUESTS).where(REQUESTS.c.id == sa.bindparam("request"))
_PUT = sa.update(REQUESTS).where(REQUESTS.c.id == sa.bindparam("request")).returning(*REQUESTS.c)
"""Which columns it sets is said when it is executed."""
_RUN = sa.select(*(REQUESTS.c[name] for name in ("id", "run", "replica", "service", "environment"))).where(
    REQUESTS.c.id == sa.bindparam("request")
)
_ANY_OF: sa.BindParameter[Any] = sa.bindparam("requests", expanding=True)
_GIVEN = sa.select(APPROVALS).where(APPROVALS.c.request_id.in_(_ANY_OF)).order_by(APPROVALS.c.id)
_PLANNED = sa.select(STEPS).where(STEPS.c.request_id.in_(_ANY_OF)).order_by(STEPS.c.position)


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

    shared: Shared
    now: datetime
    signals: Signals
    head: Head
    """Where the chain ended when the lock was taken."""
    appended: list[tuple[AuditEvent, str | None]] = field(default_factory=list)
    """Events that follow it, each with its key; they are written together at the end."""
    marked: set[str] = field(default_factory=set)
    """Requests whose cards are dirty by this transaction already."""
    runs: dict[str, LatestRun] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def join(cls, shared: Shared, now: datetime, *, signals: Signals) -> AsyncIterator[Self]:
        """Take the writers' lock in an open transaction, before anything is read in it.

        One lock, taken first by everybody, means that what is read afterwards stays true until the commit, and that no two
        writers can wait for each other. SQLite holds it since BEGIN IMMEDIATE; PostgreSQL locks the chain's head.
        """
        sequence, last_hash = (await shared.connection.execute(_LOCK_HEAD)).one()
        tx = cls(shared=shared, now=now, signals=signals, head=Head(sequence, last_hash))
        yield tx
        await tx._append()

    @property
    def connection(self) -> AsyncConnection:
        return self.shared.connection

    async def _append(self) -> None:
        if self.appended:
            events = [{**vars(linked), "key": key} for linked, key in self.appended]
            await self.connection.execute(_APPEND, events)
            last = events[-1]
            await self.connection.execute(_MOVE_HEAD, {"sequence": last["sequence"], "hash": last["hash"]})

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What fails inside is taken back alone, and the transaction can go on."""
        appended, marked = len(self.appended), set(self.marked)
        try:
            async with self.connection.begin_nested():
                yield
        except Exception:
            del self.appended[appended:]
            self.marked.intersection_update(marked)
            raise

    async def request_row(self, request_id: str) -> sa.Row[Any]:
        """As it is at this moment: what is changed afterwards is in the row that `change` returns."""
        row = (await self.connection.execute(_REQUEST, {"request": request_id})).one_or_none()
        if row is None:
            raise no_request(request_id)
        return row

    async def latest_run(self, request_id: str) -> LatestRun:
        """Read once: nothing of it changes in a transaction that a run makes."""
        if request_id not in self.runs:
            row = (await self.connection.execute(_RUN, {"request": request_id})).one_or_none()
            if row is None:
                raise no_request(request_id)
            self.runs[request_id] = LatestRun(*row)
        return self.runs[request_id]

    async def request(self, row: sa.Row[Any]) -> Request:
        return (await load_requests(self.connection, [row]))[0]

    async def change(
        self,
        row: sa.Row[Any],
        state: RequestState | None = None,
        *,
        new_version: bool = True,
        **columns: Any,
    ) -> sa.Row[Any]:
        """Set `columns`, mark the request as changed and its cards as dirty; a closed request no longer blocks another one."""
        columns |= {"version": row.version + int(new_version), "updated_at": self.now}
        if state is not None:
            columns["state"] = state
            if state not in OPEN_STATES:
                columns["active_key"] = None
        await self.dirty(row.id)
        return await self.put(row.id, columns)

    async def put(self, request_id: str, columns: JSON) -> sa.Row[Any]:
        """Columns of a request, as they are: no new version, no dirty card."""
        return (await self.connection.execute(_PUT, {"request": request_id, **columns})).one()

    async def dirty(self, request_id: str) -> None:
        """Every card of the request is to be rendered again."""
        if request_id in self.marked:
            return
        self.marked.add(request_id)
        await self.connection.execute(_MARK, {"request": request_id})
        self.cards_wait()

    def cards_wait(self) -> None:
        """Whoever sends cards is told, once this is committed."""
        self.shared.after_commit("dirty", self.signals.dirty.set)

    async def record(self, fact: Fact, *, key: str | None = None) -> None:
        """Append to the audit chain. `key` names a fact that is written once: the database refuses a second one."""
        last = self.appended[-1][0] if self.appended else None
        previous = Head(last.sequence, last.hash) if last else self.head
        self.appended.append((audit.chain(fact, at=self.now, previous=previous), key))

    async def recorded(self, subject: Subject, key: str) -> bool:
        """Whether an event of this key is in the chain, by an earlier transaction."""
        found = await self.connection.execute(_RECORDED, {"key": _key(subject, key)})
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

    async def start_run(self, row: sa.Row[Any], state: RequestState, **columns: Any) -> sa.Row[Any]:
        """The request has another run to make from this commit on; the engine is told, and finds it by itself if it was not."""
        run = RunId(row.id, row.run + 1)
        columns |= {"run": run.number, "replica": "", "deaths": 0, "due_at": None}
        self.shared.after_commit(f"queued {run}", lambda: self.signals.queued.put_nowait(run))
        return await self.change(row, state, **columns)


def _key(subject: Subject, key: str) -> str:
    return f"{subject.id}:{key}"


def no_request(request_id: str) -> NotFoundError:
    return NotFoundError(
        f"There is no request {request_id}.", fix="`/platform requests` lists the ones there are."
    )


async def load_requests(connection: AsyncConnection, rows: Sequence[sa.Row[Any]]) -> list[Request]:
    """The requests with their approvals and steps: two more queries, however many requests there are."""
    if not rows:
        return []
    ids = [row.id for row in rows]
    approvals: dict[str, list[Approval]] = {one: [] for one in ids}
    for approval in await connection.execute(_GIVEN, {"requests": ids}):
        approvals[approval.request_id].append(to_approval(approval))
    steps: dict[str, list[StepRecord]] = {one: [] for one in ids}
    for step in await connection.execute(_PLANNED, {"requests": ids}):
        steps[step.request_id].append(to_step(step))
    return [to_request(row, approvals[row.id], steps[row.id]) for row in rows]
