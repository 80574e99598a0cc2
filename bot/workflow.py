"""Durable execution of approved requests: the only module that knows DBOS (with `bot.replicas`, which moves work).

DBOS keeps its tables in the application's own database, so a decision and the run it starts are one commit, and so are a
step's outcome, its audit event and its checkpoint. What a run does, in which order, is `bot.saga`; what is recorded, is
`bot.ledger`. Nothing here decides anything about a request.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, Literal

import sqlalchemy as sa
import structlog
from dbos import DBOS, AsyncSQLAlchemyDatasource, DBOSClient, DBOSPortableJSONSerializer, WorkflowStatusString

from bot.command import Backends, Command
from bot.domain import JSON, Platform, Request, RequestState
from bot.errors import StartError
from bot.quiet_log import QuietLog
from bot.replanned import Replan
from bot.replicas import Lease
from bot.saga import Act, Change, Saga
from bot.step_run import World
from bot.store import Store, Transaction
from bot.system_engine import postgresql_connect_args, system_engine

log = structlog.get_logger(__name__)

IsolationLevel = Literal["SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED"]
APPLICATION_NAME = "platform-bot"
QUEUE = "runs"
WORKFLOW = "run_request"
RUN_VERSION = "1"
"""Pinned: DBOS resumes only runs of its own version, and its default (a hash of the code) would strand them silently at
every release. Raise it only together with a plan for the runs that are then in flight."""
DBOS_SCHEMA = "dbos"
SERIALIZER = DBOSPortableJSONSerializer()
"""JSON, because whoever can write to the database must not thereby run code here, as pickles would let them."""

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
    """How eager the engine is. The defaults start a run about 100 ms after its commit, for 3 % (SQLite) to 5 % (PostgreSQL)
    of one core when idle."""

    poll_seconds: float = 0.1
    concurrency: int = 20
    """Runs at once in this process; the others wait in the queue."""
    drain_seconds: float = 10.0
    """How long the end waits for transactions in flight; steps are interrupted at once, they are idempotent."""
    lease_seconds: float = 15.0
    """PostgreSQL: a replica that was silent for so long has its runs taken over."""
    most_recoveries: int = 10
    """A run that took the process down this often is stopped instead of started again."""


def utc_now() -> datetime:
    return datetime.now(tz=UTC)


# ---------------------------------------------------------------- enqueueing


@cache
def _enqueuer(dialect_name: str) -> DBOSClient:
    """A client that never connects: it only knows how to write a workflow's row through somebody else's connection."""
    url = "sqlite://" if dialect_name == "sqlite" else "postgresql+psycopg://"
    return DBOSClient(
        system_database_engine=sa.create_engine(url),
        dbos_system_schema=DBOS_SCHEMA,
        serializer=SERIALIZER,
        application_name=APPLICATION_NAME,
        lazy=True,
    )


def enqueue(connection: sa.Connection, workflow_id: str, request_id: str) -> None:
    """Put a run into the queue, inside the caller's transaction. `workflow_id` is `<request id>.<run>`."""
    run = int(workflow_id.rpartition(".")[2])
    _enqueuer(connection.dialect.name).enqueue_in_transaction(
        connection,
        {
            "workflow_name": WORKFLOW,
            "queue_name": QUEUE,
            "workflow_id": workflow_id,
            "app_version": RUN_VERSION,
        },
        request_id,
        run,
    )


# ---------------------------------------------------------------- the journal


class _Journal:
    """`bot.saga.Journal` on DBOS: an entry is a DBOS step, a commit is a datasource transaction."""

    def __init__(self, datasource: AsyncSQLAlchemyDatasource, closing: asyncio.Event) -> None:
        self._datasource = datasource
        self._closing = closing
        # PostgreSQL: writers take one lock first, so nothing stronger is needed. SQLite knows only SERIALIZABLE.
        sqlite = datasource.engine.dialect.name == "sqlite"
        self._isolation: IsolationLevel = "SERIALIZABLE" if sqlite else "READ COMMITTED"

    async def commit(self, name: str, change: Change) -> JSON:
        self._stop_when_closing()

        async def body() -> JSON:
            return await change(self._datasource.sql_session())

        return await self._datasource.run_tx_step_async(
            {"name": name, "isolation_level": self._isolation}, body
        )

    async def note(self, change: Change) -> None:
        # Outside of a workflow's own level a datasource transaction leaves no checkpoint behind.
        await self.commit("note", change)

    async def effect(self, name: str, act: Act) -> JSON:
        self._stop_when_closing()

        async def body() -> JSON:
            return await self._interruptible(act)

        return await DBOS.run_step_async({"name": name}, body)

    async def _interruptible(self, act: Act) -> JSON:
        """The end does not wait for a deployment: cancelled here, the run stays as it is and goes on at the next start."""
        work = asyncio.ensure_future(act())
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait({work, closing}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise asyncio.CancelledError
            return work.result()
        finally:
            for task in (work, closing):
                task.cancel()
            await asyncio.gather(work, closing, return_exceptions=True)

    def _stop_when_closing(self) -> None:
        if self._closing.is_set():
            raise asyncio.CancelledError


# ---------------------------------------------------------------- the engine


class Engine:
    """Runs requests durably. One per process, because DBOS is; it can be opened again after it was closed."""

    _opened: ClassVar[bool] = False
    enqueue = staticmethod(enqueue)

    def __init__(self, store: Store, world: World, *, executor_id: str, tuning: Tuning) -> None:
        self._store = store
        self._world = world
        self._executor_id = executor_id
        self._tuning = tuning
        self._closing = asyncio.Event()
        self._runs: set[asyncio.Task[Any]] = set()

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
        tuning: Tuning | None = None,
    ) -> AsyncIterator[Engine]:
        """Start DBOS in the running loop: runs that were interrupted go on. The end leaves runs in flight for the next start."""
        if cls._opened:
            raise StartError("Durable execution runs already in this process.")
        world = World(
            ledger=store.ledger,
            find_request=store.find_request,
            commands=commands,
            backends=backends,
            platform=platform,
            replan=replan,
            clock=clock,
        )
        # One process owns an SQLite file (the store holds its lock), so whatever is unfinished there is its own. On
        # PostgreSQL an id must never be used twice; a dead replica's runs are taken over by their lease.
        executor_id = "single" if store.engine.dialect.name == "sqlite" else uuid.uuid4().hex
        engine = cls(store, world, executor_id=executor_id, tuning=tuning or Tuning())
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
        await asyncio.to_thread(_prepare_tables, system, self._tuning)
        lease = await self._register(stack)
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
        journal = _Journal(await self._open_datasource(stack), self._closing)

        async def run_request(request_id: str, run: int) -> None:
            await self._run(Saga(request_id, run, world=self._world, journal=journal))

        DBOS.workflow(name=WORKFLOW, max_recovery_attempts=self._tuning.most_recoveries)(run_request)
        DBOS.launch()
        if lease is not None:
            await stack.enter_async_context(lease.kept())
        stack.push_async_callback(self._drain)

    async def _register(self, stack: AsyncExitStack) -> Lease | None:
        """Become a replica that others watch, before there is any work that could be lost."""
        if self._store.engine.dialect.name == "sqlite":
            return None
        lease = Lease(
            self._store.engine,
            self._executor_id,
            queue=QUEUE,
            seconds=self._tuning.lease_seconds,
            most_takeovers=self._tuning.most_recoveries,
        )
        await lease.register()
        stack.push_async_callback(lease.release)
        return lease

    async def _open_datasource(self, stack: AsyncExitStack) -> AsyncSQLAlchemyDatasource:
        """SQLite: the store's own engine, so that there is one way to write. PostgreSQL: psycopg, because DBOS knows by its
        errors which transactions to repeat when the database was away."""
        url, sqlite = self._store.engine.url, self._store.engine.dialect.name == "sqlite"
        datasource = await AsyncSQLAlchemyDatasource.create(
            url.render_as_string(hide_password=False),
            engine_kwargs={
                "pool_pre_ping": True,
                "connect_args": postgresql_connect_args(f"{APPLICATION_NAME}-runs"),
            },
            engine=self._store.engine if sqlite else None,
            schema=DBOS_SCHEMA,
            serializer=SERIALIZER,
        )
        if not sqlite:
            stack.push_async_callback(datasource.engine.dispose)
        return datasource

    async def _run(self, saga: Saga) -> None:
        task = asyncio.current_task()
        assert task is not None, "DBOS runs every workflow as a task"
        self._runs.add(task)
        task.add_done_callback(self._runs.discard)
        await saga.execute()

    async def _drain(self) -> None:
        """Interrupt steps and let transactions end. Nothing is marked: the runs are to go on, here or elsewhere."""
        self._closing.set()
        if self._runs:
            _, late = await asyncio.wait(set(self._runs), timeout=self._tuning.drain_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def wake(self, *, request_id: str, service: str) -> int:
        """Steps of this process that wait for something about it look again now. Returns how many."""
        return self._world.waking.wake(request_id=request_id, service=service)

    # ---------------------------------------------------------------- what nobody runs

    async def sweep(self, limit: int = 100) -> int:
        """Nothing stays "running" for ever: stop what DBOS has given up, enqueue what has no workflow. Returns how many."""
        requests = await self._store.list_open(states=_WORKING, limit=limit)
        if not requests:
            return 0
        ids = [f"{request.id}.{request.run}" for request in requests]
        found = await DBOS.list_workflows_async(workflow_ids=ids, load_input=False, load_output=False)
        statuses = {workflow.workflow_id: workflow.status for workflow in found}
        swept = 0
        for request, workflow_id in zip(requests, ids, strict=True):
            swept += await self._sweep_one(request, workflow_id, statuses.get(workflow_id))
        return swept

    async def _sweep_one(self, request: Request, workflow_id: str, status: str | None) -> bool:
        if status in _LIVE:
            return False
        # The run may have ended between the two looks; then the request says so by now.
        current = await self._store.find_request(request.id)
        if current is None or current.run != request.run or current.state not in _WORKING:
            return False
        if status is None:
            log.warning("workflow.enqueued_again", request_id=request.id, run=request.run)
            await self._store.write(lambda tx: _enqueue_again(tx, workflow_id, request.id))
        else:
            log.error("workflow.stopped", request_id=request.id, run=request.run, status=status)
            await self._store.write(lambda tx: self._give_up(tx, request))
        return True

    async def _give_up(self, tx: Transaction, request: Request) -> None:
        await self._world.ledger.finish(
            tx.session,
            request.id,
            run=request.run,
            state=RequestState.STOPPED,
            outcome=_GIVEN_UP,
            now=tx.now,
        )

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


async def _enqueue_again(tx: Transaction, workflow_id: str, request_id: str) -> None:
    connection = await tx.session.connection()
    await connection.run_sync(enqueue, workflow_id, request_id)


def _prepare_tables(system: sa.Engine, tuning: Tuning) -> None:
    """DBOS's tables and our queue, before the start: a queue registered later is only found a second later."""
    DBOS.migrate(system.url.render_as_string(hide_password=False), schema=DBOS_SCHEMA)
    client = DBOSClient(
        system_database_engine=system,
        dbos_system_schema=DBOS_SCHEMA,
        serializer=SERIALIZER,
        application_name=APPLICATION_NAME,
    )
    client.register_queue(
        QUEUE, worker_concurrency=tuning.concurrency, polling_interval_sec=tuning.poll_seconds
    )
    client.destroy()


async def _shut_down() -> None:
    # In a thread of its own: DBOS joins its threads, and they may still hand work to this loop.
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=1) as thread:
        await loop.run_in_executor(thread, lambda: DBOS.destroy(destroy_registry=True))
    # DBOS made its own pool the loop's default and has now shut it down; without another one every later
    # asyncio.to_thread of this process would fail.
    loop.set_default_executor(ThreadPoolExecutor())
