"""Row 5: `status` beside the slowest backend it asks, and what a hundred people who ask at once make the backends do.

Each service that is asked about alone is another one, so that no answer is a shared one. People are known to the bot before
the clock starts: what is measured is how backends are asked, not how Slack is.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from bench import bot, load, seed
from bench.fake_slack import DEVELOPERS
from bench.house import House
from bench.results import Results
from bench.world import answering

DELAYS = {"infrastructure": 0.10, "signals": 0.15, "costs": 0.20, "evidence": 0.25, "delivery": 0.30}
"""Seconds; delivery, signals and evidence are asked for each of two environments."""
SLOWEST = max(DELAYS.values())


def measure(house: House) -> Results:
    counted_in = house.folder / "status-questions"
    setting = bot.Setting(
        house.databases.make("sqlite", house.small),
        answers=DELAYS,
        name="status",
        counted_in=str(counted_in),
    )
    with bot.running(setting, house.slack, core=house.cores.served, folder=house.folder) as server:
        samples = load.run(_rounds(house, server.port, counted_in))
    return summary(samples)


Samples = dict[str, list[float]]


async def _rounds(house: House, port: int, counted_in: Path) -> Samples:
    people = DEVELOPERS[:4] if house.quick else DEVELOPERS
    alone = 2 if house.quick else 8
    samples: Samples = defaultdict(list)
    services = iter(seed.service_name(index) for index in range(house.small.services))
    generator = load.Generator(port)
    try:
        await generator.at_once(bot.everybody(house.slack, people, "help"))
        for _ in range(house.rounds):
            for _ in range(alone):
                asked, found = await _asked(generator, house, people[:1], next(services), counted_in)
                samples["alone"] += found
                samples["questions, alone"].append(asked)
            asked, found = await _asked(generator, house, people, next(services), counted_in)
            samples["together p50"].append(load.quantile(found, 50))
            samples["together p99"].append(load.quantile(found, 99))
            samples["questions, together"].append(asked)
    finally:
        generator.close()
    return samples


async def _asked(
    generator: load.Generator, house: House, people: Sequence[str], service: str, counted_in: Path
) -> tuple[int, list[float]]:
    """How many questions reached backends, and the milliseconds until each person saw the status. All ask at once."""
    before, begin = answering.count(counted_in), time.time() + load.HEAD_START_SECONDS
    found = await generator.at_once(bot.everybody(house.slack, people, f"status {service}"))
    if found.refused:
        raise RuntimeError(f"{found.refused} of {len(people)} were refused")
    seconds = [one.seconds for one in found.answers if service.encode() in one.body]
    seconds += await _shown_later(house.slack, service, len(people) - len(seconds), begin)
    difference: Counter[str] = answering.count(counted_in) - before
    return difference.total(), [1000 * one for one in seconds]


async def _shown_later(slack: bot.Slack, service: str, count: int, begin: float) -> list[float]:
    """Who was told "asking the backends" after a second is shown the status through the response_url."""
    deadline = time.monotonic() + load.ANSWER_SECONDS
    while count:
        told = await asyncio.to_thread(slack.told, after=begin)
        at = [one["at"] for one in told["sent"] if service in str(one.get("body", ""))]
        if len(at) >= count:
            return [one - begin for one in at]
        if time.monotonic() > deadline:
            raise RuntimeError(f"{count - len(at)} people were never shown the status of {service}")
        await asyncio.sleep(0.1)
    return []


def summary(samples: Samples) -> Results:
    results = Results()
    for what, values in samples.items():
        unit = "questions to backends" if what.startswith("questions") else "ms"
        results.add(f"status/{what}", unit, values)
    results.add("status/slowest backend", "ms", [1000 * SLOWEST])
    for what, who in (("alone", "one person"), ("together p50", "100 people at once, p50")):
        ratio = results.ratio(f"status/{what}", "status/slowest backend")
        results.reach("5", f"status of {len(DELAYS)} backends to the slowest, {who}", ratio, 1.2)
    ratio = results.ratio("status/questions, together", "status/questions, alone")
    results.reach("5", "questions to backends when 100 people ask at once, to one person's", ratio, 1.0)
    return results
