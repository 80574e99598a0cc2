"""SQLite's log is folded into the file while the bot works."""

from __future__ import annotations

import asyncio
from pathlib import Path

from database import Clock
from requests_made import new_request

from bot.migrating import migrate
from bot.sqlite_log import FOLD_BYTES, KEPT_BYTES, fold
from bot.store import Store

TEXT = "x" * 100_000


async def write(store: Store, name: str) -> None:
    await store.open_request(new_request(name, arguments={"text": TEXT}))


async def test_a_grown_log_is_folded_into_the_file_while_writing_goes_on(
    tmp_path: Path, clock: Clock
) -> None:
    file, log = tmp_path / "bot.db", tmp_path / "bot.db-wal"
    migrate(f"sqlite:///{file}")
    async with Store.open(f"sqlite:///{file}", clock=clock) as store:
        count = 0
        async with asyncio.timeout(20):
            while file.stat().st_size < FOLD_BYTES:
                # SQLite folds a much longer log in a commit by itself: it is not let grow so long.
                if not log.exists() or log.stat().st_size < 3 * FOLD_BYTES:
                    await write(store, f"r{count}")
                    count += 1
                else:
                    await asyncio.sleep(0.01)
        assert (await store.verify_audit()).count == count


async def test_folding_leaves_nothing_behind_that_nobody_reads(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "bot.db"
    migrate(f"sqlite:///{file}")
    async with Store.open(f"sqlite:///{file}", clock=clock) as store:
        await write(store, "r1")
        pages, copied = fold(file)
        assert pages == copied > len(TEXT) // 4096
        assert len(await store.list_requests()) == 1


async def test_the_logs_file_gets_short_again(tmp_path: Path, clock: Clock) -> None:
    file, log = tmp_path / "bot.db", tmp_path / "bot.db-wal"
    migrate(f"sqlite:///{file}")
    async with Store.open(f"sqlite:///{file}", clock=clock) as store:
        count = 0
        async with asyncio.timeout(20):
            while not log.exists() or log.stat().st_size < FOLD_BYTES:
                await write(store, f"r{count}")
                count += 1
            while log.stat().st_size > KEPT_BYTES:
                await write(store, f"r{count}")
                count += 1
                # Folding takes its time; the next commit begins the log anew.
                await asyncio.sleep(0.05)
