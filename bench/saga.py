"""Row 7: what a durable, audited step costs beside one committed INSERT, and acknowledgements beside two hundred runs at once.

A step that does nothing, in the engine as it ships, shows the overhead alone; the INSERT is the driver's own, into the same
database. The runs that acknowledgements meet are real promotions: typed, planned, approved by a click, done by the bot.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import psycopg

from bench import bot, load, seed
from bench.ack import BEGINNING, NOOP, PEERS
from bench.databases import Kind
from bench.fake_slack import LEADS
from bench.house import House
from bench.processes import free_port, python, serving
from bench.results import Results
from bench.signing import Button, click
from bot.command import Args, Backends, Command, Done, Run, Scope, StepKind
from bot.domain import JSON, Plan, PlannedStep, Platform, Request, RequestState, plan_hash
from bot.replanned import Replanned, Same
from bot.store import NewRequest, Proposal, Store
from bot.workflow import Engine, Tuning

KINDS: tuple[Kind, ...] = ("sqlite", "postgresql")
STEPS = 5
"""About as many as a command's longest plan has: what a step records is read with the whole request."""
INSERTS = 60
RUNS_ALONE = 9
RUNS = 200
RATE = 50.0
SECONDS = 4.0
PATIENCE_SECONDS = 90.0
ANSWERS = dict.fromkeys(bot.PORTS, 0.02)
Samples = dict[str, list[float]]


def measure(house: House) -> Results:
    results = Results()
    for kind in KINDS if house.databases.server else KINDS[:1]:
        results.take(step_summary(kind, load.run(_steps(house, kind))))
    results.take(beside_summary(*_beside(house)))
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
        Store.open(url, clock=_now) as store,
        Engine.open(
            store,
            commands={command.name: command},
            backends=cast("Backends", SimpleNamespace()),
            platform=lambda: cast("Platform", None),
            replan=replan,
            clock=_now,
            tuning=Tuning(),
        ),
    ):
        yield store


def _now() -> datetime:
    return datetime.now(tz=UTC)


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
    new = NewRequest(
        id=name,
        dedupe_key=name,
        active_key=name,
        command=plan.command,
        requester=LEADS[0],
        requester_name="Bench",
        team_id="T1",
        channel_id=seed.CHANNEL,
        team=plan.team,
        service=plan.service,
        environment=plan.environment,
        arguments={},
    )
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


# ---------------------------------------------------------------- acknowledgements beside runs


def _beside(house: House) -> tuple[Samples, float]:
    """Latencies of the no-op peer, of the bot alone, and of the bot beside its runs; how many runs ended a second."""
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
        setting = bot.Setting(url, answers=ANSWERS, name="saga")
        server = stack.enter_context(
            bot.running(setting, house.slack, core=house.cores.served, folder=house.folder)
        )
        return load.run(
            _acknowledged(house, peer=port, ours=server.port, file=url.removeprefix("sqlite:///"))
        )


async def _acknowledged(house: House, *, peer: int, ours: int, file: str) -> tuple[Samples, float]:
    samples: Samples = {}
    runs = 4 if house.quick else RUNS
    services = iter(map(seed.service_name, range(house.waiting.services)))
    noop, generator = load.Generator(peer), load.Generator(ours)
    try:
        for what, asked in (("no-op Bolt Python", noop), ("alone", generator)):
            samples |= _latencies(what, await _promotions(house, asked, services))
        await _proposed(house, generator, [next(services) for _ in range(runs)], file)
        chosen, begin = _waiting(file)[-runs:], time.monotonic()
        await generator.saturate(_approvals(house, chosen), together=16)
        samples |= _latencies("beside runs", await _promotions(house, generator, services))
        # The others end as these do; nobody waits for them.
        while (ended := _ended(file, chosen)) < max(1, runs // 10):
            if time.monotonic() - begin > PATIENCE_SECONDS:
                raise RuntimeError(f"only {ended} of {runs} runs ended")
            await asyncio.sleep(0.1)
        return samples, ended / (time.monotonic() - begin)
    finally:
        noop.close()
        generator.close()


async def _promotions(house: House, generator: load.Generator, services: Iterator[str]) -> load.Result:
    count = BEGINNING + (10 if house.quick else int(RATE * SECONDS))
    texts = [f"promote {next(services)}" for _ in range(count)]
    return await generator.at_rate(bot.commands(house.slack.caller(), texts), RATE, uncounted=BEGINNING)


def _latencies(what: str, found: load.Result) -> Samples:
    if found.refused:
        raise RuntimeError(f"{what}: {found.refused} commands were refused")
    return {f"{what}/p50": [found.milliseconds(50)], f"{what}/p99": [found.milliseconds(99)]}


async def _proposed(house: House, generator: load.Generator, services: list[str], file: str) -> None:
    """Ask for the promotions, and wait until every plan waits for approval, those asked for before as well."""
    requests = bot.commands(house.slack.caller(), [f"promote {name}" for name in services])
    await generator.saturate(requests, together=8)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while unplanned := _rows(file, "SELECT id FROM requests WHERE state = 'planning'"):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(unplanned)} plans were never made")
        await asyncio.sleep(0.1)


def _waiting(file: str) -> list[tuple[str, str]]:
    """Number and plan of what waits for approval and was typed here, oldest first."""
    query = (
        "SELECT id, plan_hash FROM requests WHERE state = 'awaiting' AND dedupe_key NOT LIKE 'seeded-%'"
        " ORDER BY created_at"
    )
    return [(str(name), str(plan)) for name, plan in _rows(file, query)]


def _approvals(house: House, chosen: list[tuple[str, str]]) -> list[bytes]:
    now = load.now_seconds()
    return [
        click(
            house.slack.caller(LEADS[index % len(LEADS)]),
            Button("1700000000.000100", f"decide:{plan[:16]}", "approve", name),
            trigger_id=bot.trigger_id(),
            timestamp=now,
        )
        for index, (name, plan) in enumerate(chosen)
    ]


def _ended(file: str, chosen: list[tuple[str, str]]) -> int:
    names = {name for name, _ in chosen}
    ended = {
        str(name): str(state) for name, state in _rows(file, "SELECT id, state FROM requests WHERE run > 0")
    }
    stopped = {state for name, state in ended.items() if name in names} - {"queued", "running", "succeeded"}
    if stopped:
        raise RuntimeError(f"runs ended as {', '.join(sorted(stopped))}")
    return sum(ended.get(name) == "succeeded" for name in names)


def _rows(file: str, query: str) -> list[Any]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def beside_summary(samples: Samples, ended_per_second: float) -> Results:
    results = Results()
    for what, values in samples.items():
        results.add(f"saga/{what}", f"ms at {RATE:g}/s", values)
    results.add("saga/runs that ended meanwhile", "runs/s", [ended_per_second], better="higher")
    for quantity in ("p50", "p99"):
        for other, limit in (("no-op Bolt Python", 3.0), ("alone", 3.0)):
            ratio = results.ratio(f"saga/beside runs/{quantity}", f"saga/{other}/{quantity}")
            words = "no-op Bolt Python" if other != "alone" else "the bot without runs"
            results.reach(
                "7", f"{quantity} of acknowledgements beside {RUNS} runs at once, to {words}", ratio, limit
            )
    return results
