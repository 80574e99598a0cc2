"""Slack's limits are kept without waiting in the test: time is an argument."""

from __future__ import annotations

import pytest

from bot.pace import LIMITS, STRICT_SECONDS, UNUSED_KEPT_SECONDS, WORKSPACE, Pace


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


async def test_a_429_for_a_post_holds_back_posts_to_that_channel_only() -> None:
    time = Time()
    pace = Pace(now=time, sleep=time.sleep)
    pace.hold("chat.postMessage", "C1", seconds=7)
    assert pace.take("chat.update", "C1", patience=60) == 0
    assert pace.take("chat.postMessage", "C2", patience=60) == 0
    await pace.sleep(pace.take("chat.postMessage", "C1", patience=60))
    assert time.now == pytest.approx(7)


def test_after_a_429_for_an_edit_all_channels_together_keep_the_documented_rate() -> None:
    time = Time()
    pace = Pace(now=time, sleep=time.sleep)
    for number in range(40):
        assert pace.take("chat.update", f"C{number % 10}", patience=60) == 0
    pace.hold("chat.update", "C1", seconds=7)
    waits = [pace.take("chat.update", f"C{number}", patience=60) for number in range(3)]
    assert waits == [pytest.approx(7 + number / LIMITS["chat.update"].per_second) for number in range(3)]
    time.now = 7 + STRICT_SECONDS + 60
    for number in range(40):
        assert pace.take("chat.update", f"C{number % 10}", patience=60) == 0


def test_what_belongs_to_no_channel_waits_only_after_a_429() -> None:
    time = Time()
    pace = Pace(now=time, sleep=time.sleep)
    assert {pace.take("usergroups.list", WORKSPACE, patience=1) for _ in range(100)} == {0.0}
    pace.hold("usergroups.list", WORKSPACE, seconds=30)
    assert pace.take("usergroups.list", WORKSPACE, patience=1) == pytest.approx(30)
    time.now = 30
    assert pace.take("usergroups.list", WORKSPACE, patience=1) == 0
    assert pace.take("usergroups.list", WORKSPACE, patience=1) == pytest.approx(3)


async def test_a_wait_beyond_the_patience_takes_no_turn() -> None:
    time = Time()
    pace = Pace(now=time, sleep=time.sleep)
    pace.hold("chat.update", "C1", seconds=7)
    for _ in range(10):
        assert pace.take("chat.update", "C1", patience=5) == pytest.approx(7)
    time.now = 7
    assert pace.take("chat.update", "C1", patience=5) == 0


def test_calls_that_reach_slack_closer_together_than_they_left_are_within_its_limit() -> None:
    """Slack's bucket as it is taken to be, 20 at once and 50 a minute; on the way calls lose up to two seconds."""
    time, slack_tokens, slack_at = Time(), 20.0, 2.0
    pace = Pace(now=time, sleep=time.sleep)
    arrivals = []
    for number in range(200):
        time.now += pace.take("chat.update", "C1", patience=60)
        arrivals.append(time.now + (2.0 if number < 18 else 0.0))
    for at in sorted(arrivals):
        slack_tokens = min(20.0, slack_tokens + (at - slack_at) * 50 / 60)
        slack_at = at
        assert slack_tokens >= 1
        slack_tokens -= 1


def test_a_booked_turn_is_kept_until_it_is_used() -> None:
    time = Time()
    pace = Pace(now=time, sleep=time.sleep)
    waits = [pace.book("chat.postMessage", "C1", f"card {number}") for number in range(5)]
    assert waits == [0.0, 0.0, 0.0, pytest.approx(1.0), pytest.approx(2.0)]
    time.now = 0.5
    assert pace.book("chat.postMessage", "C1", "card 3") == pytest.approx(0.5)
    pace.used("chat.postMessage", "card 3")
    assert pace.book("chat.postMessage", "C1", "card 3") == pytest.approx(2.5), "behind the last one"


def test_after_a_429_what_was_booked_is_booked_anew() -> None:
    time = Time()
    pace = Pace(now=time, sleep=time.sleep)
    for number in range(30):
        pace.book("chat.update", "C1", f"card {number}")
    posts = [pace.book("chat.postMessage", "C1", f"card {number}") for number in range(9)]
    pace.hold("chat.update", "C1", seconds=10)
    waits = [pace.book("chat.update", "C1", f"card {number}") for number in range(29, 26, -1)]
    assert waits == [pytest.approx(10 + number * 1.2) for number in range(3)]
    assert [pace.book("chat.postMessage", "C1", f"card {number}") for number in range(9)] == posts


def test_a_turn_whose_moment_has_come_is_kept_however_many_others_are_booked() -> None:
    time = Time()
    pace = Pace(now=time, sleep=time.sleep)
    for number in range(5):
        pace.book("chat.postMessage", "C1", f"card {number}")
    for number in range(12_000):
        pace.book("chat.postMessage", "C2", f"other {number}")
    time.now = 1.0 + UNUSED_KEPT_SECONDS / 2
    pace.book("chat.postMessage", "C2", "one more")
    crowd = [pace.book("chat.postMessage", "C1", f"later {number}") for number in range(9)]
    assert crowd[-1] > 0
    assert pace.book("chat.postMessage", "C1", "card 4") == 0, "not behind those who came later"


def test_turns_that_nobody_comes_back_for_take_no_room_for_ever() -> None:
    time = Time()
    pace = Pace(now=time, sleep=time.sleep)
    for number in range(100):
        pace.book("chat.update", f"C{number}", f"card {number}")
    time.now = UNUSED_KEPT_SECONDS + 1
    pace.book("chat.update", "C1", "one more")
    assert len(pace._booked) == 1
