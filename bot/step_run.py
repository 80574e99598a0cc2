"""What runs act on, and what one step of one run may touch of it. Neither decides nor records anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bot.command import Backends, Command
from bot.domain import JSON, Halt, Platform, Request
from bot.replanned import Replan
from bot.waking import Waking


@dataclass(frozen=True)
class World:
    """What runs act on, the same for all of them."""

    find_request: Callable[[str], Awaitable[Request | None]]
    commands: Mapping[str, Command]
    backends: Backends
    platform: Callable[[], Platform]
    replan: Replan
    clock: Callable[[], datetime]
    slots: asyncio.Semaphore
    """For steps at work: what waits for something gives its slot back."""
    waking: Waking = field(default_factory=Waking)


@dataclass(frozen=True)
class StepRun:
    """What a step may touch (`bot.command.Run`), made anew for every call."""

    request: Request
    run: int
    world: World

    @property
    def request_id(self) -> str:
        return self.request.id

    @property
    def requester(self) -> str:
        return self.request.requester

    @property
    def requester_name(self) -> str:
        return self.request.requester_name

    @property
    def platform(self) -> Platform:
        return self.world.platform()

    @property
    def backends(self) -> Backends:
        return self.world.backends

    @property
    def now(self) -> datetime:
        return self.world.clock()

    def operation(self, purpose: str) -> str:
        """`<request>.<run>.<purpose>`: the same after every restart, another one after a retry.

        A backend never does the same operation twice, so a key without the run's number would make "Retry" watch the
        deployment that failed instead of deploying again. A new run only ever begins by a person's choice after a stop,
        so the number cannot change under an operation that is still in flight.
        """
        return f"{self.request.id}.{self.run}.{purpose}"

    def output(self, step_key: str) -> JSON:
        return next((step.output for step in self.request.steps if step.key == step_key), {})

    async def halt(self, step_key: str) -> Halt | None:
        """Read anew: whoever chose did so after this call began to wait."""
        request = await self.world.find_request(self.request.id)
        steps = request.steps if request is not None else ()
        return next((step.halt for step in steps if step.key == step_key), None)
