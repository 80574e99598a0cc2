"""Answers of backends that several people want at the same moment: asked once, shared while they are fresh.

For looking only. A plan, a decision or a step always asks for itself: what is a second old is good enough to be shown and not good
enough to be acted on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

FRESH_SECONDS = 2.0
MOST_KEPT = 1024
T = TypeVar("T")


@dataclass
class _Shared:
    """`until` is infinite while the question is under way."""

    task: asyncio.Task[Any]
    until: float


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
        shared = self._kept.get(key)
        if shared is None or shared.until <= self._now() or (afresh and shared.task.done()):
            shared = _Shared(asyncio.create_task(_run(question), name=f"shared {key}"), float("inf"))
            self._keep(key, shared)
        # One person who goes away must not take the answer from the others.
        answer: T = await asyncio.shield(shared.task)
        return answer

    def _keep(self, key: Hashable, shared: _Shared) -> None:
        if len(self._kept) >= MOST_KEPT:
            now = self._now()
            self._kept = {one: kept for one, kept in self._kept.items() if kept.until > now}
        self._kept[key] = shared
        shared.task.add_done_callback(lambda task: self._done(key, shared, task))

    def _done(self, key: Hashable, shared: _Shared, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or task.exception() is not None:
            if self._kept.get(key) is shared:
                del self._kept[key]
        else:
            shared.until = self._now() + self._seconds


async def _run(question: Callable[[], Awaitable[T]]) -> T:
    return await question()
