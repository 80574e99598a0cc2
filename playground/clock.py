"""The clock every lifetime is read from: it runs with the machine's, and tests may freeze, set or advance it.

Waiting goes through it as well, so that a deadline of three seconds, a retry after five minutes and a response URL of half an
hour pass at once when a test advances the clock. Only request signatures use the machine's time (see delivery_http.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Clock:
    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self._offset_seconds = 0.0
        self._frozen_at: float | None = None
        self._timers: dict[asyncio.Future[None], tuple[float, asyncio.TimerHandle | None]] = {}

    def now(self) -> float:
        return self._frozen_at if self._frozen_at is not None else self._source() + self._offset_seconds

    def advance(self, seconds: float) -> None:
        if self._frozen_at is not None:
            self._frozen_at += seconds
        self._offset_seconds += seconds
        self._rearm()

    def set(self, unix_seconds: float) -> None:
        self.advance(unix_seconds - self.now())

    def freeze(self) -> None:
        self._frozen_at = self.now()
        self._rearm()

    def resume(self) -> None:
        if self._frozen_at is not None:
            self._offset_seconds = self._frozen_at - self._source()
            self._frozen_at = None
            self._rearm()

    async def sleep(self, seconds: float) -> None:
        """Until this clock has moved on by `seconds`, by itself or because somebody advanced it."""
        timer = self._start_timer(seconds)
        try:
            await timer
        finally:
            self._drop_timer(timer)

    async def wait_for(self, work: Awaitable[T], *, timeout_seconds: float) -> T:
        """The result of `work`; TimeoutError (and `work` cancelled) when this clock passes the deadline first."""
        # Before anything is awaited: whoever advances the clock from now on moves this deadline nearer.
        timer = self._start_timer(timeout_seconds)
        task = asyncio.ensure_future(work)
        try:
            either: set[asyncio.Future[Any]] = {task, timer}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise TimeoutError
        finally:
            self._drop_timer(timer)
            if not task.done():
                task.cancel()

    def _start_timer(self, seconds: float) -> asyncio.Future[None]:
        timer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arm(timer, self.now() + seconds)
        return timer

    def _drop_timer(self, timer: asyncio.Future[None]) -> None:
        _, handle = self._timers.pop(timer, (0.0, None))
        if handle is not None:
            handle.cancel()

    def _arm(self, timer: asyncio.Future[None], deadline: float) -> None:
        handle = None
        if self._frozen_at is None:
            remaining = max(0.0, deadline - self.now())
            handle = asyncio.get_running_loop().call_later(remaining, self._ring, timer)
        self._timers[timer] = (deadline, handle)

    def _ring(self, timer: asyncio.Future[None]) -> None:
        if timer.done() or timer not in self._timers:
            return
        deadline, _ = self._timers[timer]
        # Timers of the loop may fire a hair early, and a foreign source may stand still.
        if self.now() + 0.001 >= deadline:
            timer.set_result(None)
        else:
            self._arm(timer, deadline)

    def _rearm(self) -> None:
        for timer, (deadline, handle) in list(self._timers.items()):
            if handle is not None:
                handle.cancel()
            if timer.done():
                continue
            if self.now() >= deadline:
                timer.set_result(None)
            else:
                self._arm(timer, deadline)
