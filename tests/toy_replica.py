"""One replica of the bot in a process of its own: `live` runs until SIGTERM, and says `ready` once it is.

Its step `claim` is pending until the file `go` is in the folder, so that a test has time to do something to the process.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from toy_bot import toy_bot
from toy_world import World, toy_command

from bot.command import Command, Done, Pending, Run, StepKind
from bot.domain import JSON
from bot.workflow import Tuning

TUNING = Tuning(drain_seconds=5.0, sweep_seconds=0.1, lease_seconds=3.0)


def patient_command(folder: Path) -> Command:
    world = World(folder / "world.db")
    original = toy_command(world)

    async def wait_for_go(run: Run, arguments: JSON) -> Done | Pending:
        # The world is not touched while waiting: a process frozen in there would lock it.
        if not (folder / "go").exists():
            return Pending("waiting for go", after_seconds=0.05)
        return await original.steps["claim"].do(run, arguments)

    return toy_command(world, claim=StepKind(wait_for_go, original.steps["claim"].undo))


async def serve(url: str, folder: Path) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with toy_bot(url, patient_command(folder), tuning=TUNING):
        print("ready", flush=True)
        await ended.wait()


def live(url: str, folder: str) -> None:
    asyncio.run(serve(url, Path(folder)))
