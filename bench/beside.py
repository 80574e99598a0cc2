"""Rows 7 and 2: acknowledgements beside runs at work, to the no-op peer and to the bot without runs.

The runs are real promotions: typed, planned, approved by a click, done by the bot. Two hundred of them have backends that answer soon,
so that they compete for the process; twenty have a slow one, as a deployment is, so that they are all under way the whole time.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

from bench import bot, load, seed
from bench.ack import BEGINNING, NOOP, PEERS
from bench.fake_slack import LEADS
from bench.house import House
from bench.processes import free_port, python, serving
from bench.results import Results
from bench.signing import Button, click

RATE = 50.0
SECONDS = 4.0
PATIENCE_SECONDS = 90.0
Samples = dict[str, list[float]]
Waiting = list[tuple[str, str]]
"""Number of the request and hash of the plan, of what waits for approval."""


@dataclass(frozen=True)
class Crowd:
    """So many runs at once; `deploying_seconds` is how long the delivery backend takes for every answer.

    `alone`: the bot without runs is measured, too. Where a backend is slow, what was typed for that would be planned for minutes.
    """

    row: str
    runs: int
    deploying_seconds: float
    alone: bool

    def __str__(self) -> str:
        return f"{self.runs} runs"


TWENTY = Crowd("2", runs=20, deploying_seconds=1.5, alone=False)
MANY = Crowd("7", runs=200, deploying_seconds=0.02, alone=True)


def measure(house: House) -> Results:
    results = Results()
    for crowd in (TWENTY, MANY):
        results.take(summary(crowd, _samples(house, crowd)))
    return results


def _samples(house: House, crowd: Crowd) -> Samples:
    url = house.databases.make("sqlite", house.waiting)
    with ExitStack() as stack:
        port = free_port()
        peer = serving(
            NOOP,
            python(PEERS / "bolt_noop.py", str(port)),
            port=port,
            core=house.cores.served,
            folder=house.folder,
        )
        stack.enter_context(peer)
        answers = {**dict.fromkeys(bot.PORTS, 0.02), "delivery": crowd.deploying_seconds}
        setting = bot.Setting(url, answers=answers, name="beside")
        server = stack.enter_context(
            bot.running(setting, house.slack, core=house.cores.served, folder=house.folder)
        )
        desk = _Desk(house, crowd, url.removeprefix("sqlite:///"))
        return load.run(desk.acknowledged(peer=port, ours=server.port))


@dataclass(frozen=True)
class _Desk:
    house: House
    crowd: Crowd
    file: str

    async def acknowledged(self, *, peer: int, ours: int) -> Samples:
        """Latencies of the no-op peer, of the bot alone, and of the bot beside its runs; what became of the runs meanwhile."""
        samples: Samples = {}
        runs = 4 if self.house.quick else self.crowd.runs
        services = iter(map(seed.service_name, range(self.house.waiting.services)))
        noop, generator = load.Generator(peer), load.Generator(ours)
        try:
            samples |= _latencies("no-op Bolt Python", await self._promotions(noop, services))
            # Before anything else is typed: what is measured would be planned first.
            await self._propose(generator, [next(services) for _ in range(runs)])
            chosen = self._waiting()[-runs:]
            if self.crowd.alone:
                samples |= _latencies("alone", await self._promotions(generator, services))
                await self._planned()
            begin = time.monotonic()
            await generator.saturate(self._approvals(chosen), together=16)
            samples |= _latencies("beside", await self._promotions(generator, services))
            seconds = time.monotonic() - begin
            samples["runs that ended meanwhile"] = [self._ended(chosen) / seconds]
            return samples
        finally:
            noop.close()
            generator.close()

    async def _promotions(self, generator: load.Generator, services: Iterator[str]) -> load.Result:
        count = BEGINNING + (10 if self.house.quick else int(RATE * SECONDS))
        texts = [f"promote {next(services)}" for _ in range(count)]
        commands = bot.commands(self.house.slack.caller(), texts)
        return await generator.at_rate(commands, RATE, uncounted=BEGINNING)

    async def _propose(self, generator: load.Generator, services: list[str]) -> None:
        """Ask for the promotions, and wait until every plan waits for approval."""
        requests = bot.commands(self.house.slack.caller(), [f"promote {name}" for name in services])
        await generator.saturate(requests, together=8)
        await self._planned()

    async def _planned(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while unplanned := self._rows("SELECT id FROM requests WHERE state = 'planning'"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(unplanned)} plans were never made")
            await asyncio.sleep(0.1)

    def _waiting(self) -> Waiting:
        """Oldest first, and only what was typed here."""
        query = (
            "SELECT id, plan_hash FROM requests WHERE state = 'awaiting' AND dedupe_key NOT LIKE 'seeded-%'"
            " ORDER BY created_at"
        )
        return [(str(name), str(plan)) for name, plan in self._rows(query)]

    def _approvals(self, chosen: Waiting) -> list[bytes]:
        now = load.now_seconds()
        return [
            click(
                self.house.slack.caller(LEADS[index % len(LEADS)]),
                Button("1700000000.000100", f"decide:{plan[:16]}", "approve", name),
                trigger_id=bot.trigger_id(),
                timestamp=now,
            )
            for index, (name, plan) in enumerate(chosen)
        ]

    def _ended(self, chosen: Waiting) -> int:
        """How many succeeded. Raises RuntimeError where one was not approved, or failed: then nothing was measured beside it."""
        states = dict(self._rows("SELECT id, state FROM requests WHERE run > 0"))
        found = [str(states.get(name, "not approved")) for name, _ in chosen]
        if wrong := sorted(set(found) - {"queued", "running", "succeeded"}):
            raise RuntimeError(f"runs ended as {', '.join(wrong)}")
        return found.count("succeeded")

    def _rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()


def _latencies(what: str, found: load.Result) -> Samples:
    if found.refused:
        raise RuntimeError(f"{what}: {found.refused} commands were refused")
    return {f"{what}/p50": [found.milliseconds(50)], f"{what}/p99": [found.milliseconds(99)]}


def summary(crowd: Crowd, samples: Samples) -> Results:
    results = Results()
    for what, values in samples.items():
        rate = what.startswith("runs")
        unit = "runs/s" if rate else f"ms at {RATE:g}/s"
        results.add(f"saga/{crowd}/{what}", unit, values, better="higher" if rate else "lower")
    others = [("no-op Bolt Python", "no-op Bolt Python"), ("alone", "the bot without runs")]
    for quantity in ("p50", "p99"):
        for other, words in others[: 1 + crowd.alone]:
            ratio = results.ratio(f"saga/{crowd}/beside/{quantity}", f"saga/{crowd}/{other}/{quantity}")
            what = f"{quantity} of acknowledgements beside {crowd} at once, to {words}"
            results.reach(crowd.row, what, ratio, 3.0)
    return results
