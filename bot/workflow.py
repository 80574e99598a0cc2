"""Durable execution of approved requests: starts what is decided, takes up what was interrupted, stops what cannot go on.

Where a run stands is in the request's own rows (`bot.ledger`), in which order it goes on is `bot.saga`'s, whose it is is
`bot.replicas`'s. Nothing here decides anything about a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import structlog

from bot import ledger
from bot.command import Backends, Command
from bot.domain import Platform, RequestState, RunId
from bot.errors import ConflictError, TemporaryBackendError
from bot.replanned import Replan
from bot.replicas import Replica
from bot.saga import Saga
from bot.step_run import World
from bot.store import Store, Transaction
from bot.tasks import going_on

log = structlog.get_logger(__name__)

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0
_BROKE_OFF = (
    "The run broke off unexpectedly. The platform team finds the reason in the log; retry from here, or undo."
)


@dataclass(frozen=True)
class Tuning:
    """How eager the engine is."""

    sweep_seconds: float = 5.0
    """How often it looks for runs that nobody carries out: decided, and their process died before it began; or a dead one's."""
    concurrency: int = 20
    """Steps of this process that are at work at once. A run that waits for a deployment is not at work and keeps nobody waiting."""
    drain_seconds: float = 10.0
    """How long the end waits for transactions in flight; steps are interrupted at once, they are idempotent."""
    lease_seconds: float = 15.0
    """PostgreSQL: a replica that was silent for so long has its runs taken over."""
    most_deaths: int = 10
    """A run during which more processes died than this is stopped instead of started again."""


DEFAULT_TUNING = Tuning()


def utc_now() -> datetime:
    return datetime.now(tz=UTC)


class Engine:
    """Carries out runs: each by one process at a time, and from where its rows say it stands."""

    def __init__(self, store: Store, world: World, replica: Replica, tuning: Tuning) -> None:
        self._store = store
        self._world = world
        self._replica = replica
        self._tuning = tuning
        self._runs: dict[RunId, asyncio.Task[None]] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        store: Store,
        *,
        commands: Mapping[str, Command],
        backends: Backends,
        platform: Callable[[], Platform],
        replan: Replan,
        clock: Callable[[], datetime] = utc_now,
        tuning: Tuning = DEFAULT_TUNING,
    ) -> AsyncIterator[Engine]:
        """Runs that were interrupted go on at once. The end leaves runs in flight for the next start, or for another replica."""
        world = World(
            find_request=store.find_request,
            commands=commands,
            backends=backends,
            platform=platform,
            replan=replan,
            clock=clock,
            slots=asyncio.Semaphore(tuning.concurrency),
        )
        replica = Replica(store, lease_seconds=tuning.lease_seconds)
        engine = cls(store, world, replica, tuning)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(replica.registered())
            stack.push_async_callback(engine._drain)
            await stack.enter_async_context(going_on(engine._start_what_is_decided, name="engine-start"))
            yield engine

    # ---------------------------------------------------------------- which runs

    async def _start_what_is_decided(self) -> None:
        """Every decision of this process as soon as it is committed; now and then whatever nobody carries out."""
        loop = asyncio.get_running_loop()
        sweep_at = loop.time()
        while True:
            try:
                async with asyncio.timeout_at(sweep_at):
                    run = await self._store.queued.get()
            except TimeoutError:
                await self.sweep()
                sweep_at = loop.time() + self._tuning.sweep_seconds
            else:
                self._take_up(run)

    async def sweep(self) -> int:
        """Nothing stays "running" for ever: take up what no living process carries out. Returns how many."""
        claimable = await self._store.list_claimable(self._replica.id)
        left = [run for run in claimable if run not in self._runs]
        for run in left:
            log.info("workflow.taken_up", request_id=run.request_id, run=run.number)
            self._take_up(run)
        return len(left)

    def _take_up(self, run: RunId) -> None:
        """Once at a time in this process. What was said before a commit that failed is no run: the claim finds out."""
        if run not in self._runs:
            task = asyncio.create_task(self._carry_out(run), name=f"run {run}")
            self._runs[run] = task
            task.add_done_callback(partial(self._ended, run))

    def _ended(self, run: RunId, task: asyncio.Task[None]) -> None:
        del self._runs[run]
        if not task.cancelled() and (error := task.exception()) is not None:
            # Not even its end could be written down: the next sweep takes it up.
            log.error("workflow.lost", run=str(run), exc_info=error)

    async def _drain(self) -> None:
        """Interrupt the runs; what was handed to the writer is written. Nothing is marked: they go on, here or elsewhere."""
        for task in self._runs.values():
            task.cancel()
        if self._runs:
            await asyncio.wait(set(self._runs.values()), timeout=self._tuning.drain_seconds)

    def wake(self, *, request_id: str, service: str) -> int:
        """Steps of this process that wait for something about it look again now. Returns how many."""
        return self._world.waking.wake(request_id=request_id, service=service)

    # ---------------------------------------------------------------- one run

    async def _carry_out(self, run: RunId) -> None:
        """Whatever it ends with, the next sweep takes up a run that was not brought to an end."""
        try:
            deaths = await self._store.write(lambda tx: self._replica.claim(tx, run))
        except TemporaryBackendError as error:
            log.warning("workflow.start_delayed", run=str(run), why=error.sentence)
            return
        if deaths is None:
            return
        write = _Writing(self._store, self._replica, run)
        try:
            if deaths <= self._tuning.most_deaths:
                await Saga(run.request_id, run.number, world=self._world, write=write).execute()
            else:
                log.error("workflow.given_up", run=str(run), deaths=deaths)
                await write(lambda tx: _stop(tx, run))
        except ConflictError as error:
            log.warning("workflow.overtaken", run=str(run), why=error.sentence)
        except Exception:
            # A mistake of ours must not leave a request that looks as if somebody worked on it.
            log.exception("workflow.broke_off", run=str(run))
            await write(lambda tx: _stop(tx, run))


@dataclass(frozen=True)
class _Writing:
    """A run's transactions: made by its owner only, and made again until the database takes them."""

    store: Store
    replica: Replica
    run: RunId

    async def __call__(self, change: Callable[[Transaction], Awaitable[T]], /) -> T:
        """A run has nobody to tell that the database is away: it waits, and writes when it is back."""
        failures = 0
        while True:
            try:
                return await self.store.write(lambda tx: self._as_the_owner(tx, change))
            except TemporaryBackendError as error:
                failures += 1
                if failures == 1:
                    log.warning("workflow.database_away", run=str(self.run), why=error.sentence)
                await asyncio.sleep(min(FIRST_PAUSE_SECONDS * 2 ** min(failures, 10), LONGEST_PAUSE_SECONDS))

    async def _as_the_owner(self, tx: Transaction, change: Callable[[Transaction], Awaitable[T]]) -> T:
        await self.replica.hold(tx, self.run)
        return await change(tx)


async def _stop(tx: Transaction, run: RunId) -> None:
    await ledger.finish(tx, run.request_id, run=run.number, state=RequestState.STOPPED, outcome=_BROKE_OFF)
