"""A hundred people ask the same at once: backends are asked once, and nobody is shown something old."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from bot.freshness import Freshness


@dataclass
class Backend:
    """Answers with a number that grows, once it is let go."""

    asked: int = 0
    go: asyncio.Event = field(default_factory=asyncio.Event)
    failing: bool = False

    async def answer(self) -> int:
        self.asked += 1
        number = self.asked
        await self.go.wait()
        if self.failing:
            raise ConnectionError("away")
        return number


@dataclass
class Clock:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def freshness(clock: Clock) -> Freshness:
    return Freshness(now=clock, seconds=2.0)


async def test_a_hundred_at_once_share_one_answer(freshness: Freshness) -> None:
    backend = Backend()
    waiting = [asyncio.create_task(freshness.share("orders", backend.answer)) for _ in range(100)]
    await asyncio.sleep(0)
    backend.go.set()
    assert await asyncio.gather(*waiting) == [1] * 100
    assert backend.asked == 1


async def test_a_fresh_answer_is_shared_and_an_old_one_is_not(freshness: Freshness, clock: Clock) -> None:
    backend = Backend()
    backend.go.set()
    assert await freshness.share("orders", backend.answer) == 1
    clock.seconds = 1.9
    assert await freshness.share("orders", backend.answer) == 1
    clock.seconds = 2.0
    assert await freshness.share("orders", backend.answer) == 2


async def test_who_asks_afresh_is_told_anew_and_so_is_everybody_after(freshness: Freshness) -> None:
    backend = Backend()
    backend.go.set()
    assert await freshness.share("orders", backend.answer) == 1
    assert await freshness.share("orders", backend.answer, afresh=True) == 2
    assert await freshness.share("orders", backend.answer) == 2


async def test_different_questions_have_different_answers(freshness: Freshness) -> None:
    orders, payments = Backend(), Backend(asked=10)
    orders.go.set()
    payments.go.set()
    assert await freshness.share("orders", orders.answer) == 1
    assert await freshness.share("payments", payments.answer) == 11


async def test_an_error_reaches_everybody_who_waits_and_nobody_after(freshness: Freshness) -> None:
    backend = Backend(failing=True)
    waiting = [asyncio.create_task(freshness.share("orders", backend.answer)) for _ in range(3)]
    await asyncio.sleep(0)
    backend.go.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in answers] == [ConnectionError] * 3
    backend.failing = False
    assert await freshness.share("orders", backend.answer) == 2


async def test_who_goes_away_takes_the_answer_from_nobody(freshness: Freshness) -> None:
    backend = Backend()
    first = asyncio.create_task(freshness.share("orders", backend.answer))
    second = asyncio.create_task(freshness.share("orders", backend.answer))
    await asyncio.sleep(0)
    first.cancel()
    backend.go.set()
    assert await second == 1


async def test_an_answer_takes_no_room_once_it_is_old() -> None:
    backend, freshness = Backend(), Freshness(seconds=0.01)
    backend.go.set()
    for number in range(5):
        await freshness.share(number, backend.answer)
    async with asyncio.timeout(5):
        while freshness._kept:
            await asyncio.sleep(0.005)
