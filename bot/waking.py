"""Who pauses in this process before looking again, and about what: a hint from outside cuts the pause short.

Nothing is started by it. Whoever pauses is the one who looks, so that no step ever runs twice at once; and whoever is not told
looks all the same when the pause is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Sleeper:
    """One step's pauses. What comes while it looks is kept for the pause that follows: the look may have been too early."""

    def __init__(self, *, request_id: str, service: str) -> None:
        self._request_id = request_id
        self._service = service
        self._woken = asyncio.Event()

    def is_about(self, *, request_id: str, service: str) -> bool:
        """The service alone is enough: one look too many costs less than one too few."""
        return request_id == self._request_id or (service != "" and service == self._service)

    def wake(self) -> None:
        self._woken.set()

    async def pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
        finally:
            self._woken.clear()


class Waking:
    def __init__(self) -> None:
        self._sleepers: set[Sleeper] = set()

    @contextmanager
    def sleeper(self, *, request_id: str, service: str) -> Iterator[Sleeper]:
        sleeper = Sleeper(request_id=request_id, service=service)
        self._sleepers.add(sleeper)
        try:
            yield sleeper
        finally:
            self._sleepers.discard(sleeper)

    def wake(self, *, request_id: str, service: str) -> int:
        """How many were told."""
        told = [one for one in self._sleepers if one.is_about(request_id=request_id, service=service)]
        for one in told:
            one.wake()
        return len(told)
