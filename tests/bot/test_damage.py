"""A database whose file was harmed: what a person is told then; every test on SQLite and on PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from damaging import EVENTS, Damaged, damage_postgresql, damage_sqlite, tampering, write_events
from database import Clock, PostgreSQL

from bot.database import DamagedError
from bot.store import Store


@pytest.fixture
async def damaged(database_url: str, clock: Clock, request: pytest.FixtureRequest) -> AsyncIterator[Damaged]:
    if database_url.startswith("sqlite"):
        yield await damage_sqlite(database_url, clock)
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    copy = await damage_postgresql(server, database_url, clock)
    yield copy
    server.drop(copy.url)


@pytest.mark.parametrize("batch", [1, 7, 250])
async def test_verifying_names_the_first_event_that_cannot_be_read(
    damaged: Damaged, clock: Clock, batch: int
) -> None:
    async with Store.open_for_reading(damaged.url, clock=clock) as store:
        found = await store.verify_audit(batch=batch)

    assert (found.first_bad, found.count) == (damaged.first, damaged.first - 1)
    assert 1 < damaged.first <= 150
    assert re.fullmatch(
        r"it cannot be read, the database is damaged \(.+\); restore the last backup", found.why
    )


async def test_whoever_reads_what_is_damaged_is_told_so(damaged: Damaged, clock: Clock) -> None:
    async with Store.open_for_reading(damaged.url, clock=clock) as store:
        lines = store.export_audit(batch=1)
        assert len([await anext(lines) for _ in range(damaged.first - 1)]) == damaged.first - 1
        with pytest.raises(DamagedError, match="database is damaged") as told:
            await anext(lines)
        with pytest.raises(DamagedError):
            await store.list_audit(service="orders", limit=EVENTS)

        assert "restore the last backup" in told.value.sentence
        assert len(await store.list_audit(service="orders", limit=20)) == 20, "what is whole is still read"


async def test_whoever_reads_what_somebody_overwrote_is_told_so(database_url: str, clock: Clock) -> None:
    await write_events(database_url, clock)
    async with Store.open(database_url, clock=clock) as store:
        async with tampering(store) as connection:
            overwritten = sa.text("UPDATE audit_events SET data = 'no JSON' WHERE sequence = 3")
            await connection.execute(overwritten)

        lines = store.export_audit(batch=1)
        assert len([await anext(lines) for _ in range(2)]) == 2
        with pytest.raises(DamagedError, match="database is damaged"):
            await anext(lines)
        assert (await store.verify_audit()).first_bad == 3
