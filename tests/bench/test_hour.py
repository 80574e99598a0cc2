"""The part `hour`: the bot's memory while everything it is told can leave for Slack as it comes."""

from __future__ import annotations

from pathlib import Path

from bench import hour
from bench.fake_slack import LIMITS
from bench.house import open_house


def test_memory_is_looked_at_while_cards_leave(tmp_path: Path) -> None:
    with open_house(kept=tmp_path, quick=True, postgresql=False) as house:
        results = hour.measure(house)
        posted = house.slack.told()["calls"]["chat.postMessage"]

    found = {one.key: one.values for one in results.measures}
    assert len(found["hour/memory"]) == len(found["hour/cards that wait for Slack"]) == hour.LOOKS
    assert min(found["hour/memory"]) > 1
    assert posted > 0
    assert {one.row for one in results.reached} == {"8"}


def test_no_team_asks_for_more_cards_than_slack_takes_into_a_channel() -> None:
    changes_per_second = hour.RATE / 3 / hour.TEAMS
    deploy_and_its_failure = 2
    assert deploy_and_its_failure * changes_per_second < LIMITS["chat.postMessage"].per_second


def test_a_quarter_of_the_hour_is_compared_with_its_end() -> None:
    memory = [float(look) for look in range(1, hour.LOOKS + 1)]
    results = hour.summary(memory, [0.0] * hour.LOOKS)
    assert results.reached[0].ratio == hour.LOOKS / (hour.LOOKS / 4)
