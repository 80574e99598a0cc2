"""Single rows that are looked up before an acknowledgement. Reads only, and no joins.

Its statement is compiled once. On SQLite it runs in place, on a connection that is kept: that takes a tenth of what a session would.
On PostgreSQL it is one visit to a thread. Lists, and whatever must see one moment together, stay with `bot.queries`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import PoolProxiedConnection

from bot.domain import Service
from bot.rows import to_service
from bot.tables import ServiceRow

_SERVICES: sa.Table = ServiceRow.__table__  # type: ignore[attr-defined]
_SERVICE = sa.select(_SERVICES).where(_SERVICES.c.name == sa.bindparam("name"))


class Glance:
    def __init__(self, engine: sa.Engine, thread: ThreadPoolExecutor) -> None:
        self._engine = engine
        self._thread = thread
        dialect = engine.dialect
        self._kept = engine.raw_connection() if dialect.name == "sqlite" else None
        self._sql = str(_SERVICE.compile(dialect=dialect))
        self._columns = [
            (column.name, column.type.dialect_impl(dialect).result_processor(dialect, None))
            for column in _SERVICES.columns
        ]

    @classmethod
    @asynccontextmanager
    async def open(cls, engine: sa.Engine) -> AsyncIterator[Glance]:
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-glance") as thread:
            glance = cls(engine, thread)
            try:
                yield glance
            finally:
                if glance._kept is not None:
                    glance._kept.close()

    async def service(self, name: str) -> Service | None:
        """Raises what SQLAlchemy raises."""
        if self._kept is not None:
            rows = self._in_place(self._kept, name)
        else:
            rows = await asyncio.get_running_loop().run_in_executor(self._thread, self._visit, name)
        return self._service(rows[0]) if rows else None

    def _in_place(self, connection: PoolProxiedConnection, name: str) -> Sequence[Any]:
        """All rows at once: a statement that is not read to its end keeps an old moment of the database alive."""
        try:
            rows: Sequence[Any] = connection.cursor().execute(self._sql, (name,)).fetchall()
        except sqlite3.Error as error:
            raise DBAPIError.instance(self._sql, None, error, sqlite3.Error) from error
        else:
            return rows

    def _visit(self, name: str) -> Sequence[Any]:
        with self._engine.connect() as connection:
            return connection.exec_driver_sql(self._sql, {"name": name}).all()

    def _service(self, row: Sequence[Any]) -> Service:
        """The row as the driver gave it; the columns' types are applied here."""
        typed = {
            name: value if process is None else process(value)
            for (name, process), value in zip(self._columns, row, strict=True)
        }
        return to_service(cast("ServiceRow", SimpleNamespace(**typed)))
