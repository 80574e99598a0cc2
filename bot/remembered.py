"""Answers that are remembered for a while, each asked for once at a time; a fresh one is never older than the question.

Whoever wants a fresh answer joins the next call, not the one under way, which may have been answered before they asked. So a crowd
costs two calls: the one under way and the one that everybody else waits for. Knows nothing of what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

REMEMBERED = timedelta(seconds=60)
OVERTAKEN_AFTER_SECONDS = 0.5
"""A call that takes so long is no longer waited for by the next one: it may hang, and Slack gives three seconds in all."""
T = TypeVar("T")


@dataclass(eq=False)
class _Call(Generic[T]):
    """`begun` is when it was asked; `outdated` says that an event or a fresher answer came while it was under way."""

    behind: _Call[T] | None
    task: asyncio.Task[T] | None = None
    begun: datetime | None = None
    outdated: bool = False


class Remembered(Generic[T]):
    """Key -> answer."""

    def __init__(
        self,
        ask: Callable[[str], Awaitable[T]],
        clock: Callable[[], datetime],
        *,
        turn: Callable[[], Awaitable[None]],
    ) -> None:
        """`turn` waits until it may be asked; whoever comes meanwhile shares the answer. What it raises is the answer's error."""
        self._ask = ask
        self._turn = turn
        self._clock = clock
        self._known: dict[str, tuple[datetime, T]] = {}
        self._last: dict[str, _Call[T]] = {}

    def peek(self, key: str) -> T | None:
        """What is remembered, without asking."""
        known = self._known.get(key)
        return known[1] if known is not None and self._clock() - known[0] < REMEMBERED else None

    async def get(self, key: str, *, fresh: bool) -> T:
        known = None if fresh else self.peek(key)
        if known is not None:
            return known
        call = self._last.get(key)
        if call is None or (call.begun is not None and (fresh or call.outdated)):
            call = self._start(key, behind=call)
        assert call.task is not None
        # One caller who runs out of time must not take the answer from the others.
        return await asyncio.shield(call.task)

    def _start(self, key: str, *, behind: _Call[T] | None) -> _Call[T]:
        call = self._last[key] = _Call(behind)
        call.task = asyncio.create_task(self._run(key, call), name=f"ask {key}")
        # Where all callers ran out of time, a failure is told to nobody, and need not be.
        call.task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return call

    async def _run(self, key: str, call: _Call[T]) -> T:
        try:
            if call.behind is not None and call.behind.task is not None:
                await asyncio.wait({call.behind.task}, timeout=OVERTAKEN_AFTER_SECONDS)
            await self._turn()
            call.begun = self._clock()
            answer = await self._ask(key)
            _outdate(call.behind)
        finally:
            call.behind = None
            if self._last.get(key) is call:
                del self._last[key]
        if not call.outdated:
            self._known[key] = (call.begun, answer)
        return answer

    def forget(self, key: str) -> None:
        """Something changed: what is remembered or under way is good enough for nobody who asks from now on."""
        self._known.pop(key, None)
        _outdate(self._last.get(key))


def _outdate(call: _Call[Any] | None) -> None:
    """Its answer, and those of the calls before it, are given to who asked and then forgotten."""
    while call is not None:
        call.outdated = call.begun is not None
        call = call.behind
