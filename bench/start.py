"""Row 8: from the start of the process to its first acknowledged command, beside importing its dependencies; then idle, then memory."""

from __future__ import annotations

import subprocess
import sys
import time

from bench import bot, load, processes
from bench.house import House
from bench.results import Results

IMPORTS = "import slack_bolt.async_app, aiohttp.web, sqlmodel, sqlalchemy.ext.asyncio, copier, apscheduler"
IDLE_SECONDS = 10.0


def measure(house: House) -> Results:
    results, setting = Results(), bot.Setting(house.databases.make("sqlite", house.waiting))
    starts, imports = [], []
    for _ in range(house.rounds):
        imports.append(_seconds_of_importing(house))
        begin = time.perf_counter()
        # `running` migrates first, which is not part of a start: it is measured and taken off.
        with bot.running(setting, house.slack, core=house.cores.served, folder=house.folder) as server:
            load.run(_first_command(house, server.port))
            starts.append(time.perf_counter() - begin - server.prepared_seconds)
            idle = _idle(house, server)
            load.run(_commands(house, server.port))
            memory = server.resident_mib()
    results.add("start/first acknowledged command", "s", starts)
    results.add("start/importing its dependencies", "s", imports)
    results.add("start/idle", "% of a core", [idle])
    results.add("start/memory after load", "MiB", [memory])
    ratio = results.ratio("start/first acknowledged command", "start/importing its dependencies")
    results.reach("8", "start to the first acknowledged command, to importing its dependencies", ratio, 1.5)
    results.reach("8", "idle with 1,000 open requests, to 0.5 % of a core", idle / 0.5, 1.0)
    results.reach("8", "memory under load, to 150 MB", memory * 2**20 / 150e6, 1.0)
    return results


def _seconds_of_importing(house: House) -> float:
    begin = time.perf_counter()
    command = ["taskset", "--cpu-list", str(house.cores.served), sys.executable, "-c", IMPORTS]
    subprocess.run(command, check=True)
    return time.perf_counter() - begin


async def _first_command(house: House, port: int) -> None:
    generator = load.Generator(port)
    answered = await generator.at_once(bot.commands(house.slack.caller(), ["help"]))
    generator.close()
    if answered.refused:
        raise RuntimeError("the first command was refused")


def _idle(house: House, server: processes.Server) -> float:
    """Percent of a core, once what the start left to do is done."""
    time.sleep(0.5 if house.quick else 3.0)
    seconds = 0.5 if house.quick else IDLE_SECONDS
    before = server.cpu_seconds()
    time.sleep(seconds)
    return 100 * (server.cpu_seconds() - before) / seconds


async def _commands(house: House, port: int) -> None:
    generator = load.Generator(port)
    texts = ["requests --pending"] * house.requests
    await generator.saturate(bot.commands(house.slack.caller(), texts), together=16)
    generator.close()
