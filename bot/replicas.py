"""PostgreSQL: who is alive, and who takes over the runs of a replica that died. Uses DBOS's public calls only.

Without its commercial server nobody moves a dead process's runs. Each replica keeps a row in `replicas` and renews it on the
database's clock. Whoever sees an expired row deletes it; a run that is being executed by nobody in the table goes back into DBOS's
queue. A run writes only while its replica's row is there (`hold`); a replica that finds its own row gone ends at once, because
its runs may by then be somebody else's.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from dbos import DBOS, WorkflowStatus, WorkflowStatusString
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlmodel import col

from bot.tables import ReplicaRow, TakeoverRow

log = structlog.get_logger(__name__)

BEATS_PER_LEASE = 6
REAPER_LOCK = 0x706C6174
"""Key of the advisory lock that makes take-overs happen one after the other."""
FENCED_EXIT_CODE = 75
"""EX_TEMPFAIL: the supervisor should start this process again; it will have another id."""


def exit_now() -> None:
    """Somebody else may own our runs: nothing here may go on, not even to clean up."""
    os._exit(FENCED_EXIT_CODE)


class Lease:
    """This replica's sign of life, and its watch over the others."""

    def __init__(
        self,
        engine: AsyncEngine,
        replica_id: str,
        *,
        seconds: float,
        most_takeovers: int,
        fenced: Callable[[], None] = exit_now,
    ) -> None:
        self._engine = engine
        self._id = replica_id
        self._seconds = seconds
        self._most_takeovers = most_takeovers
        self._fenced = fenced
        self._last_beat = float("-inf")
        self._judge_from = float("inf")

    async def register(self) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(sa.insert(ReplicaRow).values(id=self._id, beat_at=_now()))
        self._noted()

    async def release(self) -> None:
        """Say that this replica has ended, after its runs have: whoever looks next takes them over without waiting."""
        async with self._engine.begin() as connection:
            await connection.execute(sa.delete(ReplicaRow).where(col(ReplicaRow.id) == self._id))

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        beating = asyncio.create_task(self._keep(), name="replica-lease")
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            try:
                await self.beat()
                await self.reap()
            except (SQLAlchemyError, OSError) as error:
                log.warning("replicas.database_away", error=type(error).__name__)
            await asyncio.sleep(self._seconds / BEATS_PER_LEASE)

    async def beat(self) -> None:
        async with self._engine.begin() as connection:
            renewed = await connection.execute(
                sa.update(ReplicaRow)
                .where(col(ReplicaRow.id) == self._id)
                .values(beat_at=_now())
                .returning(col(ReplicaRow.id))
            )
            alive = renewed.first() is not None
        if not alive:
            self._struck_out()
        self._noted()

    async def hold(self, session: AsyncSession) -> None:
        """In a run's transaction: nobody strikes this replica out before the commit. Its own sign of life does not wait for it."""
        mine = sa.select(col(ReplicaRow.id)).where(col(ReplicaRow.id) == self._id)
        if await session.scalar(mine.with_for_update(read=True, key_share=True)) is None:
            self._struck_out()

    def _struck_out(self) -> None:
        log.critical("replicas.fenced", replica=self._id)
        self._fenced()

    def _noted(self) -> None:
        now = time.monotonic()
        if now - self._last_beat > self._seconds / 2:
            # The database was away, or this process was: let the others beat first, then judge.
            self._judge_from = now + self._seconds
        self._last_beat = now

    async def reap(self) -> list[str]:
        """Put the runs of dead replicas back into the queue; returns their ids."""
        async with self._engine.begin() as connection:
            # Two at once would take a run away from the replica that has just got it.
            if not await connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(REAPER_LOCK))):
                return []
            if time.monotonic() >= self._judge_from:
                await self._strike_out_the_dead(connection)
            orphans = await self._orphans(connection)
            if not orphans:
                return []
            poison = await self._count_takeovers(connection, orphans)
            # While the lock is held, and before the commit that lets the next reaper look.
            for workflow_id in poison:
                await DBOS.cancel_workflow_async(workflow_id)
            moved = [workflow_id for workflow_id in orphans if workflow_id not in poison]
            if moved:
                await DBOS.resume_workflows_async(moved)
        log.warning("replicas.taken_over", runs=moved, given_up=sorted(poison))
        return moved

    async def _strike_out_the_dead(self, connection: AsyncConnection) -> None:
        lease = sa.literal(timedelta(seconds=self._seconds), sa.Interval())
        await connection.execute(
            sa.delete(ReplicaRow).where(
                col(ReplicaRow.id) != self._id, col(ReplicaRow.beat_at) < _now() - lease
            )
        )

    async def _orphans(self, connection: AsyncConnection) -> list[str]:
        """Runs that nobody in the table executes. Looked at in this order: a replica is in the table before it has a run."""
        pending = await _pending()
        if not pending:
            return []
        alive = set((await connection.execute(sa.select(col(ReplicaRow.id)))).scalars())
        return [run.workflow_id for run in pending if run.executor_id not in alive]

    async def _count_takeovers(self, connection: AsyncConnection, workflow_ids: list[str]) -> set[str]:
        """Counts one more for each; returns those that have taken down too many replicas."""
        counted = await connection.execute(
            insert(TakeoverRow)
            .values([{"workflow_id": workflow_id, "count": 1} for workflow_id in workflow_ids])
            .on_conflict_do_update(index_elements=["workflow_id"], set_={"count": col(TakeoverRow.count) + 1})
            .returning(col(TakeoverRow.workflow_id), col(TakeoverRow.count))
        )
        return {workflow_id for workflow_id, count in counted if count > self._most_takeovers}


def _now() -> sa.ColumnElement[Any]:
    """The database's clock: replicas need not agree on the time."""
    return sa.func.clock_timestamp()


async def _pending() -> list[WorkflowStatus]:
    return await DBOS.list_workflows_async(
        status=[WorkflowStatusString.PENDING.value], load_input=False, load_output=False
    )
