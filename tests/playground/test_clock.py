"""The clock: lifetimes pass at once when a test says so, and never before."""

from __future__ import annotations

import asyncio
import time

import pytest

from playground.clock import Clock


async def test_advancing_wakes_those_whose_time_has_come_and_nobody_else() -> None:
    clock = Clock()
    woken: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    tasks = [asyncio.ensure_future(sleeper("hour", 3600)), asyncio.ensure_future(sleeper("minute", 60))]
    await asyncio.sleep(0)
    clock.advance(61)
    await tasks[1]
    assert woken == ["minute"]
    clock.set(clock.now() + 3600)
    await tasks[0]
    assert woken == ["minute", "hour"]


async def test_a_frozen_clock_stands_still_and_goes_on_from_there() -> None:
    ahead_seconds = 0.0
    clock = Clock(source=lambda: time.time() + ahead_seconds)
    clock.freeze()
    first = clock.now()
    ahead_seconds = 3600.0
    assert clock.now() == first
    sleeping = asyncio.ensure_future(clock.sleep(0.001))
    await asyncio.sleep(0)
    # Whoever began to sleep as long and later, by a clock that runs, has woken up.
    await Clock().sleep(0.001)
    assert not sleeping.done()
    clock.resume()
    await asyncio.wait_for(sleeping, timeout=5)
    assert 0 < clock.now() - first < ahead_seconds


async def test_a_deadline_counts_from_the_call() -> None:
    clock = Clock()
    cancelled: list[bool] = []

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    waiting = asyncio.ensure_future(clock.wait_for(never(), timeout_seconds=3))
    await asyncio.sleep(0)
    clock.advance(3)
    with pytest.raises(TimeoutError):
        await waiting
    await asyncio.sleep(0)
    assert cancelled == [True]


async def test_the_result_in_time_and_the_error_of_the_work() -> None:
    clock = Clock(source=lambda: 1000.0)

    async def answer() -> int:
        return 42

    async def fail() -> None:
        raise KeyError("x")

    assert await clock.wait_for(answer(), timeout_seconds=3) == 42
    with pytest.raises(KeyError):
        await clock.wait_for(fail(), timeout_seconds=3)
    assert clock.now() == 1000.0
