"""Kills a real process before one durable change, starts another one, and tells what is there in the end.

`play_all` writes one JSON line per point into the folder. A point is the number of the change before
which the process dies: a commit of the bot's database that wrote something, or a change of the toy world. Between two changes nothing durable happens, so dying before each of them is dying anywhere.
Point 0 is a life without a kill. A point may be `7+2`: the second process dies as well, before its second change. The first
point that is never reached ends the list.

The processes are forked from one that has imported everything (forking.py).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import traceback
from pathlib import Path
from typing import Any

import commits
from toy_bot import ENDED, ToyBot, toy_bot
from toy_world import World, toy_command, toy_plan

from bot.domain import OnFailure, Plan, Request
from bot.workflow import Tuning

TUNING = Tuning(drain_seconds=5.0, sweep_seconds=0.1, lease_seconds=0.6, most_deaths=20)
PLAYED = "played.jsonl"
NEVER_REACHED = 3
"""Exit code of a process that ended its work before the change it was to die at."""
WRITES = ("INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP")


def plan_of(scenario: str, service: str) -> Plan:
    if scenario == "success":
        return toy_plan(service=service)
    on_failure = OnFailure.UNDO if scenario == "undo" else OnFailure.STOP
    return toy_plan(service=service, fails=1, on_failure=on_failure)


async def live(bot: ToyBot, scenario: str, name: str) -> Request:
    """What people do, as impatient as they are: everything again after each start, until the request has ended."""
    request = await bot.request(plan_of(scenario, f"{name}-service"), name=name)
    if request.run <= 1:
        request = await bot.ended(name=name, run=1)
        if scenario not in {"retry", "take-back"}:
            return request
        request = await bot.choose("retry" if scenario == "retry" else "undo", name=name)
    return await bot.until(lambda one: one.state in ENDED, name=name)


async def report(bot: ToyBot, world: World, request: Request) -> dict[str, Any]:
    """Everything that must be the same as in an undisturbed life; the request's name is replaced."""
    service = f"{request.id}-service"
    events = [event async for event in bot.store.walk_audit() if event.request_id == request.id]
    found = {
        "state": request.state,
        "outcome": request.outcome,
        "run": request.run,
        "version": request.version,
        "steps": [
            [step.key, step.state, step.detail, step.error, step.external_id, step.output, step.unsure]
            for step in request.steps
        ],
        "events": [[event.event, event.actor, {**event.data, "plan_hash": ""}] for event in events],
        "service": await bot.store.find_service(service) is not None,
        "deployments": len(await bot.store.list_deployments(service, "staging")),
        "active": await bot.store.find_active(service) is not None,
        "things": [thing for thing in world.things() if request.id in thing],
        "log": [line for line in world.log() if request.id in line],
        "swept": await bot.engine.sweep(),
        "chain": (await bot.store.verify_audit()).first_bad,
    }
    text = json.dumps(found, sort_keys=True).replace(request.id, "NAME")
    result: dict[str, Any] = json.loads(text)
    return result


def die_before(change: int) -> Any:
    """Count durable changes in this process and die before that one; returns what the toy world must tell."""
    seen = 0

    def count() -> None:
        nonlocal seen
        seen += 1
        if seen == change:
            os.kill(os.getpid(), signal.SIGKILL)

    def executing(info: commits.Info, statement: str, _parameters: Any) -> None:
        if statement.lstrip().upper().startswith(WRITES):
            info["wrote"] = True

    def committing(info: commits.Info) -> None:
        if info.pop("wrote", False):
            count()

    # What a rollback took back is written again before anything is committed.
    commits.watch(executing=executing, committing=committing, rolled_back=lambda _: None)
    return count


def one_life(url: str, folder: Path, scenario: str, name: str, change: int) -> None:
    """In a forked process: live until the end, or die before the given change (0: never)."""
    world = World(folder / "world.db")
    if change:
        world.before_change = die_before(change)

    async def life() -> None:
        async with toy_bot(url, toy_command(world), tuning=TUNING) as bot:
            request = await live(bot, scenario, name)
            if not change:
                found = await report(bot, world, request)
                (folder / f"{name}.json").write_text(json.dumps(found))

    asyncio.run(life())
    os._exit(NEVER_REACHED if change else 0)


def fork_life(*arguments: Any) -> int:
    """The exit code; -9 for a process that killed itself."""
    child = os.fork()
    if child == 0:
        try:
            one_life(*arguments)
        except BaseException:  # noqa: BLE001 - the forked process must not run on as its parent
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def play(url: str, folder: Path, scenario: str, point: str) -> dict[str, Any]:
    name = f"{scenario}-{point.replace('+', '-')}-x"
    deaths = [
        fork_life(url, folder, scenario, name, int(change)) for change in point.split("+") if int(change)
    ]
    last = fork_life(url, folder, scenario, name, 0)
    found = json.loads((folder / f"{name}.json").read_text()) if last == 0 else None
    return {"point": point, "deaths": deaths, "last": last, "found": found}


def play_all(url: str, folder: str, scenario: str, points: list[str]) -> None:
    with (Path(folder) / PLAYED).open("w") as file:
        for point in points:
            played = play(url, Path(folder), scenario, point)
            file.write(json.dumps(played) + "\n")
            if played["deaths"][:1] == [NEVER_REACHED]:
                return
