"""Single rows that are looked up before an acknowledgement, each by one visit to a thread. Reads only, and no joins.

The session on the loop makes five such visits for the same row on SQLite. Lists, and whatever must see one moment together,
stay with `bot.queries`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa

from bot.domain import Service
from bot.rows import to_service
from bot.tables import ServiceRow

_SERVICES: sa.Table = ServiceRow.__table__  # type: ignore[attr-defined]
_SERVICE = sa.select(_SERVICES).where(_SERVICES.c.name == sa.bindparam("name"))


class Glance:
    """One thread, one connection."""

    def __init__(self, engine: sa.Engine, thread: ThreadPoolExecutor) -> None:
        self._engine = engine
        self._thread = thread

    @classmethod
    @asynccontextmanager
    async def open(cls, engine: sa.Engine) -> AsyncIterator[Glance]:
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-glance") as thread:
            yield cls(engine, thread)

    async def service(self, name: str) -> Service | None:
        row = await asyncio.get_running_loop().run_in_executor(self._thread, self._row, name)
        return None if row is None else to_service(row)

    def _row(self, name: str) -> Any:
        with self._engine.connect() as connection:
            return connection.execute(_SERVICE, {"name": name}).one_or_none()
