"""SQLite's write-ahead log is folded into the file beside the commits, not in one of them.

By default the commit that makes the log a thousand pages long copies them all and flushes the file, and whoever waits for that
commit waits twenty times as long as others. Here a thread does it while commits go on. Where it cannot keep up, because nobody
ever pauses, the log grows to `LONGEST_PAGES` and a commit does what is left.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import structlog

from bot.tasks import going_on

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5
FOLD_BYTES = 4 * 2**20
LONGEST_PAGES = 16_384
"""64 MiB of SQLite's usual pages."""
KEPT_BYTES = FOLD_BYTES // 2
"""What the log's file is cut to when it begins anew (`journal_size_limit`). It would keep its length, and always look grown."""


@asynccontextmanager
async def folding(file: Path) -> AsyncIterator[None]:
    """Look at the log now and then while this is open, and fold it when it has grown."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-log") as thread:
        async with going_on(partial(_look, file, thread), name="sqlite-log"):
            yield


async def _look(file: Path, thread: ThreadPoolExecutor) -> None:
    written, folded = file.with_name(f"{file.name}-wal"), 0
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            state = written.stat()
        except FileNotFoundError:
            continue
        if state.st_size < FOLD_BYTES or state.st_mtime_ns == folded:
            continue
        try:
            await asyncio.get_running_loop().run_in_executor(thread, fold, file)
        except sqlite3.OperationalError as error:
            # A full disk, or somebody holds the lock: nothing is lost, and it is tried again.
            log.warning("sqlite.log_not_folded", error=str(error))
        else:
            # It begins anew with the next commit, and until then there is nothing more to do.
            folded = state.st_mtime_ns


def fold(file: Path) -> tuple[int, int]:
    """Copy what is committed and read by nobody as it was before. Returns the pages in the log, and how many are copied by now.

    Raises sqlite3.OperationalError.
    """
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        _, pages, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return pages, copied
