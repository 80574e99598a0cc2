"""What all backends share: they can be probed, and something asynchronous has a phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self, runtime_checkable


@dataclass(frozen=True)
class Finding:
    """One line of `python -m bot check`: what was tried, whether it works, and the way out where it does not."""

    subject: str
    ok: bool
    detail: str
    fix: str = ""


@runtime_checkable
class Backend(Protocol):
    """What all backends share."""

    async def check(self) -> Sequence[Finding]:
        """Probe reachability and every permission the backend will need, changing nothing. Never raises BackendError."""
        ...


class BreakerReport(str):
    """How a breaker stands, in words for a log or a table, with what a page says in words of its own.

    `seconds_left` is 0 unless the backend is left alone right now, after `failures` in a row.
    """

    __slots__ = ("backend", "failures", "seconds_left")

    backend: str
    failures: int
    seconds_left: float

    def __new__(cls, words: str, *, backend: str, failures: int, seconds_left: float) -> Self:
        report = super().__new__(cls, words)
        report.backend, report.failures, report.seconds_left = backend, failures, seconds_left
        return report


@runtime_checkable
class Guarded(Protocol):
    """What a backend may offer besides: it has a breaker, which leaves it alone for a while when it keeps failing."""

    def breaker_state(self) -> str:
        """`closed` while it is asked; a `BreakerReport` where the backend can tell more."""
        ...


class Phase(StrEnum):
    """How far something asynchronous is. UNKNOWN never counts as READY."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING_HUMAN = "waiting_human"
    READY = "ready"
    FAILED = "failed"
    UNKNOWN = "unknown"
