"""Waiting for a condition without polling: whoever changes the world notifies, whoever waits looks again.

Knows nothing of what changed. The limit is real time, because it says how long a test is willing to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Changes:
    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, look: Callable[[], T], *, timeout_seconds: float, what: str = "the condition") -> T:
        """The first truthy value of `look`; TimeoutError naming `what` when none comes in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while not (found := look()):
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiting.add(waiter)
            try:
                await asyncio.wait({waiter}, timeout=max(0.0, deadline - loop.time()))
                if not waiter.done():
                    if found := look():
                        return found
                    raise TimeoutError(f"{what} did not come true within {timeout_seconds:g} s")
            finally:
                self._waiting.discard(waiter)
        return found
