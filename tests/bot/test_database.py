"""Addresses, locks and how the engines are set up."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from database import Clock, PostgreSQL
from requests_made import new_request
from sqlalchemy.exc import DBAPIError, StatementError

from bot.database import async_url, file_lock, open_engines, sync_url, transaction
from bot.domain import RequestState
from bot.errors import StartError, TemporaryBackendError
from bot.migrating import migrate
from bot.store import Store
from bot.transaction import Transaction


@pytest.mark.parametrize(
    ("given", "asynchronous", "blocking"),
    [
        ("sqlite:///var/bot.db", "sqlite+inplace:///var/bot.db", "sqlite:///var/bot.db"),
        ("sqlite+aiosqlite:////a/b.db", "sqlite+inplace:////a/b.db", "sqlite:////a/b.db"),
        ("postgres://u:p@h/d", "postgresql+asyncpg://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql://u@h:1/d", "postgresql+asyncpg://u@h:1/d", "postgresql+psycopg://u@h:1/d"),
        ("postgresql+psycopg://u@h/d", "postgresql+asyncpg://u@h/d", "postgresql+psycopg://u@h/d"),
    ],
)
def test_addresses_as_people_write_them_are_understood(given: str, asynchronous: str, blocking: str) -> None:
    assert async_url(given).render_as_string(hide_password=False) == asynchronous
    assert sync_url(given).render_as_string(hide_password=False) == blocking


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://u:s3cret@h/d", "sqlite://", "sqlite:///:memory:"])
def test_other_addresses_are_refused_without_their_password(url: str) -> None:
    with pytest.raises(StartError) as refused:
        async_url(url)
    assert "sqlite:///var/platform-bot.db" in refused.value.sentence
    assert "s3cret" not in refused.value.sentence


async def test_a_second_bot_on_the_same_file_is_told_so(tmp_path: Path, clock: Clock) -> None:
    url = f"sqlite:///{tmp_path / 'bot.db'}"
    migrate(url)
    async with Store.open(url, clock=clock):
        with pytest.raises(StartError, match="Another platform-bot uses"):
            async with Store.open(url, clock=clock):
                pass
    async with Store.open(url, clock=clock) as store:
        await store.ping()


def test_the_lock_ends_with_the_process_that_held_it(tmp_path: Path) -> None:
    file = tmp_path / "bot.db"
    program = (
        "import sys, pathlib; from bot.database import file_lock\n"
        "with file_lock(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StartError), file_lock(file):
            pass
    finally:
        holder.kill()
        holder.wait()
    with file_lock(file):
        pass


async def test_an_unmigrated_database_is_not_opened(empty_database_url: str, clock: Clock) -> None:
    with pytest.raises(StartError, match="not migrated") as refused:
        async with Store.open(empty_database_url, clock=clock):
            pass
    assert "python -m bot migrate" in refused.value.sentence


async def test_a_database_of_a_newer_version_is_neither_opened_nor_migrated(
    database_url: str, clock: Clock
) -> None:
    engine = sa.create_engine(sync_url(database_url))
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE schema_revision SET version_num = '9999'"))
    engine.dispose()

    with pytest.raises(StartError, match="newer platform-bot"):
        async with Store.open(database_url, clock=clock):
            pass
    with pytest.raises(StartError, match="newer platform-bot"):
        migrate(database_url)


async def test_sqlite_is_set_up_to_lose_nothing_acknowledged(tmp_path: Path, clock: Clock) -> None:
    url = f"sqlite:///{tmp_path / 'bot.db'}"
    migrate(url)
    async with Store.open(url, clock=clock) as store, store.engine.connect() as connection:
        settings = {
            name: (await connection.execute(sa.text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}


def test_a_new_sqlite_file_is_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "new" / "bot.db"

    migrate(f"sqlite:///{file}")

    assert file.stat().st_mode & 0o777 == 0o600


async def test_moments_keep_their_instant_and_come_back_in_utc(store: Store, clock: Clock) -> None:
    clock.now = datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=45)))

    await store.open_request(new_request())

    found = (await store.get_request("r1")).created_at
    assert found == clock.now
    assert found.tzinfo is UTC


async def test_a_naive_moment_is_refused(store: Store, clock: Clock) -> None:
    with pytest.raises((ValueError, StatementError), match="time zone"):
        await store.delete_inbox(datetime(2026, 1, 1))  # noqa: DTZ001 - the naive time is what is refused


async def test_readers_do_not_wait_for_a_writer(store: Store) -> None:
    async with store.engine.begin() as connection:
        await connection.execute(sa.text("UPDATE audit_head SET sequence = sequence"))

        assert await store.list_requests() == []
        assert (await store.audit_head()).sequence == 0


async def test_readers_cannot_write(database_url: str) -> None:
    async with open_engines(async_url(database_url)) as engines, engines.reader.connect() as connection:
        with pytest.raises(DBAPIError, match=r"(?i)read.?only"):
            await connection.execute(sa.text("DELETE FROM inbox"))


async def test_audit_events_cannot_be_changed_or_removed(store: Store) -> None:
    await store.open_request(new_request())
    statements = [
        "UPDATE audit_events SET actor = 'somebody else'",
        "DELETE FROM audit_events",
        "DELETE FROM audit_head",
    ]
    if store.engine.dialect.name == "sqlite":
        statements.append("INSERT OR REPLACE INTO audit_events SELECT * FROM audit_events")
    else:
        statements += ["TRUNCATE audit_events", "TRUNCATE audit_head"]
    for statement in statements:
        with pytest.raises(DBAPIError, match=r"append-only|stays"):
            async with store.engine.begin() as connection:
                await connection.execute(sa.text(statement))
    assert (await store.verify_audit()).count == 1


async def test_a_postgresql_that_is_away_is_said_so(clock: Clock, tmp_path: Path) -> None:
    url = f"postgresql://bot@/bot?host={tmp_path}"
    with pytest.raises(StartError, match="database cannot be used"):
        async with Store.open(url, clock=clock):
            pass
    with pytest.raises(StartError, match="database cannot be used"):
        migrate(url)


async def test_a_database_that_does_not_exist_is_named(postgresql: PostgreSQL, clock: Clock) -> None:
    with pytest.raises(StartError, match='"nope" does not exist'):
        async with Store.open(postgresql.url("nope"), clock=clock):
            pass


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "bot.db"
    file.write_text("This is not a database, it is a letter to a friend. " * 100)

    with pytest.raises(StartError, match="not a database"):
        migrate(f"sqlite:///{file}")
    with pytest.raises(StartError, match="not a database"):
        async with Store.open(f"sqlite:///{file}", clock=clock):
            pass


async def test_lost_connections_are_said_and_replaced(postgresql: PostgreSQL, clock: Clock) -> None:
    """As after a restart of the server: what was under way is lost, loudly, and the next one works."""
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test_%'"
    url = postgresql.create()

    async def cut_off(tx: Transaction) -> None:
        postgresql.execute(kill)
        await tx.connection.execute(sa.text("SELECT 1"))

    async with Store.open(url, clock=clock) as store:
        with pytest.raises(TemporaryBackendError, match="cannot be reached"):
            await store.write(cut_off)

        assert (await store.open_request(new_request("r2"))).created
        assert [one.id for one in await store.list_requests()] == ["r2"]
        postgresql.execute(kill)
        assert (await store.open_request(new_request("r3"))).created
        found = await store.verify_audit()
        assert (found.ok, found.count) == (True, 2)


@pytest.mark.timeout(15)  # Half of what SQLite waits for a lock.
async def test_a_database_whose_lock_somebody_else_holds_stops_nobody_but_writers(
    tmp_path: Path, clock: Clock
) -> None:
    url = f"sqlite:///{tmp_path / 'bot.db'}"
    migrate(url)
    async with Store.open(url, clock=clock) as store:
        await store.open_request(new_request("r1"))
        with closing(sqlite3.connect(tmp_path / "bot.db", isolation_level=None)) as somebody:
            somebody.execute("BEGIN IMMEDIATE")
            writing = asyncio.create_task(store.cancel("r1", actor="U1", version=1))
            async with asyncio.timeout(5):
                assert (await store.get_request("r1")).state is RequestState.PLANNING
            assert not writing.done()
            somebody.execute("COMMIT")
        assert (await writing).state is RequestState.CANCELLED


async def test_readers_of_a_file_who_come_together_open_one_connection(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bot.db'}"
    migrate(url)
    opened: list[object] = []
    async with open_engines(async_url(url)) as engines:
        sa.event.listen(engines.reader.sync_engine, "connect", lambda one, _: opened.append(one))

        async def read() -> None:
            async with transaction(engines.reader) as connection:
                await connection.execute(sa.text("SELECT 1"))

        await asyncio.gather(*(read() for _ in range(20)))

    assert len(opened) == 1
