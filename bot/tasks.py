"""Background work of this process: nothing is forgotten by the garbage collector, and the end waits for it.

What must survive a crash is never only here; it is a row, and a task is merely the quick way to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from bot.errors import PlatformError

log = structlog.get_logger(__name__)
T = TypeVar("T")


class Tasks:
    """Starts tasks, keeps them, logs what they raise, and drains them at the end."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, PlatformError):
            # It has a sentence for a person, so it is an answer; only what nobody foresaw deserves a traceback.
            log.info("tasks.refused", task=task.get_name(), error=type(error).__name__)
        else:
            log.error("tasks.failed", task=task.get_name(), exc_info=error)

    async def drain(self, *, timeout_seconds: float) -> None:
        """Let what runs finish, with what it starts meanwhile; what is not done by then is cancelled and awaited."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while self._running:
                    await asyncio.wait(set(self._running))
        except TimeoutError:
            late = set(self._running)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
