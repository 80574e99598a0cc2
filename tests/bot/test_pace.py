"""Slack's limits are kept without waiting in the test: time is an argument."""

from __future__ import annotations

import pytest

from bot.pace import LIMITS, Pace


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def test_posts_to_one_channel_are_spread_to_one_a_second_after_a_burst() -> None:
    time = Time()
    pace = Pace(now=time, sleep=time.sleep)
    for _ in range(10):
        await pace.sleep(pace.take("chat.postMessage", "C1", patience=60))
    assert time.now == pytest.approx(10 - LIMITS["chat.postMessage"].burst)


async def test_another_channel_does_not_wait() -> None:
    time = Time()
    pace = Pace(now=time, sleep=time.sleep)
    for _ in range(10):
        pace.take("chat.postMessage", "C1", patience=60)
    assert pace.take("chat.postMessage", "C2", patience=60) == 0


async def test_a_429_holds_back_everything_to_that_channel() -> None:
    time = Time()
    pace = Pace(now=time, sleep=time.sleep)
    pace.hold("C1", seconds=7)
    await pace.sleep(pace.take("chat.update", "C1", patience=60))
    assert time.now == pytest.approx(7)


async def test_a_wait_beyond_the_patience_takes_no_turn() -> None:
    time = Time()
    pace = Pace(now=time, sleep=time.sleep)
    pace.hold("C1", seconds=7)
    for _ in range(10):
        assert pace.take("chat.update", "C1", patience=5) == pytest.approx(7)
    time.now = 7
    assert pace.take("chat.update", "C1", patience=5) == 0
