"""Row 9: acknowledgements while a million events are verified or exported beside the bot, each by its own process, as operators do it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import defaultdict

from bench import bot, load, seed
from bench.ack import AWAY, BEGINNING
from bench.house import House
from bench.processes import Server
from bench.results import Results

RATE = 100.0
WORK = {"alone": (), "audit verify": ("audit", "verify"), "audit export": ("audit", "export")}


def measure(house: House) -> Results:
    setting = bot.Setting(house.databases.make("sqlite", house.large), answers=AWAY, name="isolation")
    home = house.folder / "isolation-beside"
    home.mkdir()
    environment = bot.environment_of(setting, house.slack, home)
    with bot.running(setting, house.slack, core=house.cores.served, folder=house.folder) as server:
        samples = load.run(_rounds(house, server, environment))
    results = Results()
    for (what, quantity), values in samples.items():
        results.add(f"isolation/{what}/{quantity}", "ms", values)
    for what in list(WORK)[1:]:
        for quantity, limit in (("p50", 1.3), ("p99", 2.0)):
            ratio = results.ratio(f"isolation/{what}/{quantity}", f"isolation/alone/{quantity}")
            results.reach("9", f"{quantity} of acknowledgements during {what}", ratio, limit)
    return results


async def _rounds(
    house: House, server: Server, environment: dict[str, str]
) -> dict[tuple[str, str], list[float]]:
    samples: dict[tuple[str, str], list[float]] = defaultdict(list)
    typed = 0
    for round_number in range(house.rounds + 1):
        for what, command in WORK.items():
            count = house.requests + BEGINNING
            texts = [f"promote {seed.service_name(typed + index)}" for index in range(count)]
            typed += count
            beside = await _start(command, environment) if command else None
            generator = load.Generator(server.port)
            requests = bot.commands(house.slack.caller(), texts)
            answered = await generator.at_rate(requests, RATE, uncounted=BEGINNING)
            generator.close()
            if beside is not None and beside.returncode is None:
                beside.kill()
                await beside.wait()
            if round_number:  # The first round warms up.
                samples[what, "p50"].append(answered.milliseconds(50))
                samples[what, "p99"].append(answered.milliseconds(99))
    return samples


async def _start(command: tuple[str, ...], environment: dict[str, str]) -> asyncio.subprocess.Process:
    """On the loading core, as everything beside the server; what it writes is thrown away."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        *command,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
