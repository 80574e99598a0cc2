"""The audit chain as the driver hands it out: no session, and no object for an event. For threads; reads only.

What is right and what is wrong with a chain is `bot.audit`'s to say.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import fields

from sqlalchemy import Engine

from bot.audit import Head, StoredEvent, follows
from bot.tables import AuditEventRow

_COLUMNS = ", ".join(field.name for field in fields(StoredEvent))
_PLACEHOLDERS = {"sqlite": "?", "postgresql": "%s"}


def follow(engine: Engine, head: Head, *, upto: int, batch: int) -> Head:
    """The last event that is as written, of those after `head` up to `upto`; the page behind it must be checked one by one."""
    statement, driver = _page(_PLACEHOLDERS[engine.dialect.name]), engine.dialect.loaded_dbapi
    with engine.connect() as connection, closing(connection.connection.cursor()) as cursor:
        while head.sequence < upto:
            try:
                cursor.execute(statement, (head.sequence, min(head.sequence + batch, upto)))
                rows = cursor.fetchall()
            except (driver.OperationalError, driver.DataError):
                # A text that is none, or the database is away: whoever reads one by one meets it again, and says so.
                break
            if not rows or not follows(rows, head):
                break
            head = Head(rows[-1][0], rows[-1][-1])
    return head


def _page(place: str) -> str:
    return (
        f"SELECT {_COLUMNS} FROM {AuditEventRow.__tablename__}"  # noqa: S608 - our own names
        f" WHERE sequence > {place} AND sequence <= {place} ORDER BY sequence"
    )
