"""A log filter for a library that repeats itself. It drops repetitions, never the first of a kind."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable


class QuietLog(logging.Filter):
    """Lets each place in the code speak once per `interval_seconds`, and says how much it has dropped.

    A database outage of eight seconds made DBOS write some fifteen thousand lines. `expected` are beginnings of messages
    that are no news at all.
    """

    def __init__(
        self,
        interval_seconds: float = 10.0,
        *,
        expected: tuple[str, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._expected = expected
        self._interval = interval_seconds
        self._clock = clock
        self._last: dict[tuple[str, int], float] = {}
        self._dropped: dict[tuple[str, int], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if str(record.msg).startswith(self._expected):
            return False
        place, now = (record.pathname, record.lineno), self._clock()
        if now - self._last.get(place, float("-inf")) < self._interval:
            self._dropped[place] = self._dropped.get(place, 0) + 1
            return False
        self._last[place] = now
        if dropped := self._dropped.pop(place, 0):
            record.msg, record.args = f"{record.getMessage()} (and {dropped} more like it)", ()
        return True
