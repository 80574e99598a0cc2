"""Which process carries out which run: a dead one's runs go on elsewhere, and a revived one does no harm."""

from __future__ import annotations

import asyncio
import shutil
import signal
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from database import PostgreSQL
from forking import Forked, Forker
from toy_bot import ENDED, ToyBot, utc_now
from toy_world import World, toy_plan

from bot import ledger
from bot.domain import RequestState, RunId
from bot.errors import ConflictError
from bot.replicas import FENCED_EXIT_CODE, Replica
from bot.store import Store
from bot.tables import REPLICAS, REQUESTS

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


async def column(store: Store, statement: sa.Select[tuple[str]]) -> list[str]:
    async with store.engine.connect() as connection:
        return list(await connection.scalars(statement))


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
        (owner,) = await column(store, sa.select(REQUESTS.c.replica))
        taken_over = (
            sa.select(sa.func.count()).select_from(REQUESTS).where(REQUESTS.c.replica.not_in([owner, ""]))
        )
        async with replica(forker, url, tmp_path) as second:
            match fate:
                case "killed":
                    first.send_signal(signal.SIGKILL)
                case "frozen":
                    first.send_signal(signal.SIGSTOP)
                case "ended":
                    first.send_signal(signal.SIGTERM)
            await until(lambda: rows(store, taken_over))
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
        left = await rows(store, sa.select(sa.func.count()).select_from(REPLICAS))
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


# ---------------------------------------------------------------- whose it is


RUN = RunId("r1", 1)


async def test_of_two_who_claim_a_run_one_gets_it_and_only_that_one_writes(url: str) -> None:
    async with Store.open(url, clock=utc_now) as store:
        await ToyBot(store, engine=None).request(toy_plan())  # type: ignore[arg-type]
        first, second = Replica(store, lease_seconds=60), Replica(store, lease_seconds=60)
        async with first.registered(), second.registered():
            claims = await asyncio.gather(
                *(store.write(partial(one.claim, run=RUN)) for one in (first, second))
            )
            assert sorted(claims, key=str) == [0, None]
            owner, other = (first, second) if claims[0] == 0 else (second, first)
            await store.write(partial(owner.hold, run=RUN))
            with pytest.raises(ConflictError, match="elsewhere"):
                await store.write(partial(other.hold, run=RUN))
            assert await store.list_claimable(other.id) == []
            assert await store.list_claimable(owner.id) == [RUN]


async def test_a_run_that_was_handed_back_is_no_death(store: Store) -> None:
    await ToyBot(store, engine=None).request(toy_plan())  # type: ignore[arg-type]
    first, second = Replica(store, lease_seconds=60), Replica(store, lease_seconds=60)
    async with first.registered():
        assert await store.write(partial(first.claim, run=RUN)) == 0
    async with second.registered():
        assert await store.write(partial(second.claim, run=RUN)) == 0
        assert await store.write(partial(second.claim, run=RUN)) == 1, "it lost a run it had"


async def test_what_is_no_run_to_be_made_cannot_be_claimed(store: Store) -> None:
    await ToyBot(store, engine=None).request(toy_plan())  # type: ignore[arg-type]
    replica = Replica(store, lease_seconds=60)
    async with replica.registered():
        assert await store.write(partial(replica.claim, run=RunId("r1", 2))) is None
        await store.write(lambda tx: ledger.finish(tx, "r1", run=1, state=RequestState.STOPPED, outcome=""))
        assert await store.write(partial(replica.claim, run=RUN)) is None


async def test_a_process_that_has_the_file_alone_takes_the_others_for_dead(
    migrated_sqlite_file: Path, tmp_path: Path
) -> None:
    file = shutil.copy(migrated_sqlite_file, tmp_path / "bot.db")
    async with Store.open(f"sqlite:///{file}", clock=utc_now) as store:
        async with store.engine.begin() as connection:
            await connection.execute(sa.insert(REPLICAS).values(id="dead", beat_at=utc_now()))
        replica = Replica(store, lease_seconds=60)
        async with replica.registered():
            assert await column(store, sa.select(REPLICAS.c.id)) == [replica.id]


async def test_the_silent_are_struck_out_and_end_when_they_find_out(url: str) -> None:
    ended: list[bool] = []
    async with Store.open(url, clock=utc_now) as store:
        silent = Replica(store, lease_seconds=60, fenced=lambda: ended.append(True))
        watching = Replica(store, lease_seconds=0.3)
        async with silent.registered(), watching.registered():
            late = sa.func.clock_timestamp() - sa.literal(timedelta(minutes=5), sa.Interval())
            async with store.engine.begin() as connection:
                mine = sa.update(REPLICAS).where(REPLICAS.c.id == silent.id)
                await connection.execute(mine.values(beat_at=late))
            assert await watching.strike_out_the_dead() == [], (
                "whoever has just come lets the others beat first"
            )
            await until(lambda: rows(store, sa.select(sa.func.count() == 1).select_from(REPLICAS)))
            await silent.beat()

    assert ended
