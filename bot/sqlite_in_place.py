"""SQLite for an event loop: statements run where they are called, and only what waits for the disk or the lock goes to a thread.

The usual asynchronous driver sends each statement to a thread and back, four times for a SELECT: a fiftieth of a millisecond of work
in a fifth of a millisecond of switching. Here a dialect of SQLAlchemy's own speaks to the standard library's module. A read in this
bot is a page entered by an index, so it may be made in place; the COMMIT of what was written may take seconds, and so may a BEGIN
IMMEDIATE that finds the lock taken (docs/decisions/0009-sqlite-in-place.md).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import pool
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import URL
from sqlalchemy.util import await_only

DRIVER = "sqlite+inplace"
BEGIN_IMMEDIATE = "BEGIN IMMEDIATE"


class InPlaceDialect(SQLiteDialect_pysqlite):
    """Found by the name in `DRIVER`; everything but waiting is the standard one's."""

    driver = "inplace"
    is_async = True
    supports_statement_cache = True

    @classmethod
    def get_pool_class(cls, _url: URL) -> type[pool.Pool]:
        return pool.AsyncAdaptedQueuePool

    def create_connect_args(self, url: URL) -> Any:
        arguments, options = super().create_connect_args(url)
        return arguments, {**options, "factory": _Connection, "check_same_thread": False}


class _Connection(sqlite3.Connection):
    """Used by one task at a time; its slow calls are made in a thread of its own while that task waits."""

    _writes = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Not the loop's own pool: whoever fills or closes that one must not hold up a commit.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")

    def cursor(self, _factory: object = None, /) -> Any:
        return super().cursor(_Cursor)

    def commit(self) -> None:
        if self._writes:
            self._writes = False
            self.in_thread(super().commit)
        else:
            super().commit()

    def rollback(self) -> None:
        self._writes = False
        super().rollback()

    def close(self) -> None:
        self._thread.shutdown(wait=False)
        super().close()

    def begin_immediate(self, begin: Callable[[], object]) -> None:
        """Writers of this process take turns before they come here, so the lock is free unless somebody else has the file open."""
        if not self._begun_at_once(begin):
            self.in_thread(begin)
        self._writes = True

    def _begun_at_once(self, begin: Callable[[], object]) -> bool:
        patience = self._plainly("PRAGMA busy_timeout").fetchone()[0]
        self._plainly("PRAGMA busy_timeout=0")
        try:
            begin()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            return False
        else:
            return True
        finally:
            self._plainly(f"PRAGMA busy_timeout={patience}")

    def _plainly(self, pragma: str) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = super().cursor(sqlite3.Cursor)
        return cursor.execute(pragma)

    def in_thread(self, call: Callable[[], object]) -> None:
        """Called by SQLAlchemy within a greenlet of the loop's, which goes on meanwhile."""
        await_only(asyncio.get_running_loop().run_in_executor(self._thread, call))


class _Cursor(sqlite3.Cursor):
    connection: _Connection

    def execute(self, statement: str, parameters: Any = (), /) -> _Cursor:
        if statement == BEGIN_IMMEDIATE:
            self.connection.begin_immediate(lambda: super(_Cursor, self).execute(statement))
            return self
        await_only(_at_once())
        return super().execute(statement, parameters)

    def executemany(self, statement: str, parameters: Any, /) -> _Cursor:
        await_only(_at_once())
        return super().executemany(statement, parameters)

    async def _async_soft_close(self) -> None:
        """SQLAlchemy's asynchronous results ask for it; rows are in memory by then."""


async def _at_once() -> None:
    """Over before anybody else has a turn. SQLAlchemy takes a driver that never awaits for one that blocks, and refuses it."""


registry.register("sqlite.inplace", __name__, InPlaceDialect.__name__)
