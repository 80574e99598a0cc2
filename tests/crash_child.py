"""The real bot in processes of its own, to be killed: reads one job a line, forks a life for it, says how it ended.

Forking from a process that has imported everything makes a start cost milliseconds instead of seconds. The answers are two lines for
each job: {"pid": …} at once, {"code": …} at the end (-9 for a life that was killed).
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import pkgutil
import signal
import sys
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from crash_points import Points

import integrations
from bot import config as configuration
from bot import logs, registry
from bot.app import open_bot, socket_mode
from bot.workflow import Tuning

ENGINES = {"aiosqlite": "sqlite", "asyncpg": "postgresql", "psycopg": "postgresql"}
TUNING = Tuning(poll_seconds=0.05, lease_seconds=3.0)
"""On PostgreSQL a killed process's runs are taken over after the lease."""


def main() -> None:
    _import_everything()
    _say({"ready": os.getpid()})
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _live(json.loads(line))
        _say({"pid": child})
        _say({"code": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])})


def _import_everything() -> None:
    """What a start would import, once for all lives."""
    registry.load_commands()
    for found in pkgutil.iter_modules(integrations.__path__, "integrations."):
        importlib.import_module(found.name)
    for driver in ("aiosqlite", "asyncpg", "psycopg"):
        importlib.import_module(f"sqlalchemy.dialects.{ENGINES[driver]}.{driver}")
        importlib.import_module(driver)


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _live(job: dict[str, Any]) -> None:
    """In the forked process; never returns."""
    code = 1
    try:
        log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        logs.configure("info")
        Points(Path(job["points"]), job["kill"]).watch(Path(job["environ"]["PLATFORM_STATE"]))
        asyncio.run(_serve(job))
        code = 0
    except BaseException:  # noqa: BLE001 - the forked process must not run on as its parent
        traceback.print_exc()
    finally:
        os._exit(code)


async def _serve(job: dict[str, Any]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    # The test that ended without a word takes its bot along.
    loop.add_reader(0, _leave, stop)
    config = configuration.load(Path(job["config"]), job["environ"])
    ahead = Path(job["clock"])

    def clock() -> datetime:
        return datetime.now(tz=UTC) + timedelta(seconds=float(ahead.read_text()))

    async with open_bot(config, clock=clock, tuning=TUNING) as bot, socket_mode(bot):
        await stop.wait()


def _leave(stop: asyncio.Event) -> None:
    asyncio.get_running_loop().remove_reader(0)
    stop.set()


if __name__ == "__main__":
    main()
