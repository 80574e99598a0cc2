"""Row 6: a hundred people press *Approve* on one card at once; a thousand requests are decided within a minute.

The backends do not answer, so an approved request waits in its run and costs nothing further. What is decided in bulk is denied,
because that is one change of one card, and so the fewest calls are known: one edit for each card.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from bench import bot, load, seed
from bench.ack import AWAY
from bench.fake_slack import LEADS, LIMITS, channel
from bench.house import House
from bench.results import Results
from bench.signing import Button, Caller, click, denial

CHANNELS = 25
PER_SECOND = 50.0
"""Faster than a thousand a minute, so that the part is short; it is the harder question."""
ALONE, CROWDS = 4, 3
"""For each round: so many click alone before everybody clicks at once, and that so many times."""
PATIENCE_SECONDS = 120.0
Samples = dict[str, list[float]]
Send = Callable[..., bytes]


@dataclass(frozen=True)
class Desk:
    """A bot with requests that wait for a decision: numbers `first` to `last`, this one excluded."""

    port: int
    slack: bot.Slack
    file: str
    first: int
    last: int


def measure(house: House) -> Results:
    url, size = house.databases.make("sqlite", house.waiting), house.waiting
    file = url.removeprefix("sqlite:///")
    _spread(file, range(size.requests + _clicked_one_by_one(house), size.requests + size.open_requests))
    with (
        bot.fake_slack(house.cores, house.folder, limited=True) as slack,
        bot.running(
            bot.Setting(url, answers=AWAY, name="clicks"),
            slack,
            core=house.cores.served,
            folder=house.folder,
        ) as server,
    ):
        desk = Desk(server.port, slack, file, size.requests, size.requests + size.open_requests)
        return summary(load.run(_all(house, desk)))


def _clicked_one_by_one(house: House) -> int:
    """Requests that are approved before the rush. Their runs go on and edit their cards, so they stay in a channel of their own."""
    return _crowds(house) * (_alone(house) + 1)


def _crowds(house: House) -> int:
    return 1 if house.quick else house.rounds * CROWDS


def _alone(house: House) -> int:
    return 1 if house.quick else ALONE


def _spread(file: str, numbers: range) -> None:
    """The cards of waiting requests into several channels, as those of several teams are."""
    places = [(channel(number, among=CHANNELS), seed.request_id(number)) for number in numbers]
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executemany("UPDATE cards SET channel_id = ? WHERE request_id = ?", places)


async def _all(house: House, desk: Desk) -> Samples:
    samples: Samples = defaultdict(list)
    generator, numbers = load.Generator(desk.port), iter(range(desk.first, desk.last))
    crowd = LEADS[:5] if house.quick else LEADS
    try:
        for _ in range(_crowds(house)):
            for person in crowd[: _alone(house)]:
                found = await generator.at_once(_sent(click, desk, [(person, next(numbers))]))
                samples["one click"].append(found.milliseconds(50))
            number = next(numbers)
            found = await generator.at_once(_sent(click, desk, [(person, number) for person in crowd]))
            samples["clicks at once p50"].append(found.milliseconds(50))
            samples["clicks at once p99"].append(found.milliseconds(99))
            samples["decisions of clicks at once"].append(_approvals(desk.file, number))
            if found.refused:
                raise RuntimeError(f"{found.refused} clicks were refused")
        samples |= await _rush(generator, desk, list(numbers))
    finally:
        generator.close()
    return samples


def _sent(send: Send, desk: Desk, decisions: Sequence[tuple[str, int]]) -> list[bytes]:
    """A signed request for each person and request number."""
    now = load.now_seconds()
    return [
        send(_caller(desk, person), _button(number), trigger_id=bot.trigger_id(), timestamp=now)
        for person, number in decisions
    ]


def _caller(desk: Desk, person: str) -> Caller:
    return desk.slack.caller(person)


def _button(number: int) -> Button:
    drawn_for = f"decide:{seed.plan_hash(number)[:16]}"
    return Button(seed.card_ts(number), drawn_for, "approve", seed.request_id(number))


def _approvals(file: str, number: int) -> int:
    with closing(sqlite3.connect(file)) as connection:
        query = "SELECT count(*) FROM approvals WHERE request_id = ?"
        return int(connection.execute(query, (seed.request_id(number),)).fetchone()[0])


async def _rush(generator: load.Generator, desk: Desk, numbers: list[int]) -> Samples:
    """Deny them all at a steady rate; wait until Slack shows it on every card."""
    decisions = [(LEADS[number % len(LEADS)], number) for number in numbers]
    before, begin = Counter(desk.slack.told(after=time.time())["calls"]), time.time()
    found = await generator.at_rate(_sent(denial, desk, decisions), PER_SECOND)
    wanted = {seed.card_ts(number) for number in numbers}
    shown, told = await _shown(desk.slack, wanted, begin)
    per_channel = Counter(channel(number, among=CHANNELS) for number in numbers)
    calls = Counter(told["calls"]) - before
    edits = [one for one in told["sent"] if one.get("ts") in wanted]
    return {
        "rush: decided": [PER_SECOND],
        "rush: answer p99": [found.milliseconds(99)],
        "rush: cards converged after": [shown - begin],
        "rush: Slack allows it after": [
            max(len(numbers) / PER_SECOND, *map(LIMITS["chat.update"].seconds, per_channel.values()))
        ],
        "rush: calls per card": [len(edits) / len(wanted)],
        "rush: refused calls": [sum(one["method"] == "refused" for one in edits)],
        "rush: usergroups.list per decision": [calls["usergroups.list"] / len(numbers)],
    }


async def _shown(slack: bot.Slack, wanted: set[str], begin: float) -> tuple[float, dict[str, Any]]:
    """When the last of the cards was edited, in seconds of the wall clock, and all that Slack tells of it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        told = await asyncio.to_thread(slack.told, after=begin)
        shown = {one["ts"]: one["at"] for one in told["sent"] if one["method"] == "chat.update"}
        if wanted <= shown.keys():
            return max(shown[ts] for ts in wanted), told
        if time.monotonic() > deadline:
            raise RuntimeError(
                f"{len(wanted - shown.keys())} of {len(wanted)} cards never showed the decision"
            )
        await asyncio.sleep(0.2)


UNITS = {
    "decisions of clicks at once": "decisions",
    "rush: decided": "requests/s",
    "rush: cards converged after": "s",
    "rush: Slack allows it after": "s",
    "rush: calls per card": "calls",
    "rush: refused calls": "calls",
    "rush: usergroups.list per decision": "calls",
}


def summary(samples: Samples) -> Results:
    results = Results()
    for what, values in samples.items():
        results.add(f"clicks/{what}", UNITS.get(what, "ms"), values)
    ratio = results.ratio("clicks/clicks at once p99", "clicks/one click")
    results.reach("6", "p99 answer to 100 clicks on one card at once, to one click alone", ratio, 3.0)
    decided = max(samples["decisions of clicks at once"])
    results.reach("6", "decisions made by 100 clicks on one card at once, to one", decided, 1.0)
    ratio = results.ratio("clicks/rush: cards converged after", "clicks/rush: Slack allows it after")
    results.reach(
        "6", "1,000 decided requests: until every card shows it, to what Slack's limits allow", ratio, 1.2
    )
    calls = results.median("clicks/rush: calls per card")
    results.reach("6", "1,000 decided requests: calls per card, to one", calls, 1.0)
    return results
