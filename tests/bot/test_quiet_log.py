"""A library that repeats itself is heard once, and nothing of another kind is lost."""

from __future__ import annotations

import logging

from bot.quiet_log import QuietLog


def record(message: str, *, line: int = 1) -> logging.LogRecord:
    return logging.LogRecord("dbos", logging.WARNING, "dbos/_sys_db.py", line, message, (), None)


def test_the_same_place_speaks_once_per_interval_and_counts_what_was_dropped() -> None:
    now = 0.0
    quiet = QuietLog(10, clock=lambda: now)

    assert quiet.filter(record("database away"))
    assert not quiet.filter(record("database away"))
    assert not quiet.filter(record("database still away"))
    now = 10.0
    again = record("database away")
    assert quiet.filter(again)
    assert again.getMessage() == "database away (and 2 more like it)"


def test_another_place_is_heard() -> None:
    quiet = QuietLog(10, clock=lambda: 0.0)

    assert quiet.filter(record("one", line=1))
    assert quiet.filter(record("two", line=2))


def test_what_is_expected_is_never_said() -> None:
    assert not QuietLog(expected=("Asyncio task cancelled",)).filter(
        record("Asyncio task cancelled for step")
    )
