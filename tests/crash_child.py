"""The real bot in a process of its own, to be killed: one life, from a job to its end (forked by forking.py)."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from crash_points import Points

from bot import config as configuration
from bot import logs
from bot.app import open_bot, socket_mode
from bot.workflow import Tuning

TUNING = Tuning(sweep_seconds=0.5, lease_seconds=3.0)
"""On PostgreSQL a killed process's runs are taken over after the lease."""


def live(job: dict[str, Any]) -> None:
    logs.configure("info")
    Points(Path(job["points"]), job["kill"]).watch(Path(job["environ"]["PLATFORM_STATE"]))
    asyncio.run(_serve(job))


async def _serve(job: dict[str, Any]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    config = configuration.load(Path(job["config"]), job["environ"])
    ahead = Path(job["clock"])

    def clock() -> datetime:
        return datetime.now(tz=UTC) + timedelta(seconds=float(ahead.read_text()))

    async with open_bot(config, clock=clock, tuning=TUNING) as bot, socket_mode(bot):
        await stop.wait()
