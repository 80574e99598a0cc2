"""A store, an engine and the toy command, put together for tests of durable execution."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from bot.command import Backends, Command
from bot.domain import Plan, Platform, Request, RequestState, plan_hash
from bot.replanned import Replanned, Same
from bot.store import NewRequest, Proposal, Store
from bot.workflow import Engine, Tuning

QUICK = Tuning(drain_seconds=5.0, sweep_seconds=0.1, lease_seconds=1.5)
ENDED = frozenset(
    {
        RequestState.SUCCEEDED,
        RequestState.UNDONE,
        RequestState.STOPPED,
        RequestState.REFUSED,
        RequestState.AWAITING,
    }
)


def utc_now() -> datetime:
    return datetime.now(tz=UTC)


async def nothing_changed(_request: Request) -> Replanned:
    return Same()


class ToyBot:
    """What a test may do with it."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self.store = store
        self.engine = engine

    async def request(self, plan: Plan, *, name: str = "r1") -> Request:
        """Ask for it and have it approved at once; asking again finds the first, as a second delivery does."""
        new = NewRequest(
            id=name,
            dedupe_key=name,
            active_key=plan.service,
            command=plan.command,
            requester="U1",
            requester_name="Alice",
            team_id="T1",
            channel_id="C1",
            team=plan.team,
            service=plan.service,
            environment=plan.environment,
            arguments={},
        )
        opened = await self.store.open_request(new)
        if opened.request.state is not RequestState.PLANNING:
            return opened.request
        proposal = Proposal(
            plan=plan,
            gates=(),
            plan_hash=plan_hash(plan, ()),
            state=RequestState.QUEUED,
            due_at=None,
        )
        return await self.store.propose(name, proposal, version=opened.request.version)

    async def until(
        self, arrived: Callable[[Request], bool], *, name: str = "r1", seconds: float = 20.0
    ) -> Request:
        async def look() -> Request:
            while not arrived(request := await self.store.get_request(name)):
                await asyncio.sleep(0.01)
            return request

        return await asyncio.wait_for(look(), seconds)

    async def ended(self, *, name: str = "r1", run: int = 1, seconds: float = 20.0) -> Request:
        return await self.until(
            lambda request: request.run == run and request.state in ENDED, name=name, seconds=seconds
        )

    async def choose(self, choice: Any, *, name: str = "r1") -> Request:
        request = await self.store.get_request(name)
        return await self.store.stop_choice(name, actor="U1", choice=choice, version=request.version)

    async def events(self) -> list[str]:
        return [event.event async for event in self.store.walk_audit()]


@asynccontextmanager
async def toy_bot(
    url: str,
    command: Command,
    *,
    replan: Callable[[Request], Awaitable[Replanned]] = nothing_changed,
    tuning: Tuning = QUICK,
) -> AsyncIterator[ToyBot]:
    """The database at `url` must be migrated."""
    async with (
        Store.open(url, clock=utc_now) as store,
        Engine.open(
            store,
            commands={command.name: command},
            backends=cast("Backends", SimpleNamespace()),
            platform=lambda: cast("Platform", None),
            replan=replan,
            clock=utc_now,
            tuning=tuning,
        ) as engine,
    ):
        yield ToyBot(store, engine)
