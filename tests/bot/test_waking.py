"""A hint makes a step that waits look now: once, by itself, and never against a backend that asked for time."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from toy_bot import ToyBot, toy_bot, utc_now
from toy_world import World, toy_command, toy_plan

from bot.attempt import attempt
from bot.command import Done, Pending, Run, StepKind
from bot.domain import JSON, Request, RequestState, StepState
from bot.errors import TemporaryBackendError
from bot.waking import Waking

LONG_SECONDS = 600.0


async def ended(pausing: asyncio.Task[None]) -> bool:
    """Whether a pause is over, after everything that is ready has run."""
    for _ in range(5):
        await asyncio.sleep(0)
    return pausing.done()


@pytest.mark.parametrize(
    ("request_id", "service", "woken"),
    [("r1", "", 1), ("", "orders", 1), ("r1", "orders", 1), ("r2", "billing", 0), ("", "", 0)],
)
async def test_what_waits_is_found_by_its_request_or_its_service(
    request_id: str, service: str, woken: int
) -> None:
    waking = Waking()
    with waking.sleeper(request_id="r1", service="orders") as sleeper:
        pausing = asyncio.create_task(sleeper.pause(LONG_SECONDS))
        assert not await ended(pausing)
        assert waking.wake(request_id=request_id, service=service) == woken
        assert await ended(pausing) is bool(woken)
        pausing.cancel()


async def test_a_hint_about_nothing_wakes_no_step_without_a_service() -> None:
    waking = Waking()
    with waking.sleeper(request_id="r1", service=""):
        assert waking.wake(request_id="", service="") == 0


async def test_what_comes_during_a_look_is_kept_for_the_pause_that_follows_and_no_longer() -> None:
    waking = Waking()
    with waking.sleeper(request_id="r1", service="orders") as sleeper:
        waking.wake(request_id="", service="orders")
        waking.wake(request_id="", service="orders")
        await asyncio.wait_for(sleeper.pause(LONG_SECONDS), 1)
        pausing = asyncio.create_task(sleeper.pause(LONG_SECONDS))
        assert not await ended(pausing)
        pausing.cancel()


async def test_a_pause_nobody_cuts_short_ends_by_itself() -> None:
    with Waking().sleeper(request_id="r1", service="orders") as sleeper:
        await sleeper.pause(0.01)


async def test_whoever_has_ended_is_not_told() -> None:
    waking = Waking()
    with waking.sleeper(request_id="r1", service="orders"):
        pass
    assert waking.wake(request_id="r1", service="orders") == 0


async def test_a_backend_that_asked_for_time_is_given_it_whatever_is_hinted() -> None:
    paused: list[float] = []
    answers: list[Pending | Done | TemporaryBackendError] = [
        TemporaryBackendError("Too many.", backend="toy", retry_after_seconds=0.05),
        Pending("rolling out", after_seconds=LONG_SECONDS),
        Done(),
    ]

    async def call() -> Done | Pending:
        answer = answers.pop(0)
        if isinstance(answer, TemporaryBackendError):
            raise answer
        return answer

    async def note(*_: object) -> None: ...

    async def pause(seconds: float) -> None:
        paused.append(seconds)

    begun = time.monotonic()
    outcome = await attempt(
        call, note, what="a test", due_at=utc_now() + timedelta(hours=1), timeout_seconds=3600,
        slots=asyncio.Semaphore(1), clock=utc_now, pause=pause,
    )  # fmt: skip
    assert (outcome, paused) == (Done(), [LONG_SECONDS])
    assert time.monotonic() - begun >= 0.05


# ---------------------------------------------------------------- in a run


def says(shown: str, request: Request) -> bool:
    return any(step.detail == shown for step in request.steps)


async def until_woken(bot: ToyBot) -> None:
    async with asyncio.timeout(20):
        while not bot.engine.wake(request_id="", service="toy"):
            await asyncio.sleep(0.01)


async def test_a_waiting_step_looks_at_once_and_is_never_run_twice_at_a_time(
    database_url: str, tmp_path: Path
) -> None:
    looks, at_once, most = 0, 0, 0

    async def deploy(_run: Run, _arguments: JSON) -> Done | Pending:
        nonlocal looks, at_once, most
        looks, at_once = looks + 1, at_once + 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        return Done(detail="up") if looks == 3 else Pending(f"look {looks}", after_seconds=LONG_SECONDS)

    command = toy_command(World(tmp_path / "world.db"), deploy=StepKind(deploy))
    async with toy_bot(database_url, command) as bot:
        await bot.request(toy_plan(timeout_seconds=3600))
        for shown in ("look 1", "look 2"):
            await bot.until(partial(says, shown))
            await until_woken(bot)
        request = await bot.ended()

    assert (request.state, request.steps[2].state) == (RequestState.SUCCEEDED, StepState.DONE)
    assert (looks, most) == (3, 1)
