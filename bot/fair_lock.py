"""A lock that is given in the order it was asked for, to a callback: whoever waits need not be a task that has to be woken."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class FairLock:
    """`asyncio.Lock` for one event loop, with `take` beside `async with`."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: deque[Callable[[], None]] = deque()

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for whoever has it now."""
        return bool(self._waiting)

    def take(self, go: Callable[[], None]) -> None:
        """Call `go` when the lock is its own: at once where it is free. Whoever took it releases it."""
        if self._taken:
            self._waiting.append(go)
        else:
            self._taken = True
            go()

    def release(self) -> None:
        if self._waiting:
            self._waiting.popleft()()
        else:
            self._taken = False

    async def __aenter__(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def mine() -> None:
            if turn.cancelled():
                self.release()
            else:
                turn.set_result(None)

        self.take(mine)
        try:
            await turn
        except asyncio.CancelledError:
            # Cancelled in the moment it was given: it is the next one's.
            if turn.done() and not turn.cancelled():
                self.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self.release()
