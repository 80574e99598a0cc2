"""Background work of this process: nothing is forgotten by the garbage collector, nothing ends unnoticed, and the end waits for it.

`Tasks` is for work that is done once, `going_on` for what is at work as long as the bot is. What must survive a crash is never only
here; it is a row, and a task is merely the quick way to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog

from bot.errors import PlatformError

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 1.0
"""After a failure of what goes on: what fails at once, again and again, keeps neither a processor nor the log busy."""
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


@asynccontextmanager
async def going_on(
    work: Callable[[], Awaitable[None]],
    *,
    name: str,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[None]:
    """Do `work` in the background while this is open. Whatever it fails with is logged, and it begins again.

    Nobody waits for its answer, so nobody else would notice that it is gone: the bot would acknowledge, and never send a card.
    """
    task = asyncio.create_task(_again_after_failures(work, name, sleep), name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _again_after_failures(
    work: Callable[[], Awaitable[None]], name: str, sleep: Callable[[float], Awaitable[None]]
) -> None:
    while True:
        try:
            await work()
        except PlatformError as error:
            log.warning("tasks.interrupted", task=name, why=error.sentence)
        except Exception:
            log.exception("tasks.broke_off", task=name)
        else:
            return
        await sleep(PAUSE_SECONDS)
