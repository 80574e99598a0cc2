"""The quick way in: a new request and its audit event on disk after one visit to a thread, shared by whoever arrives meanwhile.

What is acknowledged must be recorded before, so this is the one transaction people wait for. It knows the plain case only:
nobody asked for the same before. Whatever else it meets (a repeated delivery, an open request about the same thing, a database
that is away) it leaves to `lifecycle.open_request`. Why a second way: docs/decisions/0008-quick-intake.md.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import PoolProxiedConnection

from bot import audit, lifecycle
from bot.audit import Head
from bot.domain import Request
from bot.fair_lock import FairLock
from bot.lifecycle import NewRequest
from bot.rows import to_request
from bot.tables import EVENTS, HEAD, REQUESTS
from bot.transaction import HEAD_ID

BATCH_LIMIT = 64
_LOCKED_HEAD = sa.select(HEAD.c.sequence, HEAD.c.hash).where(HEAD.c.id == HEAD_ID).with_for_update()
_NEW_HEAD = sa.update(HEAD).values(sequence=sa.bindparam("sequence"), hash=sa.bindparam("hash"))


class _Statement:
    """A statement compiled once, with its columns' types applied by hand: most of what executing costs is done here, at the start."""

    def __init__(self, statement: Any, columns: Iterable[sa.Column[Any]], dialect: sa.Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self.sql = str(compiled)
        self._order: Sequence[str] | None = compiled.positiontup
        self._typed = [
            (column.name, process)
            for column in columns
            if (process := column.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        ]

    def parameters(self, values: dict[str, Any]) -> Any:
        """As the driver wants them: by place or by name."""
        for name, process in self._typed:
            values[name] = process(values[name])
        return tuple([values[name] for name in self._order]) if self._order else values


@dataclass
class _Arrival:
    new: NewRequest
    answer: asyncio.Future[Request | None]
    recorded: Request | None = None
    error: Exception | None = None

    def settle(self) -> None:
        """Answer, unless the caller has gone; what was recorded stays so."""
        if self.answer.done():
            return
        if self.error is not None:
            self.answer.set_exception(self.error)
        else:
            self.answer.set_result(self.recorded)


class Intake:
    """`record` returns what is on disk, or None for what is not a plain case."""

    def __init__(self, engine: sa.Engine, lock: FairLock, *, clock: Callable[[], datetime]) -> None:
        """`lock` is shared with whoever else writes in this process: one after the other, and nobody twice in a row."""
        self._engine = engine
        self._lock = lock
        self._clock = clock
        self._open = True
        self._arrivals: deque[_Arrival] = deque()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._batches: queue.SimpleQueue[Sequence[_Arrival] | None] = queue.SimpleQueue()
        dialect = engine.dialect
        self._begin = "BEGIN IMMEDIATE" if dialect.name == "sqlite" else ""
        self._together = _no_pipeline if dialect.name == "sqlite" else _pipeline
        self._head = str(_LOCKED_HEAD.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
        self._new_head = _Statement(_NEW_HEAD, (), dialect)
        self._new_request = _Statement(sa.insert(REQUESTS), REQUESTS.columns, dialect)
        self._new_event = _Statement(sa.insert(EVENTS), EVENTS.columns, dialect)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, engine: sa.Engine, lock: FairLock, *, clock: Callable[[], datetime]
    ) -> AsyncIterator[Intake]:
        """Its thread runs while this is open; at the end it commits what has arrived."""
        intake, loop = cls(engine, lock, clock=clock), asyncio.get_running_loop()
        thread = threading.Thread(target=intake._work, args=(loop,), name="store-intake", daemon=True)
        thread.start()
        try:
            yield intake
        finally:
            intake._open = False
            await intake._quiet.wait()
            intake._batches.put(None)
            await asyncio.to_thread(thread.join)

    async def record(self, new: NewRequest) -> Request | None:
        if not self._open:
            return None
        arrival = _Arrival(new, asyncio.get_running_loop().create_future())
        self._arrivals.append(arrival)
        if self._quiet.is_set():
            self._quiet.clear()
            self._lock.take(self._send)
        return await arrival.answer

    def _send(self) -> None:
        """Hand over whoever is there by now."""
        self._batches.put([self._arrivals.popleft() for _ in range(min(BATCH_LIMIT, len(self._arrivals)))])

    def _settle(self, batch: Sequence[_Arrival]) -> None:
        self._lock.release()
        for arrival in batch:
            arrival.settle()
        if self._arrivals:
            self._lock.take(self._send)
        else:
            self._quiet.set()

    # ------------------------------------------------------------ in the thread

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while (batch := self._batches.get()) is not None:
            self._try(batch)
            loop.call_soon_threadsafe(self._settle, batch)

    def _try(self, batch: Sequence[_Arrival]) -> None:
        connection = None
        try:
            connection = self._engine.raw_connection()
            self._commit(connection, batch)
        except Exception as error:  # noqa: BLE001
            # Whatever it is, every caller hears of it and the thread goes on. What the database refuses is tried in the ordinary
            # way, which has the words for it; a commit whose answer was lost is found there too.
            foreseen = isinstance(error, SQLAlchemyError | OSError | self._engine.dialect.loaded_dbapi.Error)
            for arrival in batch:
                arrival.recorded, arrival.error = None, None if foreseen else error
            if connection is not None:
                connection.invalidate()
        else:
            connection.close()

    def _commit(self, connection: PoolProxiedConnection, batch: Sequence[_Arrival]) -> None:
        """Everybody or nobody: whose delivery or whose subject is there already stops the batch by a unique index."""
        with self._together(connection):
            cursor = connection.cursor()
            if self._begin:
                cursor.execute(self._begin)
            cursor.execute(self._head)
            row: Any = cursor.fetchone()
            head = Head(*row)
            now = self._clock()
            requests, events = [], []
            for arrival in batch:
                event = audit.chain(lifecycle.opened(arrival.new), at=now, previous=head)
                head = Head(event.sequence, event.hash)
                events.append(self._new_event.parameters({**vars(event), "key": None}))
                requests.append(self._new_request.parameters(lifecycle.first_columns(arrival.new, now)))
            cursor.executemany(self._new_request.sql, requests)
            cursor.executemany(self._new_event.sql, events)
            cursor.execute(self._new_head.sql, self._new_head.parameters(vars(head).copy()))
            connection.commit()
        for arrival in batch:
            row = cast("sa.Row[Any]", SimpleNamespace(**lifecycle.first_columns(arrival.new, now)))
            arrival.recorded = to_request(row, (), ())


def _pipeline(connection: PoolProxiedConnection) -> AbstractContextManager[object]:
    """psycopg's: what is executed inside is sent together, up to where an answer is needed. Two visits to the server, not six;
    what it refuses is raised at the commit.
    """
    assert connection.driver_connection is not None, "it was just lent"
    pipeline: AbstractContextManager[object] = connection.driver_connection.pipeline()
    return pipeline


def _no_pipeline(_connection: PoolProxiedConnection) -> AbstractContextManager[object]:
    return nullcontext()
