"""The audit chain as the driver hands it out: no session, and no object for an event. For threads; reads only.

What is right and what is wrong with a chain is `bot.audit`'s to say.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import fields

from sqlalchemy import Connection, Engine, text

from bot.audit import Head, StoredEvent, follows
from bot.tables import AuditEventRow

_COLUMNS = ", ".join(field.name for field in fields(StoredEvent))
_PLACEHOLDERS = {"sqlite": "?", "postgresql": "%s"}


def follow(engine: Engine, head: Head, *, upto: int, batch: int) -> Head:
    """The last event that is as written, of those after `head` up to `upto`; the page behind it must be checked one by one."""
    place, driver = _PLACEHOLDERS[engine.dialect.name], engine.dialect.loaded_dbapi
    statement = _page(place, place)
    with engine.connect() as connection, closing(connection.connection.cursor()) as cursor:
        while head.sequence < upto:
            try:
                cursor.execute(statement, (head.sequence, min(head.sequence + batch, upto)))
                rows = cursor.fetchall()
            except driver.DatabaseError:
                # Bytes that are no text, a damaged file, a database that is away: whoever reads one by one meets it and says so.
                break
            if not rows or not follows(rows, head):
                break
            head = Head(rows[-1][0], rows[-1][-1])
    return head


def page(engine: Engine, *, after: int, upto: int, limit: int) -> list[StoredEvent]:
    """Oldest first, for checking one by one: whatever stands in a column is handed out, and nothing is parsed."""
    statement = text(f"{_page(':after', ':upto')} LIMIT :limit")
    with engine.connect() as connection, _reading_anything(connection):
        found = connection.execute(statement, {"after": after, "upto": upto, "limit": limit}).all()
    return [StoredEvent(*row) for row in found]


@contextmanager
def _reading_anything(connection: Connection) -> Iterator[None]:
    """SQLite keeps what it is given, bytes that are no UTF-8 too; PostgreSQL refuses them."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        yield
        return
    driver.text_factory = _any_text
    try:
        yield
    finally:
        driver.text_factory = str


def _any_text(raw: bytes) -> str:
    """What is no UTF-8 becomes what cannot be hashed."""
    return raw.decode(errors="surrogateescape")


def _page(after: str, upto: str) -> str:
    return (
        f"SELECT {_COLUMNS} FROM {AuditEventRow.__tablename__}"  # noqa: S608 - our own names
        f" WHERE sequence > {after} AND sequence <= {upto} ORDER BY sequence"
    )
