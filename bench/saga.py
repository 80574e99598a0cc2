"""Rows 7 and 2: what a durable, audited step costs beside one committed INSERT, and acknowledgements beside runs (`bench.beside`).

A step that does nothing, in the engine as it ships, shows the overhead alone; the INSERT is the driver's own, into the same
database.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import psycopg

from bench import beside, load
from bench.asking import new_request, now
from bench.databases import Kind
from bench.house import House
from bench.results import Results
from bot.command import Args, Backends, Command, Done, Run, Scope, StepKind
from bot.domain import JSON, Plan, PlannedStep, Platform, Request, RequestState, plan_hash
from bot.replanned import Replanned, Same
from bot.store import Proposal, Store
from bot.workflow import Engine, Tuning

KINDS: tuple[Kind, ...] = ("sqlite", "postgresql")
STEPS = 5
"""About as many as a command's longest plan has: what a step records is read with the whole request."""
INSERTS = 60
RUNS_ALONE = 9
PATIENCE_SECONDS = 90.0
Samples = dict[str, list[float]]


def measure(house: House) -> Results:
    results = Results()
    for kind in KINDS if house.databases.server else KINDS[:1]:
        results.take(step_summary(kind, load.run(_steps(house, kind))))
    results.take(beside.measure(house))
    return results


# ---------------------------------------------------------------- one step, one INSERT


async def _steps(house: House, kind: Kind) -> Samples:
    samples: Samples = defaultdict(list)
    url, done = house.databases.make(kind, house.small), list[float]()
    async with _engine(url, _command(done)) as store:
        with _inserting(url) as insert:
            for number in range((1 if house.quick else RUNS_ALONE) + 1):
                inserted = await asyncio.to_thread(
                    _insert_milliseconds, insert, 3 if house.quick else INSERTS
                )
                done.clear()
                spent = time.process_time()
                await _run(store, f"r-bench{number:02d}", STEPS)
                spent = 1000 * (time.process_time() - spent) / STEPS
                if number:  # The first run warms up.
                    samples["insert"].append(inserted)
                    samples["CPU of a run, per step"].append(spent)
                    samples["step"].append(1000 * load.median([after - at for at, after in pairwise(done)]))
    return samples


class NoArgs(Args):
    pass


def _command(done: list[float]) -> Command:
    """One whose step does nothing but note when it was reached."""

    async def do(_run: Run, _arguments: JSON) -> Done:
        done.append(time.perf_counter())
        return Done(detail="done")

    async def scope(*_: Any) -> Scope:
        return Scope(permission="bench")

    async def plan(*_: Any) -> Plan:
        raise AssertionError("a bench writes its plan itself")

    return Command(
        name="bench",
        summary="Do nothing",
        example="/platform bench",
        args=NoArgs,
        scope=scope,
        plan=plan,
        steps={f"step-{index}": StepKind(do) for index in range(STEPS)},
    )


@asynccontextmanager
async def _engine(url: str, command: Command) -> Any:
    async def replan(_request: Request) -> Replanned:
        return Same()

    async with (
        Store.open(url, clock=now) as store,
        Engine.open(
            store,
            commands={command.name: command},
            backends=cast("Backends", SimpleNamespace()),
            platform=lambda: cast("Platform", None),
            replan=replan,
            clock=now,
            tuning=Tuning(),
        ),
    ):
        yield store


async def _run(store: Store, name: str, count: int) -> None:
    """A request of so many steps, approved and run to its end."""
    plan = Plan(
        command="bench",
        title="Do nothing",
        summary="",
        service="nothing",
        team="orders",
        environment="staging",
        steps=tuple(PlannedStep(key=f"step-{index}", title=f"Step {index}") for index in range(count)),
    )
    new = new_request(name, command=plan.command, service=plan.service, environment=plan.environment)
    opened = await store.open_request(new)
    proposal = Proposal(
        plan=plan, gates=(), plan_hash=plan_hash(plan, ()), state=RequestState.QUEUED, due_at=None
    )
    await store.propose(name, proposal, version=opened.request.version)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (request := await store.get_request(name)).state is not RequestState.SUCCEEDED:
            if request.state is RequestState.STOPPED:
                raise RuntimeError(f"the run stopped: {request.outcome}")
            # Seldom, so that looking costs the steps nothing.
            await asyncio.sleep(0.25)


@contextmanager
def _inserting(url: str) -> Iterator[Callable[[], object]]:
    """A committed INSERT of one small row by the driver, as durable as the bot's own."""
    if url.startswith("sqlite"):
        file = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA busy_timeout=10000")
            connection.execute("CREATE TABLE bench_inserts (what TEXT NOT NULL)")
            yield lambda: connection.execute("INSERT INTO bench_inserts VALUES ('a row')")
    else:
        with psycopg.connect(url, autocommit=True) as connected:
            connected.execute("CREATE TABLE bench_inserts (what TEXT NOT NULL)")
            yield lambda: connected.execute("INSERT INTO bench_inserts VALUES ('a row')")


def _insert_milliseconds(insert: Callable[[], object], count: int) -> float:
    at = [time.perf_counter()]
    for _ in range(count):
        insert()
        at.append(time.perf_counter())
    return 1000 * load.median([after - before for before, after in pairwise(at)])


def step_summary(kind: Kind, samples: Samples) -> Results:
    results = Results()
    for what, values in samples.items():
        results.add(f"saga/{kind}/{what}", "ms", values)
    ratio = results.ratio(f"saga/{kind}/step", f"saga/{kind}/insert")
    results.reach("7", f"a durable, audited step, {kind}, to one committed INSERT", ratio, 3.0)
    return results
