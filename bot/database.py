"""The database as a place: its address, its engines, its lock and its schema. It knows no table and no transaction.

SQLite is the default: one file, one process (held by a lock beside the file), write-ahead log. PostgreSQL is for several
replicas. Both are opened here, so that everything above may ignore which of them it is on.
"""

from __future__ import annotations

import fcntl
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import URL, Connection, Engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bot import sqlite_in_place, sqlite_log
from bot.errors import (
    BackendErrorKind,
    InUseError,
    PermanentBackendError,
    StartError,
    TemporaryBackendError,
    foreign_text,
)

BUSY_TIMEOUT_MS = 30_000
"""How long a SQLite writer waits for the other one (the engine's own connections write to the same file)."""
FROZEN_SECONDS = 15
VERSION_TABLE = "schema_revision"
_OUTAGES = frozenset({"08", "28", "3D", "40", "53", "55", "57", "58"})
"""Classes of SQLSTATE that say nothing of the statement: connection, login, no such database, deadlock, resources, locks,
shutdown, the system below. The driver puts most of them into no class of its own."""
_DAMAGE = frozenset({"XX001", "XX002"})
"""PostgreSQL's data_corrupted and index_corrupted."""
_SQLITE_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
MIGRATIONS = Path(__file__).parent / "migrations"


# ---------------------------------------------------------------- addresses


def async_url(url: str) -> URL:
    """The address with the driver the bot uses. Raises StartError for what is neither SQLite nor PostgreSQL."""
    return _url(url, sqlite=sqlite_in_place.DRIVER, postgresql="postgresql+asyncpg")


def sync_url(url: str) -> URL:
    """The same database through a blocking driver, for migrations and for the durable engine's own connections."""
    return _url(url, sqlite="sqlite", postgresql="postgresql+psycopg")


def _url(url: str, *, sqlite: str, postgresql: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StartError(
            "DATABASE_URL is not an address of a database.",
            fix="Use sqlite:///var/platform-bot.db or postgresql://user:password@host/name.",
        ) from error
    match parsed.get_backend_name():
        case "sqlite" if parsed.database not in {None, "", ":memory:"}:
            return parsed.set(drivername=sqlite)
        case "postgresql" | "postgres":
            return parsed.set(drivername=postgresql)
        case _:
            raise StartError(
                f"The database {foreign_text(parsed.render_as_string())} cannot be used.",
                fix="Use a SQLite file (sqlite:///var/platform-bot.db) or PostgreSQL (postgresql://…).",
            )


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def sqlite_file(url: URL) -> Path:
    return Path(str(url.database))


# ---------------------------------------------------------------- engines


@dataclass(frozen=True)
class Engines:
    """`writer` begins transactions that may write; `reader` sees one consistent moment and cannot write.

    `glance` is for single statements that read, on the event loop whatever the database is. The others block, and are for threads
    of their own: `direct` for a transaction that writes, `bulk` for reading through everything, in as many threads as there are
    cores.
    """

    writer: AsyncEngine
    reader: AsyncEngine
    direct: Engine
    glance: Engine | AsyncEngine
    bulk: Engine


@asynccontextmanager
async def open_engines(url: URL) -> AsyncIterator[Engines]:
    engines = _sqlite_engines(url) if is_sqlite(url) else _postgresql_engines(url)
    try:
        yield engines
    finally:
        for engine in (engines.direct, engines.glance, engines.bulk, engines.reader, engines.writer):
            if isinstance(engine, AsyncEngine):
                await engine.dispose()
            else:
                engine.dispose()


def _sqlite_engines(url: URL) -> Engines:
    writer, reader = create_async_engine(url), create_async_engine(url)
    direct = sa.create_engine(url.set(drivername="sqlite"))
    event.listen(direct, "connect", configure_sqlite)
    event.listen(direct, "begin", begin_immediate)
    glance, bulk = (sa.create_engine(url.set(drivername="sqlite")) for _ in range(2))
    event.listen(glance, "connect", _configure_sqlite_reader)
    event.listen(bulk, "connect", _configure_sqlite_reader)
    event.listen(writer.sync_engine, "connect", configure_sqlite)
    event.listen(reader.sync_engine, "connect", _configure_sqlite_reader)
    # A transaction that reads first and writes later cannot wait for the lock: SQLite refuses it at once, whatever the
    # timeout. So writers ask for the lock when they begin, and readers, which never need it, begin without.
    event.listen(writer.sync_engine, "begin", begin_immediate)
    event.listen(reader.sync_engine, "begin", _begin_deferred)
    return Engines(writer, reader, direct, glance, bulk)


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """As `engine.begin()`, whose connection is given back by a task of its own: whoever comes before that has had a turn opens another
    one, up to the pool's limit, each with a cache."""
    connection = await engine.connect()
    try:
        async with connection.begin():
            yield connection
    finally:
        await connection.close()


def configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = (
        None  # The driver would begin transactions by itself, and begin them deferred.
    )
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        # "Acknowledged means recorded" includes a power cut. In WAL mode NORMAL may lose the last commits then, FULL
        # does not: one fsync for each commit, which the group writer shares among everyone who waits.
        "synchronous=FULL",
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        f"wal_autocheckpoint={sqlite_log.LONGEST_PAGES}",
        f"journal_size_limit={sqlite_log.KEPT_BYTES}",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _configure_sqlite_reader(connection: Any, record: Any) -> None:
    configure_sqlite(connection, record)
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    cursor.close()


def begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql(sqlite_in_place.BEGIN_IMMEDIATE)


def _begin_deferred(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _postgresql_engines(url: URL) -> Engines:
    # A process that is frozen in the middle of a transaction must not hold the writers' lock for as long as it is frozen.
    engine = create_async_engine(
        url,
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",
        connect_args={"server_settings": {"idle_in_transaction_session_timeout": f"{FROZEN_SECONDS}s"}},
    )
    # A request, its approvals and its steps are three queries; they must tell of the same moment.
    reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    direct = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=1,
        max_overflow=0,
        isolation_level="READ COMMITTED",
        connect_args={"options": f"-c idle_in_transaction_session_timeout={FROZEN_SECONDS}s"},
    )
    glance = create_async_engine(url, pool_size=1, max_overflow=0)
    bulk = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        isolation_level="AUTOCOMMIT",
        connect_args={"options": "-c default_transaction_read_only=on"},
    )
    return Engines(engine, reader, direct, glance, bulk)


class DamagedError(PermanentBackendError):
    """The bot's database is damaged. The platform team has to restore the last backup."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The bot's database is damaged: {reason}.",
            backend="database",
            kind=BackendErrorKind.INVALID,
            fix="The platform team has to restore the last backup; `python -m bot audit verify` says how far it can be read.",
        )
        self.reason = foreign_text(reason)


def damaged(error: Exception) -> DamagedError | None:
    """The error of a database whose file cannot be read as one; None where it is another."""
    if not _is_damage(error):
        return None
    translated = DamagedError(_reason(error))
    translated.__cause__ = error
    return translated


def _is_damage(error: Exception) -> bool:
    if isinstance(error, JSONDecodeError):
        # A column of JSON holds something else: it was written past the bot.
        return True
    if not isinstance(error, DBAPIError):
        return False
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        # An extended code tells in its upper bits which kind of damage it is.
        return code & 0xFF in _SQLITE_DAMAGE
    # Python itself refuses the bytes that a damaged SQLite file hands out as a text, and gives no code.
    no_text = isinstance(error.orig, sqlite3.Error) and "Could not decode to UTF-8" in str(error.orig)
    return no_text or str(getattr(error.orig, "sqlstate", None)) in _DAMAGE


def _reason(error: Exception) -> str:
    return foreign_text(str(error.orig if isinstance(error, DBAPIError) else error))


def unavailable(error: Exception) -> TemporaryBackendError | None:
    """The database's failure as a person may read it; None where the error is a mistake of ours."""
    if not is_outage(error):
        return None
    reasons = " ".join(_reasons(error)).lower()
    if any(sign in reasons for sign in ("disk is full", "disk full", "no space left")):
        message, fix = "The bot's database is full; nothing was recorded.", "Ask the platform team for room."
    elif "is locked" in reasons:
        message, fix = "The bot's database is busy; nothing was recorded.", "Try again in a moment."
    else:
        message, fix = "The bot's database cannot be reached.", "Try again in a moment."
    translated = TemporaryBackendError(message, backend="database", fix=fix)
    translated.__cause__ = error
    return translated


def is_outage(error: Exception) -> bool:
    if isinstance(error, DBAPIError):
        state = str(getattr(error.orig, "sqlstate", None) or "")
        if error.connection_invalidated or state[:2] in _OUTAGES:
            return True
    return isinstance(error, OSError | sa.exc.TimeoutError | sa.exc.OperationalError | sa.exc.InterfaceError)


def _reasons(error: BaseException | None) -> Iterator[str]:
    """What the database said, the last first: after a full disk SQLite rolls back by itself, and what is raised in the end
    is only that the savepoint is gone."""
    while error is not None:
        if isinstance(error, DBAPIError):
            yield str(error.orig)
        error = error.__context__


# ---------------------------------------------------------------- one process per file


@contextmanager
def file_lock(file: Path, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock beside a SQLite file; it goes with the process, however that ends. Raises StartError when taken."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(f"{file.name}.lock").open("a") as handle:
        deadline = time.monotonic() + wait_seconds
        while not _try_lock(handle.fileno()):
            if time.monotonic() >= deadline:
                raise InUseError(
                    f"Another platform-bot uses {file}.",
                    fix="Stop it first, or give this one a database of its own (DATABASE_URL).",
                )
            time.sleep(0.02)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# ---------------------------------------------------------------- schema


def known_revisions() -> list[str]:
    """Oldest first; each migration's file is named after its revision."""
    return sorted(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def present_revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.scalar(
        sa.select(sa.column("version_num")).select_from(sa.table(VERSION_TABLE))
    )
    return found


def check_schema(connection: Connection) -> None:
    """Raises StartError unless the schema is the one this version knows."""
    revision = present_revision(connection)
    refuse_newer(revision)
    if revision != known_revisions()[-1]:
        raise StartError(
            "The database is not migrated." if revision is None else "The database is of an older version.",
            fix="Run `python -m bot migrate` first.",
        )


def refuse_newer(revision: str | None) -> None:
    if revision is not None and revision not in known_revisions():
        raise StartError(
            f"The database was written by a newer platform-bot (schema {revision}).",
            fix="Install that version, or restore the backup made before the upgrade.",
        )


def cannot_start(error: Exception) -> StartError:
    """Why the database could not be opened, for the operator."""
    fix = "Check DATABASE_URL, and that the server answers."
    if _is_damage(error):
        fix = "Check DATABASE_URL; if that is the bot's database, it is damaged: restore the last backup."
    return StartError(f"The database cannot be used: {_reason(error)}.", fix=fix)
