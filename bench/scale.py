"""Row 10: recorded commands a second that two processes on one PostgreSQL take, beside one.

Where there are two cores only, the second process shares one with the generator, Slack and the database. So the CPU that a command
costs each of them is measured as well: it says what two cores could take at most, and whether a second process makes it dearer.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from bench import bot, load, seed
from bench.ack import AWAY, TOGETHER
from bench.house import House
from bench.processes import Server, cpu_seconds
from bench.results import Results

Samples = dict[tuple[str, str], list[float]]
CORES = 2


def measure(house: House) -> Results:
    url = house.databases.make("postgresql", house.waiting)
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                bot.running(
                    bot.Setting(url, answers=AWAY, name=f"scale-{number}"),
                    house.slack,
                    core=core,
                    folder=house.folder,
                )
            )
            for number, core in enumerate((house.cores.served, house.cores.loading))
        ]
        return summary(load.run(_rounds(house, servers)))


async def _rounds(house: House, servers: Sequence[Server]) -> Samples:
    """One, two, one, two …: what the machine does meanwhile meets both alike."""
    samples: Samples = defaultdict(list)
    services = iter(map(seed.service_name, range(house.waiting.services)))
    for round_number in range(house.rounds + 1):
        for who, asked in (("one", servers[:1]), ("two", servers)):
            found = await _one_round(house, asked, services)
            if round_number:  # The first round warms up.
                for quantity, value in found.items():
                    samples[who, quantity].append(value)
    return samples


async def _one_round(house: House, servers: Sequence[Server], services: Iterator[str]) -> dict[str, float]:
    caller, count = house.slack.caller(), house.requests * len(servers)
    sent = bot.commands(caller, [f"promote {next(services)}" for _ in range(count)])
    generators = [load.Generator(server.port) for server in servers]
    before, begin = _cpu(house, servers), time.perf_counter()
    try:
        found = await asyncio.gather(
            *(
                generator.saturate(sent[index :: len(servers)], together=TOGETHER // len(servers))
                for index, generator in enumerate(generators)
            )
        )
    finally:
        for generator in generators:
            generator.close()
    seconds = time.perf_counter() - begin
    if refused := sum(one.refused for one in found):
        raise RuntimeError(f"{refused} of {count} commands were refused")
    spent = {name: 1000 * (after - before[name]) / count for name, after in _cpu(house, servers).items()}
    return {"most": count / seconds, **spent}


def _cpu(house: House, servers: Sequence[Server]) -> dict[str, float]:
    """Seconds so far, of everybody who takes part in a command."""
    assert house.databases.server is not None, "two processes need PostgreSQL"
    return {
        "bot": sum(server.cpu_seconds() for server in servers),
        "database": cpu_seconds(house.databases.server.process.pid),
        "generator": time.process_time(),
    }


def summary(samples: Samples) -> Results:
    results = Results()
    for (who, quantity), values in samples.items():
        most = quantity == "most"
        unit = "commands/s at most" if most else f"ms of CPU per command, {quantity}"
        results.add(f"scale/{who}/{quantity}", unit, values, better="higher" if most else "lower")
    spent = sum(results.median(f"scale/two/{who}") for who in ("bot", "database", "generator"))
    possible = CORES * 1000 / spent
    results.add("scale/two cores could take", "commands/s", [possible], better="higher")
    why = (
        f"two cores hold everything: a command costs {results.median('scale/two/bot'):.2f} ms of CPU in the bot,"
        f" {results.median('scale/two/database'):.2f} in PostgreSQL and {results.median('scale/two/generator'):.2f} in the"
        f" generator, so {possible:.0f}/s is the most there can be"
    )
    ratio = results.ratio("scale/two/most", "scale/one/most")
    results.reach("10", "commands/s of two processes, to one", ratio, 1.7, better="higher", why=why)
    dearer = results.ratio("scale/two/bot", "scale/one/bot")
    results.reach("10", "CPU per command in the bot, two processes to one", dearer, 2 / 1.7)
    return results
