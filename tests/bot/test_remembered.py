"""A fresh answer is never older than the question, and a crowd costs two calls."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from bot.remembered import Remembered


@dataclass
class Slack:
    """Answers each call with its number, once that call is let go; turns are given as long as `open`."""

    asked: int = 0
    together: int = 0
    most_together: int = 0
    let_go: dict[int, asyncio.Event] = field(default_factory=dict)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    now: datetime = datetime(2026, 3, 1, tzinfo=UTC)

    def __post_init__(self) -> None:
        self.open.set()

    async def ask(self, _key: str) -> int:
        self.asked += 1
        number = self.asked
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        try:
            await self.answered(number).wait()
        finally:
            self.together -= 1
        return number

    def answered(self, number: int) -> asyncio.Event:
        return self.let_go.setdefault(number, asyncio.Event())

    async def turn(self) -> None:
        await self.open.wait()

    def remembered(self) -> Remembered[int]:
        return Remembered(self.ask, lambda: self.now, turn=self.turn)


@pytest.fixture
async def slack() -> Slack:
    return Slack()


async def at_rest() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_crowd_that_wants_it_fresh_shares_the_call_after_the_one_under_way(slack: Slack) -> None:
    remembered = slack.remembered()
    first = asyncio.create_task(remembered.get("all", fresh=True))
    await at_rest()
    crowd = [asyncio.create_task(remembered.get("all", fresh=True)) for _ in range(100)]
    await at_rest()
    assert slack.asked == 1
    slack.answered(1).set()
    slack.answered(2).set()
    assert await first == 1
    assert await asyncio.gather(*crowd) == [2] * 100
    assert (slack.asked, slack.most_together) == (2, 1)


async def test_who_comes_while_a_call_waits_for_its_turn_shares_it(slack: Slack) -> None:
    remembered = slack.remembered()
    slack.open.clear()
    early = asyncio.create_task(remembered.get("all", fresh=True))
    await at_rest()
    late = asyncio.create_task(remembered.get("all", fresh=True))
    await at_rest()
    slack.answered(1).set()
    slack.open.set()
    assert await asyncio.gather(early, late) == [1, 1]


async def test_a_call_that_hangs_is_overtaken(slack: Slack) -> None:
    remembered = slack.remembered()
    hanging = asyncio.create_task(remembered.get("all", fresh=True))
    await at_rest()
    slack.answered(2).set()
    async with asyncio.timeout(5):
        assert await remembered.get("all", fresh=True) == 2
    slack.answered(1).set()
    assert await hanging == 1
    assert remembered.peek("all") == 2, "the older answer came later"


async def test_a_fresh_answer_is_remembered_for_those_who_only_look(slack: Slack) -> None:
    remembered = slack.remembered()
    slack.answered(1).set()
    assert await remembered.get("all", fresh=True) == 1
    assert await remembered.get("all", fresh=False) == 1
    slack.now += timedelta(seconds=60)
    assert remembered.peek("all") is None


async def test_what_was_forgotten_while_it_was_asked_for_is_nobodys_answer_any_more(slack: Slack) -> None:
    remembered = slack.remembered()
    first = asyncio.create_task(remembered.get("all", fresh=False))
    await at_rest()
    remembered.forget("all")
    second = asyncio.create_task(remembered.get("all", fresh=False))
    await at_rest()
    slack.answered(1).set()
    slack.answered(2).set()
    assert await asyncio.gather(first, second) == [1, 2]
    assert remembered.peek("all") == 2


async def test_a_failure_is_told_to_those_who_share_it_and_kept_for_nobody(slack: Slack) -> None:
    failing = True

    async def ask(_key: str) -> int:
        if failing:
            raise ConnectionError("away")
        return 7

    remembered: Remembered[int] = Remembered(ask, lambda: slack.now, turn=slack.turn)
    found = await asyncio.gather(
        *(remembered.get("all", fresh=True) for _ in range(3)), return_exceptions=True
    )
    assert [type(one) for one in found] == [ConnectionError] * 3
    failing = False
    assert await remembered.get("all", fresh=False) == 7


async def test_who_runs_out_of_time_takes_the_answer_from_nobody(slack: Slack) -> None:
    remembered = slack.remembered()
    gone, patient = (asyncio.create_task(remembered.get("all", fresh=True)) for _ in range(2))
    await at_rest()
    gone.cancel()
    slack.answered(1).set()
    assert await patient == 1
