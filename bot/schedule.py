"""The tick: finds what is due. Rows decide; APScheduler only looks at the clock, with a memory store in every process.

Each effect is a conditional UPDATE in the store, so several processes ticking at once do it once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bot import inbox
from bot.dispatch import Dispatcher
from bot.store import Store

log = structlog.get_logger(__name__)

EXPIRE_EVERY_SECONDS = 5
RESUME_EVERY_SECONDS = 15
CLEAN_EVERY_SECONDS = 3600
PLANNING_PATIENCE_SECONDS = 30.0
"""A request that has been planning for so long has lost its process."""
KEEP_DELIVERIES = timedelta(days=3)
KEEP_HEARD = timedelta(days=30)
BATCH = 100


class Ticker:
    """One method per kind of work that comes due."""

    def __init__(self, *, store: Store, dispatcher: Dispatcher, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock

    async def expire(self) -> None:
        expired = await self._store.expire_due(limit=BATCH)
        for request in expired:
            log.info("schedule.expired", request_id=request.id)

    async def resume(self) -> None:
        await self._dispatcher.resume_planning(older_than_seconds=PLANNING_PATIENCE_SECONDS)

    async def clean(self) -> None:
        await self._store.delete_inbox(self._clock() - KEEP_DELIVERIES)
        await self._store.write(lambda tx: inbox.forget_heard(tx, self._clock() - KEEP_HEARD))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        scheduler = AsyncIOScheduler(
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        jobs: list[tuple[Callable[[], Awaitable[Any]], int]] = [
            (self.expire, EXPIRE_EVERY_SECONDS),
            (self.resume, RESUME_EVERY_SECONDS),
            (self.clean, CLEAN_EVERY_SECONDS),
        ]
        ticking: set[asyncio.Task[Any]] = set()
        for work, seconds in jobs:
            scheduler.add_job(_counted(work, ticking), "interval", seconds=seconds)
        scheduler.start()
        try:
            yield
        finally:
            # Stopping the scheduler cancels what runs; a tick is short, so it may end by itself first.
            scheduler.pause()
            await asyncio.gather(*ticking, return_exceptions=True)
            scheduler.shutdown(wait=False)


def _counted(
    work: Callable[[], Awaitable[Any]], ticking: set[asyncio.Task[Any]]
) -> Callable[[], Awaitable[None]]:
    async def tick() -> None:
        task = asyncio.current_task()
        assert task is not None, "the scheduler runs ticks as tasks"
        ticking.add(task)
        try:
            await work()
        finally:
            ticking.discard(task)

    return tick
