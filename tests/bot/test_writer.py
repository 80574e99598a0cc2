"""Group commit: many writers, few commits, everybody gets the own answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from database import Clock, PostgreSQL
from requests_made import ALICE, new_request

from bot.audit import Fact
from bot.errors import ConflictError, TemporaryBackendError
from bot.migrating import migrate
from bot.store import Store
from bot.transaction import Transaction
from bot.writer import Shared


class Commits:
    """Counts the commits of the writer's engine."""

    def __init__(self, store: Store) -> None:
        self.count = 0
        sa.event.listen(store.engine.sync_engine, "commit", self._count)

    def _count(self, *_: object) -> None:
        self.count += 1


async def test_fifty_writers_share_few_commits_and_leave_one_chain(store: Store) -> None:
    commits = Commits(store)

    opened = await asyncio.gather(*(store.open_request(new_request(f"r{n}")) for n in range(50)))

    assert all(one.created for one in opened)
    assert commits.count < 10
    events = [event async for event in store.walk_audit(batch=7)]
    assert [event.sequence for event in events] == list(range(1, 51))
    assert (await store.verify_audit()).ok


async def test_writers_and_the_engines_transactions_leave_one_chain_without_gaps(store: Store) -> None:
    async def engine_transaction(n: int) -> None:
        async with (
            store.engine.begin() as connection,
            Transaction.join(Shared(connection), store._clock(), signals=store._signals) as tx,
        ):
            await tx.record(Fact(event="engine.wrote", actor="system", data={"n": n}))

    await asyncio.gather(
        *(store.open_request(new_request(f"r{n}")) for n in range(20)),
        *(engine_transaction(n) for n in range(20)),
    )

    found = await store.verify_audit()
    assert (found.ok, found.count) == (True, 40)


async def test_writers_of_two_replicas_leave_one_chain_without_gaps(
    postgresql: PostgreSQL, clock: Clock
) -> None:
    url = postgresql.create()
    async with Store.open(url, clock=clock) as store, Store.open(url, clock=clock) as other:
        opened = await asyncio.gather(
            *(
                replica.open_request(new_request(f"{name}{n}", active_key=f"promote:{n}"))
                for n in range(25)
                for name, replica in (("a", store), ("b", other))
            )
        )
        found = await other.verify_audit()

    assert sum(one.created for one in opened) == 25
    assert (found.ok, found.count) == (True, 25)


async def test_one_failing_writer_harms_nobody_else(store: Store) -> None:
    async def fails(tx: Transaction) -> None:
        await tx.record(Fact(event="never.happened", actor=ALICE))
        raise ValueError("mine alone")

    async def breaks_a_rule_of_the_database(tx: Transaction) -> None:
        await tx.record(Fact(event="never.happened", actor=ALICE))
        await tx.connection.execute(sa.text("INSERT INTO inbox VALUES (NULL, NULL, NULL)"))

    results = await asyncio.gather(
        store.open_request(new_request("r1")),
        store.write(fails),
        store.write(breaks_a_rule_of_the_database),
        store.open_request(new_request("r2")),
        return_exceptions=True,
    )

    assert [type(one).__name__ for one in results] == ["Opened", "ValueError", "IntegrityError", "Opened"]
    assert [one.event for one in await store.list_audit()] == ["request.opened"] * 2
    assert (await store.verify_audit()).ok


async def test_nobody_is_shown_a_row_as_another_writer_of_the_same_commit_has_read_it(store: Store) -> None:
    await store.open_request(new_request())

    async def reads_and_fails(tx: Transaction) -> None:
        row = await tx.request_row("r1")
        raise ValueError(row.outcome)

    async def changes(tx: Transaction) -> None:
        await tx.connection.execute(sa.text("UPDATE requests SET outcome = 'changed'"))

    async def reads(tx: Transaction) -> str:
        return (await tx.request_row("r1")).outcome

    *_, seen = await asyncio.gather(
        store.write(reads_and_fails), store.write(changes), store.write(reads), return_exceptions=True
    )

    assert seen == "changed"


async def test_a_broken_unique_rule_is_somebody_being_faster(store: Store) -> None:
    async def twice(tx: Transaction) -> None:
        for _ in range(2):
            await tx.connection.execute(
                sa.text("INSERT INTO inbox VALUES ('key', :at, '')"),
                {"at": "2026-01-01 00:00:00" if store.engine.dialect.name == "sqlite" else tx.now},
            )

    with pytest.raises(ConflictError):
        await store.write(twice)


async def test_a_caller_that_gives_up_does_not_break_the_others(store: Store) -> None:
    tasks = [asyncio.create_task(store.open_request(new_request(f"r{n}"))) for n in range(10)]
    await asyncio.sleep(0)  # Every task has submitted its work and waits for the answer.
    tasks[3].cancel()

    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [isinstance(one, asyncio.CancelledError) for one in results] == [n == 3 for n in range(10)]
    assert (await store.open_request(new_request("after"))).created
    assert (await store.verify_audit()).ok


async def test_work_in_progress_is_finished_although_its_caller_gave_up(store: Store) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(tx: Transaction) -> None:
        started.set()
        await go_on.wait()
        await tx.record(Fact(event="slow.wrote", actor=ALICE))

    task = asyncio.create_task(store.write(slow))
    await started.wait()
    task.cancel()
    go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    await store.open_request(new_request())
    assert [one.event for one in await store.list_audit()] == ["request.opened", "slow.wrote"]


async def test_nobody_joins_a_transaction_that_an_acknowledgement_waits_for(store: Store) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(tx: Transaction) -> None:
        started.set()
        await go_on.wait()
        await tx.record(Fact(event="slow.wrote", actor=ALICE))

    async def late(tx: Transaction) -> None:
        await tx.record(Fact(event="late.wrote", actor=ALICE))

    first = asyncio.create_task(store.write(slow))
    await started.wait()
    others = [asyncio.create_task(store.open_request(new_request())), asyncio.create_task(store.write(late))]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(first, *others)

    found = [one.event for one in reversed(await store.list_audit())]
    assert found == ["slow.wrote", "request.opened", "late.wrote"]


async def test_a_database_that_went_away_is_said_to_everybody_who_waits(
    postgresql: PostgreSQL, clock: Clock
) -> None:
    async def nothing(_: Transaction) -> None:
        pass

    url = postgresql.create()
    async with Store.open(url, clock=clock) as store:
        await store.write(nothing)
        postgresql.drop(url)
        async with asyncio.timeout(10):
            found = await asyncio.gather(*(store.write(nothing) for _ in range(3)), return_exceptions=True)

    assert [type(one) for one in found] == [TemporaryBackendError] * 3


async def test_closing_commits_what_was_submitted_and_refuses_what_comes_later(
    database_url: str, clock: Clock
) -> None:
    async with Store.open(database_url, clock=clock) as store:
        tasks = [asyncio.create_task(store.open_request(new_request(f"r{n}"))) for n in range(5)]
        await asyncio.sleep(0)
    assert all(one.created for one in await asyncio.gather(*tasks))

    with pytest.raises(TemporaryBackendError, match="stopping"):
        await store.open_request(new_request("late"))


async def test_a_full_disk_is_said_to_everybody_and_writing_goes_on_when_there_is_room(
    tmp_path: Path, clock: Clock
) -> None:
    url = f"sqlite:///{tmp_path / 'bot.db'}"
    migrate(url)
    async with Store.open(url, clock=clock) as store:
        await store.open_request(new_request("before"))
        limits = Pages(store)
        limits.freeze()
        big = {"text": "x" * 200_000}

        results = await asyncio.gather(
            *(store.open_request(new_request(f"r{n}", arguments=big)) for n in range(1, 4)),
            return_exceptions=True,
        )

        assert [type(one) for one in results] == [TemporaryBackendError] * 3
        assert "database is full; nothing was recorded" in str(results[0])
        assert [one.id for one in await store.list_requests()] == ["before"]

        limits.lift()
        assert (await store.open_request(new_request("r2", arguments=big))).created
        found = await store.verify_audit()
        assert (found.ok, found.count) == (True, 2)


class Pages:
    """Makes SQLite believe that the disk has no room for another page."""

    def __init__(self, store: Store) -> None:
        self._frozen = False
        sa.event.listen(store.engine.sync_engine, "begin", self._limit)
        sa.event.listen(store._engines.direct, "checkout", self._limit_direct)

    def freeze(self) -> None:
        self._frozen = True

    def lift(self) -> None:
        self._frozen = False

    @property
    def _pragma(self) -> str:
        pages = 1 if self._frozen else 1_000_000  # Never below what the file has already.
        return f"PRAGMA max_page_count={pages}"

    def _limit(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(self._pragma)

    def _limit_direct(self, connection: Any, *_: object) -> None:
        connection.execute(self._pragma)
