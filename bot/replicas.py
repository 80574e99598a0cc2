"""Who is alive, and which process carries out which run.

A process that may carry out runs is a replica: it has a row in `replicas` before it claims anything. A request names the replica that
carries out its run; whoever claims one holds the writers' lock, as everybody does who writes in a run's name, so a run changes
hands between two commits and never within one. On PostgreSQL a replica renews its row on the database's clock, and whoever sees an
expired one strikes it out; one that finds itself struck out ends at once, because its runs may by then be somebody else's. An SQLite
file has one process (the store holds its lock), so there every other row is a dead one's.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError

from bot.domain import WORKING_STATES, RunId
from bot.errors import ConflictError, TemporaryBackendError
from bot.store import Store, Transaction
from bot.tables import REPLICAS, REQUESTS
from bot.tasks import going_on

log = structlog.get_logger(__name__)

BEATS_PER_LEASE = 6
FENCED_EXIT_CODE = 75
"""EX_TEMPFAIL: the supervisor should start this process again; it will have another id."""


def exit_now() -> None:
    """Somebody else may own our runs: nothing here may go on, not even to clean up."""
    os._exit(FENCED_EXIT_CODE)


class Replica:
    """This process's sign of life, its claims, and its watch over the others."""

    def __init__(self, store: Store, *, lease_seconds: float, fenced: Callable[[], None] = exit_now) -> None:
        self.id = uuid.uuid4().hex
        self._store = store
        self._lease_seconds = lease_seconds
        self._fenced = fenced
        self._alone = store.engine.dialect.name == "sqlite"
        self._last_beat = float("-inf")
        self._judge_from = float("inf")

    @asynccontextmanager
    async def registered(self) -> AsyncIterator[None]:
        """Alive as long as this is open. At the end, when its runs have ended, others may claim them without waiting."""
        await self._store.write(self._register)
        self._noted()
        try:
            async with nullcontext() if self._alone else going_on(self._keep, name="replica-lease"):
                yield
        finally:
            try:
                await self._store.write(self._release)
            except TemporaryBackendError as error:
                log.warning("replicas.left_without_a_word", why=error.sentence)

    # ---------------------------------------------------------------- runs

    async def claim(self, tx: Transaction, run: RunId) -> int | None:
        """Make the run this replica's: how often one ended without a word while it had the run. None where it is over, or a
        living one's."""
        row = await tx.request_row(run.request_id)
        if row.run != run.number or row.state not in WORKING_STATES:
            return None
        if row.replica not in {"", self.id} and await _is_alive(tx, row.replica):
            return None
        deaths: int = row.deaths + bool(row.replica)
        await tx.put(row.id, {"replica": self.id, "deaths": deaths})
        return deaths

    async def hold(self, tx: Transaction, run: RunId) -> None:
        """Raises ConflictError where the run is not, or no longer, this replica's."""
        latest = await tx.latest_run(run.request_id)
        if (latest.run, latest.replica) != (run.number, self.id):
            raise ConflictError(f"Run {run.number} of request {run.request_id} goes on elsewhere.")

    # ---------------------------------------------------------------- sign of life

    async def _register(self, tx: Transaction) -> None:
        if self._alone:
            await tx.connection.execute(sa.delete(REPLICAS))
        await tx.connection.execute(sa.insert(REPLICAS).values(id=self.id, beat_at=self._now()))

    async def _release(self, tx: Transaction) -> None:
        mine = sa.update(REQUESTS).where(
            REQUESTS.c.replica == self.id, REQUESTS.c.state.in_(sorted(WORKING_STATES))
        )
        await tx.connection.execute(mine.values(replica=""))
        await tx.connection.execute(sa.delete(REPLICAS).where(REPLICAS.c.id == self.id))

    async def _keep(self) -> None:
        while True:
            try:
                await self.beat()
                await self.strike_out_the_dead()
            except (SQLAlchemyError, OSError) as error:
                log.warning("replicas.database_away", error=type(error).__name__)
            await asyncio.sleep(self._lease_seconds / BEATS_PER_LEASE)

    async def beat(self) -> None:
        """Never waits for the writers' lock: a busy database is no death."""
        async with self._store.engine.begin() as connection:
            renewed = await connection.execute(
                sa.update(REPLICAS)
                .where(REPLICAS.c.id == self.id)
                .values(beat_at=self._now())
                .returning(REPLICAS.c.id)
            )
            alive = renewed.first() is not None
        if not alive:
            log.critical("replicas.fenced", replica=self.id)
            self._fenced()
        self._noted()

    def _noted(self) -> None:
        now = time.monotonic()
        if now - self._last_beat > self._lease_seconds / 2:
            # The database was away, or this process was: let the others beat first, then judge.
            self._judge_from = now + self._lease_seconds
        self._last_beat = now

    async def strike_out_the_dead(self) -> list[str]:
        """Delete the rows of replicas that were silent for a lease, and return their ids: the next sweep claims their runs."""
        if time.monotonic() < self._judge_from:
            return []
        lease = sa.literal(timedelta(seconds=self._lease_seconds), sa.Interval())
        async with self._store.engine.begin() as connection:
            dead = await connection.execute(
                sa.delete(REPLICAS)
                .where(REPLICAS.c.id != self.id, REPLICAS.c.beat_at < self._now() - lease)
                .returning(REPLICAS.c.id)
            )
            struck_out = list(dead.scalars())
        if struck_out:
            log.warning("replicas.struck_out", replicas=struck_out)
        return struck_out

    def _now(self) -> sa.ColumnElement[Any]:
        """The database's clock: replicas need not agree on the time. On SQLite nobody asks."""
        return sa.func.current_timestamp() if self._alone else sa.func.clock_timestamp()


async def _is_alive(tx: Transaction, replica: str) -> bool:
    """Not struck out; whether it still beats is not asked."""
    found = await tx.connection.execute(sa.select(REPLICAS.c.id).where(REPLICAS.c.id == replica))
    return found.first() is not None
