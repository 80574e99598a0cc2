"""Answers that several people want at the same moment: asked once, shared while they are fresh.

For looking only. A plan, a decision or a step always asks for itself: what is a second old is good enough to be shown and not good
enough to be acted on. What our own database says is not even shown a second old: `Momentary`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

FRESH_SECONDS = 2.0
BEHIND_SECONDS = 0.5
"""How long a momentary question waits for the one before it, which may hang."""
T = TypeVar("T")


@dataclass(frozen=True)
class Momentary(Generic[T]):
    """A question whose answer must be no older than whoever gets it: it is shared only until it is really asked."""

    question: Callable[[], Awaitable[T]]

    async def __call__(self) -> T:
        return await self.question()


@dataclass(eq=False)
class _Shared:
    """`until` is infinite while the question is under way; a momentary one is over once it is `asked`."""

    task: asyncio.Task[Any]
    until: float = float("inf")
    asked: bool = False


class Freshness:
    """Question -> the answer that is under way or fresh. One process's memory: another replica asks for itself."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic, seconds: float = FRESH_SECONDS) -> None:
        self._now = now
        self._seconds = seconds
        self._kept: dict[Hashable, _Shared] = {}

    async def share(self, key: Hashable, question: Callable[[], Awaitable[T]], *, afresh: bool = False) -> T:
        """The answer to `question`, asked by whoever comes first. Errors reach everybody who waits and are not kept.

        `afresh`: what was answered before is not good enough; the new answer is everybody's.
        """
        shared, momentary = self._kept.get(key), isinstance(question, Momentary)
        if shared is None or shared.until <= self._now() or (afresh and shared.task.done()):
            shared = self._begin(key, question, behind=None)
        elif momentary and shared.asked:
            shared = self._begin(key, question, behind=shared)
        # One person who goes away must not take the answer from the others.
        answer: T = await asyncio.shield(shared.task)
        return answer

    def _begin(
        self, key: Hashable, question: Callable[[], Awaitable[Any]], *, behind: _Shared | None
    ) -> _Shared:
        async def run() -> Any:
            if behind is not None:
                await asyncio.wait({behind.task}, timeout=BEHIND_SECONDS)
            shared.asked = True
            return await question()

        shared = _Shared(asyncio.create_task(run(), name=f"shared {key}"))
        self._kept[key] = shared
        shared.task.add_done_callback(
            lambda task: self._done(key, shared, task, kept=not isinstance(question, Momentary))
        )
        return shared

    def _done(self, key: Hashable, shared: _Shared, task: asyncio.Task[Any], *, kept: bool) -> None:
        if task.cancelled() or task.exception() is not None or not kept:
            self._forget(key, shared)
        else:
            shared.until = self._now() + self._seconds
            # An answer is large, and nobody may ever ask the same again.
            asyncio.get_running_loop().call_later(self._seconds, self._forget, key, shared)

    def _forget(self, key: Hashable, shared: _Shared) -> None:
        if self._kept.get(key) is shared:
            del self._kept[key]
