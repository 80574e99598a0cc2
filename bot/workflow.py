"""Durable execution of approved requests: the only module that knows DBOS (with `bot.replicas`, which moves work).

DBOS says which run is whose, takes interrupted runs up again and counts how often; it keeps its tables in the application's own
database. Where a run stands is in the request's own rows (`bot.ledger`), in which order it goes on is `bot.saga`'s. Nothing here
decides anything about a request.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

import sqlalchemy as sa
import structlog
from dbos import DBOS, DBOSPortableJSONSerializer, SetWorkflowID, WorkflowStatusString

from bot import ledger
from bot.command import Backends, Command
from bot.domain import Platform, RequestState
from bot.errors import StartError, TemporaryBackendError
from bot.quiet_log import QuietLog
from bot.replanned import Replan
from bot.replicas import Lease
from bot.saga import Saga
from bot.step_run import World
from bot.store import Store, Transaction
from bot.system_engine import system_engine

log = structlog.get_logger(__name__)

T = TypeVar("T")
APPLICATION_NAME = "platform-bot"
WORKFLOW = "run_request"
RUN_VERSION = "1"
"""Pinned: DBOS resumes only runs of its own version, and its default (a hash of the code) would strand them silently at
every release. It need not be raised: a run goes on from the request's rows, not from a record of its code."""
DBOS_SCHEMA = "dbos"
SERIALIZER = DBOSPortableJSONSerializer()
"""JSON, because whoever can write to the database must not thereby run code here, as pickles would let them."""

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0

_LIVE = frozenset(
    {
        WorkflowStatusString.ENQUEUED.value,
        WorkflowStatusString.DELAYED.value,
        WorkflowStatusString.PENDING.value,
    }
)
_ENDED = frozenset(status.value for status in WorkflowStatusString) - _LIVE
_GIVEN_UP = (
    "The run broke off unexpectedly. The platform team finds the reason in the log; retry from here, or undo."
)
_WORKING = frozenset({RequestState.QUEUED, RequestState.RUNNING, RequestState.UNDOING})


@dataclass(frozen=True)
class Tuning:
    """How eager the engine is."""

    poll_seconds: float = 0.1
    """How long DBOS's listener sleeps on SQLite, which the end waits for; nothing that is started does."""
    sweep_seconds: float = 15.0
    """How often it looks for decisions whose process died before it started their run, and for runs that were given up."""
    concurrency: int = 20
    """Steps of this process that are at work at once. A run that waits for a deployment is not at work and keeps nobody waiting."""
    drain_seconds: float = 10.0
    """How long the end waits for transactions in flight; steps are interrupted at once, they are idempotent."""
    lease_seconds: float = 15.0
    """PostgreSQL: a replica that was silent for so long has its runs taken over."""
    most_recoveries: int = 10
    """A run that took the process down this often is stopped instead of started again."""


DEFAULT_TUNING = Tuning()


def utc_now() -> datetime:
    return datetime.now(tz=UTC)


# ---------------------------------------------------------------- the engine


class Engine:
    """Runs requests durably. One per process, because DBOS is; it can be opened again after it was closed."""

    _opened: ClassVar[bool] = False

    def __init__(self, store: Store, world: World, *, executor_id: str, tuning: Tuning) -> None:
        self._store = store
        self._world = world
        self._executor_id = executor_id
        self._tuning = tuning
        self._lease: Lease | None = None
        self._closing = False
        self._runs: set[asyncio.Task[Any]] = set()
        self._workflow: Callable[[str, int], Coroutine[Any, Any, None]] = self._run

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
        """Start DBOS in the running loop: runs that were interrupted go on. The end leaves runs in flight for the next start."""
        if cls._opened:
            raise StartError("Durable execution runs already in this process.")
        world = World(
            find_request=store.find_request,
            commands=commands,
            backends=backends,
            platform=platform,
            replan=replan,
            clock=clock,
            slots=asyncio.Semaphore(tuning.concurrency),
        )
        # One process owns an SQLite file (the store holds its lock), so whatever is unfinished there is its own. On
        # PostgreSQL an id must never be used twice; a dead replica's runs are taken over by their lease.
        executor_id = "single" if store.engine.dialect.name == "sqlite" else uuid.uuid4().hex
        engine = cls(store, world, executor_id=executor_id, tuning=tuning)
        cls._opened = True
        try:
            async with AsyncExitStack() as stack:
                await engine._start(stack)
                yield engine
        finally:
            cls._opened = False

    async def _start(self, stack: AsyncExitStack) -> None:
        quiet = QuietLog(expected=("Asyncio task cancelled",))
        logging.getLogger("dbos").addFilter(quiet)
        stack.callback(logging.getLogger("dbos").removeFilter, quiet)
        system = system_engine(self._store.engine, application_name=f"{APPLICATION_NAME}-engine")
        stack.callback(system.dispose)
        await asyncio.to_thread(_prepare_tables, system)
        await self._register(stack)
        DBOS(
            config={
                "name": APPLICATION_NAME,
                "system_database_engine": system,
                "dbos_system_schema": DBOS_SCHEMA,
                "application_version": RUN_VERSION,
                "executor_id": self._executor_id,
                "serializer": SERIALIZER,
                "log_level": "WARNING",
                # Nobody waits for DBOS's messages here, but on SQLite its thread for them sleeps this long before it sees the end.
                "notification_listener_polling_interval_sec": self._tuning.poll_seconds,
            }
        )
        stack.push_async_callback(_shut_down)

        async def run_request(request_id: str, run: int) -> None:
            await self._run(request_id, run)

        decorated = DBOS.workflow(name=WORKFLOW, max_recovery_attempts=self._tuning.most_recoveries)
        self._workflow = decorated(run_request)
        DBOS.launch()
        if self._lease is not None:
            await stack.enter_async_context(self._lease.kept())
        stack.push_async_callback(self._drain)
        starting = asyncio.create_task(self._start_what_is_decided(), name="engine-start")
        stack.push_async_callback(_ended, starting)

    async def _register(self, stack: AsyncExitStack) -> None:
        """Become a replica that others watch, before there is any work that could be lost."""
        if self._store.engine.dialect.name == "sqlite":
            return
        self._lease = Lease(
            self._store.engine,
            self._executor_id,
            seconds=self._tuning.lease_seconds,
            most_takeovers=self._tuning.most_recoveries,
        )
        await self._lease.register()
        stack.push_async_callback(self._lease.release)

    # ---------------------------------------------------------------- runs

    async def _start_what_is_decided(self) -> None:
        """Every decision of this process as soon as it is committed; now and then whatever was left without a run."""
        loop = asyncio.get_running_loop()
        sweep_at = loop.time()
        while True:
            try:
                async with asyncio.timeout_at(sweep_at):
                    request_id = await self._store.queued.get()
            except TimeoutError:
                await self._patiently(self.sweep())
                sweep_at = loop.time() + self._tuning.sweep_seconds
            else:
                await self._patiently(self._start_latest(request_id))

    async def _patiently(self, work: Awaitable[object]) -> None:
        try:
            await work
        except TemporaryBackendError as error:
            # The rows say what there is to do; the next sweep finds it.
            log.warning("workflow.start_delayed", why=error.sentence)
        except Exception:
            log.exception("workflow.start_failed")

    async def _start_latest(self, request_id: str) -> None:
        """What was said before a commit that failed is no run: the row decides."""
        request = await self._store.find_request(request_id)
        if request is not None and request.state in _WORKING:
            await self._start_run(request.id, request.run)

    async def _start_run(self, request_id: str, run: int) -> None:
        """Once, wherever it was started before: DBOS starts no two workflows of one id."""
        with SetWorkflowID(f"{request_id}.{run}"):
            await DBOS.start_workflow_async(self._workflow, request_id, run)

    async def _run(self, request_id: str, run: int) -> None:
        task = asyncio.current_task()
        assert task is not None, "DBOS runs every workflow as a task"
        if self._closing:
            # DBOS may still take one up while the end waits for the others.
            raise asyncio.CancelledError
        self._runs.add(task)
        task.add_done_callback(self._runs.discard)
        await Saga(request_id, run, world=self._world, write=self._write).execute()

    async def _write(self, change: Callable[[Transaction], Awaitable[T]], /) -> T:
        """A run has nobody to tell that the database is away: it waits, and writes when it is back."""
        failures = 0
        while True:
            try:
                return await self._store.write(lambda tx: self._as_the_owner(tx, change))
            except TemporaryBackendError as error:
                failures += 1
                if failures == 1:
                    log.warning("workflow.database_away", why=error.sentence)
                await asyncio.sleep(min(FIRST_PAUSE_SECONDS * 2 ** min(failures, 10), LONGEST_PAUSE_SECONDS))

    async def _as_the_owner(self, tx: Transaction, change: Callable[[Transaction], Awaitable[T]]) -> T:
        if self._lease is not None:
            await self._lease.hold(tx.session)
        return await change(tx)

    async def _drain(self) -> None:
        """Interrupt the runs; what was handed to the writer is written. Nothing is marked: they go on, here or elsewhere."""
        self._closing = True
        for task in self._runs:
            task.cancel()
        if self._runs:
            await asyncio.wait(set(self._runs), timeout=self._tuning.drain_seconds)

    def wake(self, *, request_id: str, service: str) -> int:
        """Steps of this process that wait for something about it look again now. Returns how many."""
        return self._world.waking.wake(request_id=request_id, service=service)

    # ---------------------------------------------------------------- what nobody runs

    async def sweep(self) -> int:
        """Nothing stays "running" for ever: stop what DBOS has given up, start what has no workflow. Returns how many."""
        working = {
            f"{request_id}.{run}": (request_id, run)
            for request_id, run in await self._store.list_runs(_WORKING)
        }
        if not working:
            return 0
        found = await DBOS.list_workflows_async(
            workflow_ids=list(working), load_input=False, load_output=False
        )
        statuses = {workflow.workflow_id: workflow.status for workflow in found}
        swept = 0
        for workflow_id, (request_id, run) in working.items():
            swept += await self._sweep_one(request_id, run, statuses.get(workflow_id))
        return swept

    async def _sweep_one(self, request_id: str, run: int, status: str | None) -> bool:
        if status in _LIVE:
            return False
        # The run may have ended between the two looks; then the request says so by now.
        current = await self._store.find_request(request_id)
        if current is None or current.run != run or current.state not in _WORKING:
            return False
        if status is None:
            log.info("workflow.started_late", request_id=request_id, run=run)
            await self._start_run(request_id, run)
        else:
            log.error("workflow.stopped", request_id=request_id, run=run, status=status)
            await self._store.write(
                lambda tx: ledger.finish(
                    tx, request_id, run=run, state=RequestState.STOPPED, outcome=_GIVEN_UP
                )
            )
        return True

    async def forget(self, before: datetime, limit: int = 500) -> int:
        """Delete the engine's rows of runs that ended before then; requests and audit events stay. Returns how many."""
        ended = await DBOS.list_workflows_async(
            completed_before=before.isoformat(),
            status=sorted(_ENDED),
            limit=limit,
            load_input=False,
            load_output=False,
        )
        if ended:
            await DBOS.delete_workflows_async([workflow.workflow_id for workflow in ended])
        return len(ended)


def _prepare_tables(system: sa.Engine) -> None:
    DBOS.migrate(system.url.render_as_string(hide_password=False), schema=DBOS_SCHEMA)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _shut_down() -> None:
    # In a thread of its own: DBOS joins its threads, and they may still hand work to this loop.
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=1) as thread:
        await loop.run_in_executor(thread, lambda: DBOS.destroy(destroy_registry=True))
    # DBOS made its own pool the loop's default and has now shut it down; without another one every later
    # asyncio.to_thread of this process would fail.
    loop.set_default_executor(ThreadPoolExecutor())
