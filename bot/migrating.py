"""Brings the database's schema up to date. A module of its own, because a running bot needs nothing of Alembic."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.exc import DBAPIError

from bot.database import (
    MIGRATIONS,
    begin_immediate,
    cannot_start,
    configure_sqlite,
    file_lock,
    is_sqlite,
    known_revisions,
    present_revision,
    refuse_newer,
    sqlite_file,
    sync_url,
)

LOCK_WAIT_SECONDS = 10.0
"""How long migrating waits for another process that may be migrating the same file."""
_LOCK = 0x706C6174  # "plat": any number, as long as every replica asks for the same one.


def _config() -> Config:
    """Alembic, configured in code: the migrations ship inside the package and need no file beside it."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def migrate(url: str, *, revision: str = "head") -> None:
    """Bring the schema up to date; blocking. Safe to repeat, and when several processes start at once.

    Raises StartError when the file is in use by a running bot, or the schema is newer than this version knows.
    """
    target = sync_url(url)
    if is_sqlite(target):
        _migrate_sqlite(target, revision)
    else:
        _migrate_postgresql(target, revision)


def _migrate_sqlite(url: URL, revision: str) -> None:
    file = sqlite_file(url)
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        file.touch(
            mode=0o600
        )  # Plans and the audit are for the bot's own account; SQLite's other files follow suit.
    engine = sa.create_engine(url)
    event.listen(engine, "connect", configure_sqlite)
    event.listen(engine, "begin", begin_immediate)
    try:
        if revision == "head" and _is_current(engine):
            return
        with file_lock(file, wait_seconds=LOCK_WAIT_SECONDS), engine.begin() as connection:
            _upgrade(connection, revision)
    except DBAPIError as error:
        raise cannot_start(error) from error
    finally:
        engine.dispose()


def _is_current(engine: Engine) -> bool:
    with engine.connect() as connection:
        return present_revision(connection) == known_revisions()[-1]


def _migrate_postgresql(url: URL, revision: str) -> None:
    engine = sa.create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            _upgrade(connection, revision)
    except DBAPIError as error:
        raise cannot_start(error) from error
    finally:
        engine.dispose()


def _upgrade(connection: Connection, revision: str) -> None:
    refuse_newer(present_revision(connection))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
