"""Row 8: memory over an hour of load. Not part of `make bench`, because it takes five minutes by itself: `python -m bench hour`.

An hour of a busy company, five commands a second, is sent twelve times as fast: what leaks, leaks with every command. Every third
asks for something to be done, which is planned, proposed and posted as a card; the others look.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice

from bench import bot, load, seed
from bench.house import House
from bench.results import Results

COMMANDS = 18_000
RATE = 60.0
LOOKS = 20
"""How often the memory is looked at."""
ANSWERS = dict.fromkeys(bot.PORTS, 0.02)


def measure(house: House) -> Results:
    setting = bot.Setting(house.databases.make("sqlite", house.large), answers=ANSWERS, name="hour")
    with bot.running(setting, house.slack, core=house.cores.served, folder=house.folder) as server:
        texts, memory = _typed(), list[float]()
        for _ in range(LOOKS):
            load.run(_send(house, server.port, list(islice(texts, 2 if house.quick else COMMANDS // LOOKS))))
            memory.append(server.resident_mib())
    results = Results()
    results.add("hour/memory", "MiB", memory)
    # The first part fills caches that stay filled.
    early, late = memory[LOOKS // 4], memory[-1]
    results.reach("8", "memory after an hour of load, to a quarter of it", late / early, 1.05)
    results.reach("8", "memory after an hour of load, to 150 MB", late * 2**20 / 150e6, 1.0)
    return results


def _typed() -> Iterator[str]:
    """What people type, each change about another service."""
    services = cycle(map(seed.service_name, range(seed.LARGE.services)))
    looks = cycle(("requests", "status {}", "audit --service {}", "services {}", "requests --mine"))
    for service in services:
        yield f"promote {service}"
        yield next(looks).format(service)
        yield next(looks).format(service)


async def _send(house: House, port: int, texts: list[str]) -> None:
    generator = load.Generator(port)
    answered = await generator.at_rate(bot.commands(house.slack.caller(), texts), RATE, uncounted=0)
    generator.close()
    if answered.refused:
        raise RuntimeError(f"{answered.refused} commands were refused")
