"""Every commit of this process, seen from outside: SQLAlchemy's own, and those of connections borrowed from its pools.

Most of the bot speaks to its database through SQLAlchemy, which has events for that. Intake borrows a connection and speaks to the
driver itself: there the pool's proxy is watched. `info` is what SQLAlchemy keeps with a connection, and what a watcher may keep there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool.base import _ConnectionFairy

Info = dict[Any, Any]
ORDINARY = "spoken to through SQLAlchemy"


class _WatchedCursor:
    """A driver's cursor whose statements are told of."""

    def __init__(self, cursor: Any, told: Callable[[str, Any], None]) -> None:
        self._cursor = cursor
        self._told = told

    def execute(self, statement: str, parameters: Any = ()) -> Any:
        self._told(statement, parameters)
        return self._cursor.execute(statement, parameters)

    def executemany(self, statement: str, parameters: Any) -> Any:
        self._told(statement, parameters)
        return self._cursor.executemany(statement, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


def watch(
    *,
    executing: Callable[[Info, str, Any], None],
    committing: Callable[[Info], None],
    rolled_back: Callable[[Info], None],
) -> None:
    """For the rest of this process's life: before each statement, before each commit, after a rollback."""
    event, anything = sa.event.listen, sa.engine.Engine
    event(
        anything,
        "before_cursor_execute",
        lambda one, _, text, values, *rest: executing(one.info, text, values),
    )
    event(anything, "commit", lambda one: committing(one.info))
    event(anything, "rollback", lambda one: rolled_back(one.info))
    event(anything, "engine_connect", lambda one: one.info.update({ORDINARY: True}))
    event(sa.pool.Pool, "checkin", lambda _, record: record.info.pop(ORDINARY, None))
    new_cursor = _ConnectionFairy.cursor

    def cursor(fairy: _ConnectionFairy, *arguments: Any, **options: Any) -> Any:
        made = new_cursor(fairy, *arguments, **options)
        if ORDINARY in fairy.info:
            return made
        return _WatchedCursor(made, lambda text, values: executing(fairy.info, text, values))

    def commit(fairy: _ConnectionFairy) -> None:
        if ORDINARY not in fairy.info:
            committing(fairy.info)
        assert fairy.dbapi_connection is not None
        fairy.dbapi_connection.commit()

    _ConnectionFairy.cursor = cursor  # type: ignore[method-assign]
    _ConnectionFairy.commit = commit  # type: ignore[method-assign]
