"""Row 8: memory over an hour of load. Not part of `make bench`, because it takes five minutes by itself: `python -m bench hour`.

An hour of a busy company, five commands a second, is sent twelve times as fast: what leaks, leaks with every command. Every third
asks for something to be done, which is planned, proposed and posted as a card; the others look. Cards go to as many channels and
people as Slack's limits ask for at that speed, so that what grows is no queue in front of Slack.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import cycle, islice

from bench import bot, load, seed
from bench.fake_slack import DEVELOPERS
from bench.house import House
from bench.results import Results

COMMANDS = 18_000
RATE = 60.0
LOOKS = 20
"""How often the memory is looked at."""
TEAMS = 50
"""Each with a channel for its requests, one for its deployments, and somebody who types."""
ANSWERS = dict.fromkeys(bot.PORTS, 0.02)


def measure(house: House) -> Results:
    url = house.databases.make("sqlite", house.large)
    file = url.removeprefix("sqlite:///")
    _spread(file, house.large)
    setting = bot.Setting(url, answers=ANSWERS, name="hour", teams=TEAMS)
    memory, waiting = list[float](), list[float]()
    with bot.running(setting, house.slack, core=house.cores.served, folder=house.folder) as server:
        typed = _typed(house.large)
        for _ in range(LOOKS):
            sent = islice(typed, 6 if house.quick else COMMANDS // LOOKS)
            load.run(_send(house, server.port, list(sent)))
            memory.append(server.resident_mib())
            waiting.append(_waiting(file))
    return summary(memory, waiting)


def _spread(file: str, size: seed.Size) -> None:
    """The services over the teams, so that cards about them are over the channels."""
    owned = [(bot.team(index % TEAMS), seed.service_name(index)) for index in range(size.services)]
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executemany("UPDATE services SET team = ? WHERE name = ?", owned)


def _typed(size: seed.Size) -> Iterator[tuple[str, str]]:
    """Who types what, each change about another service."""
    looks = cycle(("requests", "status {}", "audit --service {}", "services {}", "requests --mine"))
    for index in cycle(range(size.services)):
        person, service = DEVELOPERS[index % TEAMS], seed.service_name(index)
        yield person, f"promote {service}"
        yield person, next(looks).format(service)
        yield person, next(looks).format(service)


async def _send(house: House, port: int, typed: list[tuple[str, str]]) -> None:
    generator = load.Generator(port)
    requests = [
        request for person, text in typed for request in bot.commands(house.slack.caller(person), [text])
    ]
    answered = await generator.at_rate(requests, RATE)
    generator.close()
    if answered.refused:
        raise RuntimeError(f"{answered.refused} commands were refused")


def _waiting(file: str) -> int:
    """Cards that were not sent yet."""
    with closing(sqlite3.connect(file)) as connection:
        query = "SELECT count(*) FROM cards WHERE revision > sent_revision AND NOT gone"
        return int(connection.execute(query).fetchone()[0])


def summary(memory: list[float], waiting: list[float]) -> Results:
    results = Results()
    results.add("hour/memory", "MiB", memory)
    results.add("hour/cards that wait for Slack", "cards", waiting)
    # The first quarter fills caches that stay filled.
    early, late = memory[LOOKS // 4 - 1], memory[-1]
    results.reach("8", "memory after an hour of load, to a quarter of it", late / early, 1.05)
    results.reach("8", "memory after an hour of load, to 150 MB", late * 2**20 / 150e6, 1.0)
    return results
