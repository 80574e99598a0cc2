"""Group commit: whoever writes at the same moment shares one transaction, and each gets its own answer.

One task drains a queue: BEGIN, every writer's work in a savepoint of its own, COMMIT, then the answers. Nobody is answered
before the commit, so what was acknowledged is recorded; one that fails is rolled back alone. It opens no engine and knows
no table.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from json import JSONDecodeError
from typing import Any, Self, TypeVar

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.database import damaged, is_outage, transaction, unavailable
from bot.errors import ConflictError, TemporaryBackendError
from bot.fair_lock import FairLock

T = TypeVar("T")

BATCH_SECONDS = 0.02
"""After so long nobody joins any more: many share a commit, and whoever waits for its answer waits for little."""


@dataclass(frozen=True)
class Shared:
    """The transaction of everybody who writes now."""

    connection: AsyncConnection
    told: dict[str, Callable[[], None]] = field(default_factory=dict)

    def after_commit(self, name: str, tell: Callable[[], None]) -> None:
        """Call it, once for a name, when the transaction has ended; after a rollback that is a harmless false alarm."""
        self.told[name] = tell


Work = Callable[[Shared], Awaitable[T]]


@dataclass
class _Job:
    work: Work[Any]
    answer: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None

    def settle(self) -> None:
        """Answer, unless the caller has gone: a cancelled caller's work is committed with the rest all the same."""
        if self.answer.done():
            return
        if self.error is not None:
            self.answer.set_exception(self.error)
        else:
            self.answer.set_result(self.result)


class GroupWriter:
    """The one who writes. `submit` returns when the work is committed; use it inside `async with`."""

    def __init__(self, engine: AsyncEngine, lock: FairLock) -> None:
        self._engine = engine
        self._lock = lock
        self._jobs: deque[_Job] = deque()
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._open = False

    async def __aenter__(self) -> Self:
        self._open = True
        self._task = asyncio.create_task(self._drain(), name="store-writer")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Commit what was submitted, then stop; whatever comes later is refused."""
        self._open = False
        self._arrived.set()
        if self._task is not None:
            await self._task

    async def submit(self, work: Work[T]) -> T:
        """Run `work` in the next shared transaction. Raises what it raised, or why the transaction failed."""
        if not self._open:
            raise TemporaryBackendError(
                "The bot is stopping; nothing was recorded.", backend="database", fix="Try again in a moment."
            )
        job = _Job(work, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._arrived.set()
        answer: T = await job.answer
        return answer

    async def _drain(self) -> None:
        while self._open or self._jobs:
            await self._arrived.wait()
            if self._jobs:
                async with self._lock:
                    await self._commit()
            elif self._open:
                self._arrived.clear()

    async def _commit(self) -> None:
        batch: list[_Job] = []
        try:
            await self._write(batch)
        except Exception as error:  # noqa: BLE001
            # Nothing is swallowed: every caller of the batch hears of it, and the writer goes on for those who come next.
            failure = translate(error)
            if not batch:
                # Not even the transaction could be begun: that is said to everybody who waited for it.
                batch.extend(self._jobs)
                self._jobs.clear()
            for job in batch:
                job.error = failure
        for job in batch:
            job.settle()

    async def _write(self, batch: list[_Job]) -> None:
        told: dict[str, Callable[[], None]] = {}
        try:
            async with transaction(self._engine) as connection:
                await self._work(Shared(connection, told), batch)
        finally:
            for tell in told.values():
                tell()

    async def _work(self, shared: Shared, batch: list[_Job]) -> None:
        """Whoever waits, and whoever comes meanwhile, as long as the transaction is young and nobody waits for the lock.

        Who waits for it is an acknowledgement: a person waits, and mostly it is runs and cards that write here.
        """
        loop = asyncio.get_running_loop()
        closes_at = loop.time() + BATCH_SECONDS
        while self._jobs and (not batch or (loop.time() < closes_at and not self._lock.is_wanted)):
            job = self._jobs.popleft()
            if job.answer.cancelled():
                continue
            batch.append(job)
            # One that is alone needs no savepoint: when it fails, everything that is rolled back is its own.
            await (_attempt if self._jobs or len(batch) > 1 else _do)(shared, job)
            # Statements may run in place (bot.sqlite_in_place): others have a turn between two writers.
            await asyncio.sleep(0)


async def _do(shared: Shared, job: _Job) -> None:
    job.result = await job.work(shared)


async def _attempt(shared: Shared, job: _Job) -> None:
    """Do one writer's work in a savepoint. Raises only what makes the whole transaction worthless."""
    try:
        async with shared.connection.begin_nested():
            await _do(shared, job)
    except Exception as error:
        if is_outage(error):
            # A full disk, a lost connection, a lock that never came: SQLite may have rolled back everything by itself, and
            # what is executed after that would commit on its own.
            raise
        job.error = translate(error)


def translate(error: Exception) -> Exception:
    """A failure of the database in our words; anything else is a mistake of ours and stays what it is."""
    if isinstance(error, DBAPIError) and "UNIQUE" in str(error.orig).upper():
        conflict = ConflictError()
        conflict.__cause__ = error
        return conflict
    return damaged(error) or unavailable(error) or error


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """What the database raises inside leaves in our words."""
    try:
        yield
    except (SQLAlchemyError, OSError, JSONDecodeError) as error:
        raise translate(error) from error
