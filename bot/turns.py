"""Taking turns: who acts on one thing at the same moment goes one after the other, and may be told what the one before found.

A courtesy inside one process and nothing to rely on: who has waited long enough goes all the same, other replicas know nothing
of it. What decides who was first is the database.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _Word(Generic[T]):
    """What ends somebody's waiting: the turn, what makes it needless (`told`), or the end of their patience."""

    turn: bool = False
    told: T | None = None


@dataclass
class _Line(Generic[T]):
    """Those who wait behind whoever has the turn."""

    waiting: deque[asyncio.Future[_Word[T]]] = field(default_factory=deque)

    def hand_on(self) -> bool:
        """False where nobody waits any more."""
        while self.waiting:
            following = self.waiting.popleft()
            if not following.done():
                following.set_result(_Word(turn=True))
                return True
        return False


@dataclass(frozen=True)
class Turn(Generic[T]):
    """`told` is what another found meanwhile; None: find out yourself."""

    _line: _Line[T]
    told: T | None = None

    def others(self) -> Sequence[asyncio.Future[_Word[T]]]:
        """Who waits now. What is looked at from now on is news to them; to whoever comes later it may be old."""
        return tuple(self._line.waiting)

    def tell(self, found: T, others: Sequence[asyncio.Future[_Word[T]]]) -> None:
        """Spare them their turn."""
        for one in others:
            _end(one, _Word(told=found))


class Turns(Generic[T]):
    """One line for each key, as long as somebody is in it."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line[T]] = {}

    @asynccontextmanager
    async def take(self, key: str, *, patience_seconds: float) -> AsyncIterator[Turn[T]]:
        """Wait for the turn, for what makes it needless, or until patience runs out, whichever comes first."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line()
            word: _Word[T] = _Word(turn=True)
        else:
            word = await self._wait(key, line, patience_seconds)
        try:
            yield Turn(line, word.told)
        finally:
            if word.turn:
                self._hand_on(key, line)

    async def _wait(self, key: str, line: _Line[T], patience_seconds: float) -> _Word[T]:
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[_Word[T]] = loop.create_future()
        line.waiting.append(mine)
        patience = loop.call_later(patience_seconds, _end, mine, _Word())
        try:
            return await mine
        except asyncio.CancelledError:
            # Whoever goes away right when it is their turn leaves it to the next.
            if mine.done() and not mine.cancelled() and mine.result().turn:
                self._hand_on(key, line)
            raise
        finally:
            patience.cancel()

    def _hand_on(self, key: str, line: _Line[T]) -> None:
        if not line.hand_on():
            del self._lines[key]


def _end(waiting: asyncio.Future[_Word[T]], word: _Word[T]) -> None:
    if not waiting.done():
        waiting.set_result(word)
