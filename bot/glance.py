"""Single rows that are looked up before an acknowledgement. Reads only, and no joins.

Its statement is compiled once and given to the driver itself, on a connection that is kept: in place on SQLite, and on PostgreSQL
as one question that the event loop waits for. Either takes a quarter of what SQLAlchemy's connection would, or less. Lists, and
whatever must see one moment together, stay with `bot.queries`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, Protocol, cast

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.domain import Service
from bot.rows import to_service
from bot.tables import SERVICES

_SERVICE = sa.select(SERVICES).where(SERVICES.c.name == sa.bindparam("name"))


class Driver(Protocol):
    """A kept connection; `rows` raises what SQLAlchemy raises."""

    async def rows(self, sql: str, parameter: str) -> Sequence[Any]: ...

    async def close(self) -> None: ...


class Glance:
    def __init__(self, driver: Driver, dialect: sa.Dialect) -> None:
        self._driver = driver
        self._sql = str(_SERVICE.compile(dialect=dialect))
        self._columns = [
            (column.name, column.type.dialect_impl(dialect).result_processor(dialect, None))
            for column in SERVICES.columns
        ]

    @classmethod
    @asynccontextmanager
    async def open(cls, engine: sa.Engine | AsyncEngine) -> AsyncIterator[Glance]:
        """An asynchronous engine is PostgreSQL's, the other one SQLite's."""
        driver: Driver = _Asked(engine) if isinstance(engine, AsyncEngine) else _InPlace(engine)
        try:
            yield cls(driver, engine.dialect)
        finally:
            await driver.close()

    async def service(self, name: str) -> Service | None:
        """Raises what SQLAlchemy raises."""
        rows = await self._driver.rows(self._sql, name)
        return self._service(rows[0]) if rows else None

    def _service(self, row: Sequence[Any]) -> Service:
        """The row as the driver gave it; the columns' types are applied here."""
        typed = {
            name: value if process is None else process(value)
            for (name, process), value in zip(self._columns, row, strict=True)
        }
        return to_service(cast("sa.Row[Any]", SimpleNamespace(**typed)))


class _InPlace:
    """SQLite, on the event loop."""

    def __init__(self, engine: sa.Engine) -> None:
        self._kept = engine.raw_connection()

    async def rows(self, sql: str, parameter: str) -> Sequence[Any]:
        """All at once: a statement that is not read to its end keeps an old moment of the database alive."""
        try:
            rows: Sequence[Any] = self._kept.cursor().execute(sql, (parameter,)).fetchall()
        except sqlite3.Error as error:
            raise DBAPIError.instance(sql, None, error, sqlite3.Error) from error
        else:
            return rows

    async def close(self) -> None:
        self._kept.close()


class _Asked:
    """PostgreSQL, through asyncpg: one question at a time. A connection that was lost is opened again."""

    def __init__(self, engine: AsyncEngine) -> None:
        # Only here: a bot on SQLite needs nothing of it.
        import asyncpg  # type: ignore[import-untyped]

        self._errors = (asyncpg.PostgresError, asyncpg.InterfaceError)
        self._engine = engine
        self._turn = asyncio.Lock()
        self._kept: AsyncConnection | None = None
        self._driver: Any = None

    async def rows(self, sql: str, parameter: str) -> Sequence[Any]:
        async with self._turn:
            try:
                return await self._fetch(sql, parameter)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            # The server was started again since: that the database is away is said only if it is so now.
            return await self._fetch(sql, parameter)

    async def _fetch(self, sql: str, parameter: str) -> Sequence[Any]:
        if self._driver is None or self._driver.is_closed():
            await self._open()
        try:
            rows: Sequence[Any] = await self._driver.fetch(sql, parameter)
        except self._errors as error:
            lost = self._driver.is_closed()
            raise DBAPIError(sql, None, error, connection_invalidated=lost) from error
        else:
            return rows

    async def _open(self) -> None:
        await self.close()
        self._kept = await self._engine.connect()
        self._driver = (await self._kept.get_raw_connection()).driver_connection

    async def close(self) -> None:
        kept, self._kept, self._driver = self._kept, None, None
        if kept is not None:
            await kept.invalidate()
            await kept.close()
