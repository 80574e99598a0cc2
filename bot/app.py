"""Composition root: configuration in, a running bot out. The only place that wires; nothing else knows who implements what."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import structlog
from slack_sdk.web.async_client import AsyncWebClient

from bot import connection, registry, web
from bot.cards import Cards
from bot.command import Backends, Command
from bot.config import Config
from bot.connection import Identity
from bot.decisions import Decisions
from bot.dispatch import Dispatcher
from bot.domain import Platform
from bot.errors import TemporaryBackendError
from bot.hooks import Reception, open_hooks
from bot.metrics import Metrics
from bot.observing import Observer
from bot.pace import Pace
from bot.people import Directory
from bot.planning import Planner
from bot.schedule import Ticker
from bot.slack import SlackEdge
from bot.store import Store
from bot.targets import Targets
from bot.tasks import Tasks, going_on
from bot.workflow import DEFAULT_TUNING, Engine, Tuning
from integrations.ports import Surroundings

log = structlog.get_logger(__name__)

SLACK_TIMEOUT_SECONDS = 10
DRAIN_SECONDS = 8.0


def utc_now() -> datetime:
    return datetime.now(tz=UTC)


@dataclass(frozen=True)
class Bot:
    """A wired bot. `edge.app` takes Slack's payloads; `ticker`, `cards` and `engine` work beside it."""

    config: Config
    commands: Mapping[str, Command]
    store: Store
    backends: Backends
    client: AsyncWebClient
    edge: SlackEdge
    dispatcher: Dispatcher
    cards: Cards
    ticker: Ticker
    engine: Engine
    hooks: Reception
    tasks: Tasks
    metrics: Metrics

    async def ready(self) -> dict[str, bool]:
        try:
            await self.store.ping()
        except TemporaryBackendError:
            return {"database": False}
        return {"database": True}


OpenBackends = Callable[[Config, Surroundings], AbstractAsyncContextManager[Backends]]


@asynccontextmanager
async def open_bot(
    config: Config,
    *,
    clock: Callable[[], datetime] = utc_now,
    open_backends: OpenBackends = registry.open_backends,
    tuning: Tuning = DEFAULT_TUNING,
) -> AsyncIterator[Bot]:
    """Everything wired and working, except the way in (Socket Mode or HTTP). Raises StartError, ConfigError.

    `open_backends` is for whoever has all five ports in hand already; by default platform.yml names them. `tuning` says how
    eager the engine is.
    """
    async with AsyncExitStack() as stack:
        ground = await _open_ground(stack, config, open_backends, clock)
        people = Directory(ground.client, config.platform, clock)
        planner = Planner(
            platform=config.platform,
            commands=ground.commands,
            backends=ground.backends,
            knowledge=ground.store,
            people=people,
            clock=clock,
        )
        engine = await stack.enter_async_context(
            Engine.open(
                ground.store,
                commands=ground.commands,
                backends=ground.backends,
                platform=lambda: config.platform,
                replan=planner.replan,
                clock=clock,
                tuning=tuning,
            )
        )
        bot = _assemble(config, ground, people=people, planner=planner, engine=engine)
        await stack.enter_async_context(_working(bot))
        yield bot


@dataclass(frozen=True)
class _Ground:
    """What is opened first and closed last: the database, the company's systems, Slack."""

    commands: Mapping[str, Command]
    store: Store
    backends: Backends
    client: AsyncWebClient
    identity: Identity
    clock: Callable[[], datetime]


async def _open_ground(
    stack: AsyncExitStack, config: Config, open_backends: OpenBackends, clock: Callable[[], datetime]
) -> _Ground:
    commands = registry.load_commands()
    store = await stack.enter_async_context(
        Store.open(config.secrets.database_url.get_secret_value(), clock=clock)
    )
    surroundings = Surroundings(
        state_folder=config.state_folder,
        base_folder=config.path.parent,
        entities=store,
        secrets={name: value.get_secret_value() for name, value in config.secrets.others.items()},
    )
    backends = await stack.enter_async_context(open_backends(config, surroundings))
    client = await _slack_client(stack, config)
    identity = await stack.enter_async_context(Identity(client).asked())
    return _Ground(commands, store, backends, client, identity, clock)


def _assemble(config: Config, ground: _Ground, *, people: Directory, planner: Planner, engine: Engine) -> Bot:
    """The parts that only hold each other: nothing here is opened or awaited."""
    store, platform, clock = ground.store, config.platform, ground.clock
    tasks, metrics = Tasks(), Metrics()
    targets = Targets(platform=platform, people=people)
    decisions = Decisions(
        store=store, people=people, platform=platform, targets=targets, wake=engine.wake, clock=clock
    )
    dispatcher = Dispatcher(
        platform=platform,
        commands=ground.commands,
        store=store,
        people=people,
        planner=planner,
        decisions=decisions,
        targets=targets,
        tasks=tasks,
        clock=clock,
    )
    edge = SlackEdge(
        client=ground.client,
        signing_secret=config.secrets.slack_signing_secret.get_secret_value(),
        identity=ground.identity,
        dispatcher=dispatcher,
        decisions=decisions,
        people=people,
        store=store,
        tasks=tasks,
        metrics=metrics,
    )
    cards = Cards(
        store=store,
        client=ground.client,
        commands=ground.commands,
        pace=Pace(now=time.monotonic),
        tasks=tasks,
        metrics=metrics,
        clock=clock,
    )
    return Bot(
        config=config,
        commands=ground.commands,
        store=store,
        backends=ground.backends,
        client=ground.client,
        edge=edge,
        dispatcher=dispatcher,
        cards=cards,
        ticker=Ticker(store=store, dispatcher=dispatcher, clock=clock),
        engine=engine,
        hooks=_reception(ground, platform=platform, engine=engine, tasks=tasks, metrics=metrics),
        tasks=tasks,
        metrics=metrics,
    )


def _reception(
    ground: _Ground, *, platform: Platform, engine: Engine, tasks: Tasks, metrics: Metrics
) -> Reception:
    observer = Observer(store=ground.store, delivery=ground.backends.delivery, tasks=tasks)
    return Reception(
        open_hooks(ground.backends),
        store=ground.store,
        platform=platform,
        observer=observer,
        wake=engine.wake,
        metrics=metrics,
    )


async def _slack_client(stack: AsyncExitStack, config: Config) -> AsyncWebClient:
    """One session for all calls, and no retries of its own: a post whose answer was lost must not be sent again blindly."""
    session = await stack.enter_async_context(
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SLACK_TIMEOUT_SECONDS))
    )
    return AsyncWebClient(
        token=config.secrets.slack_bot_token.get_secret_value(),
        base_url=config.secrets.slack_api_url,
        session=session,
        retry_handlers=[],
        trust_env_in_session=True,
    )


@asynccontextmanager
async def _working(bot: Bot) -> AsyncIterator[None]:
    """Cards pump and ticker run; at the end what was started is drained and the last cards are sent."""
    async with bot.ticker.running(), going_on(bot.cards.run, name="cards"):
        resume = bot.tasks.start(bot.dispatcher.resume_planning(older_than_seconds=0), name="resume")
        try:
            yield
        finally:
            resume.cancel()
            await bot.tasks.drain(timeout_seconds=DRAIN_SECONDS)


# ---------------------------------------------------------------- ways in


@asynccontextmanager
async def socket_mode(bot: Bot) -> AsyncIterator[bool]:
    """Receive over a websocket; yields whether it is connected by now. Raises StartError when the app token does not work."""
    token = bot.config.secrets.slack_app_token.get_secret_value()
    async with connection.socket_mode(bot.client, bot.edge.app, token) as connected:
        yield connected


@asynccontextmanager
async def http_mode(bot: Bot, *, host: str, port: int) -> AsyncIterator[int]:
    """Serve Slack's endpoint, hooks, health and metrics; yields the port."""
    application = web.build(
        slack=bot.edge.app, ready=bot.ready, metrics=bot.metrics.registry, hooks=bot.hooks
    )
    async with web.serving(application, host=host, port=port) as bound:
        yield bound


@asynccontextmanager
async def health_only(bot: Bot, *, host: str, port: int) -> AsyncIterator[int]:
    """Beside Socket Mode: hooks, health and metrics without Slack's endpoint."""
    application = web.build(slack=None, ready=bot.ready, metrics=bot.metrics.registry, hooks=bot.hooks)
    async with web.serving(application, host=host, port=port) as bound:
        yield bound
