"""Several replicas on PostgreSQL: a dead one's runs go on elsewhere, and a revived one does no harm."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from database import PostgreSQL
from forking import Forked, Forker
from sqlmodel import col
from toy_bot import ENDED, ToyBot, toy_bot, utc_now
from toy_world import World, toy_command, toy_plan

from bot.command import Done, Run, StepKind
from bot.domain import JSON, RequestState
from bot.replicas import FENCED_EXIT_CODE
from bot.store import Store
from bot.tables import ReplicaRow, TakeoverRow
from bot.workflow import Tuning

SECONDS = 60.0


@asynccontextmanager
async def replica(forker: Forker, url: str, folder: Path) -> AsyncIterator[Forked]:
    """A replica that is ready; killed at the end, whatever became of it."""
    forked = forker.start("toy_replica:live", url, str(folder), output=folder / f"replica-{uuid.uuid4().hex}")
    try:
        async with asyncio.timeout(SECONDS):
            while not (forked.output.exists() and "ready\n" in forked.output.read_text()):
                assert forked.poll() is None, "the replica ended before it was ready"
                await asyncio.sleep(0.01)
        yield forked
    finally:
        forked.send_signal(signal.SIGKILL)
        await forked.wait()


async def rows(store: Store, statement: sa.Select[tuple[int]]) -> int:
    async with store.engine.connect() as connection:
        return int(await connection.scalar(statement) or 0)


async def until(condition: Callable[[], object]) -> None:
    async def look() -> None:
        while not await condition():  # type: ignore[misc]
            await asyncio.sleep(0.05)

    await asyncio.wait_for(look(), SECONDS)


@pytest.fixture
def url(postgresql: PostgreSQL) -> str:
    return postgresql.create()


@pytest.mark.crash
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fate", ["killed", "frozen", "ended"])
async def test_a_lost_replicas_run_goes_on_in_another_one(
    url: str, forker: Forker, tmp_path: Path, fate: str
) -> None:
    world = World(tmp_path / "world.db")
    async with (
        Store.open(url, clock=utc_now) as store,
        replica(forker, url, tmp_path) as first,
    ):
        # Only what ToyBot asks of the store is used: this process runs nothing itself.
        people = ToyBot(store, engine=None)  # type: ignore[arg-type]
        await people.request(toy_plan())
        await people.until(lambda one: any(step.detail == "waiting for go" for step in one.steps))
        async with replica(forker, url, tmp_path) as second:
            match fate:
                case "killed":
                    first.send_signal(signal.SIGKILL)
                case "frozen":
                    first.send_signal(signal.SIGSTOP)
                case "ended":
                    first.send_signal(signal.SIGTERM)
            await until(lambda: rows(store, sa.select(sa.func.count()).select_from(TakeoverRow)))
            (tmp_path / "go").touch()
            request = await people.until(lambda one: one.state in ENDED, seconds=SECONDS)
            if fate == "frozen":
                first.send_signal(signal.SIGCONT)
                assert await asyncio.wait_for(first.wait(), SECONDS) == FENCED_EXIT_CODE
            second.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(second.wait(), SECONDS) == 0

        assert request.state is RequestState.SUCCEEDED
        assert world.log() == ["made repository toy", "made claim toy", "made deployment r1.1.deploy"]
        events = await people.events()
        assert events.count("step.started") == events.count("step.done") == 3
        assert (await store.verify_audit()).first_bad is None
        left = await rows(store, sa.select(sa.func.count()).select_from(ReplicaRow))
        assert left == 0


async def test_two_replicas_share_the_work(url: str, forker: Forker, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    async with (
        Store.open(url, clock=utc_now) as store,
        replica(forker, url, tmp_path),
        replica(forker, url, tmp_path),
    ):
        people = ToyBot(store, engine=None)  # type: ignore[arg-type]
        names = [f"r{number}" for number in range(6)]
        for name in names:
            await people.request(toy_plan(service=name), name=name)
        ended = [await people.until(lambda one: one.state in ENDED, name=name, seconds=60) for name in names]

    assert {request.state for request in ended} == {RequestState.SUCCEEDED}


async def test_a_run_that_takes_down_every_replica_is_stopped(url: str, tmp_path: Path) -> None:
    world = World(tmp_path / "world.db")
    waits = asyncio.Event()

    async def deadly(_run: Run, _arguments: JSON) -> Done:
        waits.set()
        await asyncio.Event().wait()
        return Done()

    tuning = Tuning(poll_seconds=0.05, drain_seconds=5.0, lease_seconds=3.0, most_recoveries=0)
    async with toy_bot(url, toy_command(world, claim=StepKind(deadly)), tuning=tuning) as bot:
        await bot.request(toy_plan())
        await asyncio.wait_for(waits.wait(), SECONDS)
        async with bot.store.engine.begin() as connection:
            # As if the replica that ran it had died and its row had been struck out.
            await connection.execute(
                sa.text("UPDATE dbos.workflow_status SET executor_id = 'dead' WHERE workflow_uuid = 'r1.1'")
            )
        await until(bot.engine.sweep)
        request = await bot.ended()
        given_up = await rows(
            bot.store, sa.select(sa.func.count()).where(col(TakeoverRow.workflow_id) == "r1.1")
        )

    assert request.state is RequestState.STOPPED
    assert given_up == 1
