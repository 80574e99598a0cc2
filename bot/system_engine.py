"""The durable engine's own connections to the application's database: blocking ones, for its threads."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.database import BUSY_TIMEOUT_MS, FROZEN_SECONDS, sync_url
from bot.sqlite_log import LONGEST_PAGES


def _postgresql_connect_args(application_name: str) -> dict[str, Any]:
    return {
        "application_name": application_name,
        "options": f"-c idle_in_transaction_session_timeout={FROZEN_SECONDS}s",
    }


def _blocking_url(app: AsyncEngine) -> sa.URL:
    return sync_url(app.url.render_as_string(hide_password=False))


def system_engine(app: AsyncEngine, *, application_name: str) -> sa.Engine:
    """A synchronous engine on the application's database, for DBOS's threads."""
    if app.dialect.name != "sqlite":
        return sa.create_engine(
            _blocking_url(app),
            pool_size=10,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args=_postgresql_connect_args(application_name),
        )
    engine = sa.create_engine(_blocking_url(app))

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        # Writers queue up instead of failing: BEGIN IMMEDIATE takes the lock before anything is read.
        connection.isolation_level = "IMMEDIATE"
        # NORMAL, although the store's commits are FULL: a checkpoint lost in a power cut only repeats an idempotent step,
        # and whatever was acknowledged is flushed with everything that was written to the same log before it.
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            f"wal_autocheckpoint={LONGEST_PAGES}",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    return engine
