"""The part `clicks`: everybody presses at once, one of them decides, and every card shows it with one call."""

from __future__ import annotations

from pathlib import Path

from bench import clicks
from bench.fake_slack import Limit
from bench.house import open_house


def test_one_decision_and_one_call_for_each_card(tmp_path: Path) -> None:
    with open_house(kept=tmp_path, quick=True, postgresql=False) as house:
        results = clicks.measure(house)

    assert results.median("clicks/decisions of clicks at once") == 1
    assert results.median("clicks/rush: calls per card") == 1
    assert results.median("clicks/rush: refused calls") == 0
    assert {one.row for one in results.reached} == {"6"}


def test_a_channel_takes_its_burst_at_once_and_the_rest_at_its_rate() -> None:
    limit = Limit(per_second=2.0, burst=4)
    assert (limit.seconds(3), limit.seconds(10)) == (0.0, 3.0)
