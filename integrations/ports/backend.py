"""What all backends share: they can be probed, and something asynchronous has a phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable


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


class Phase(StrEnum):
    """How far something asynchronous is. UNKNOWN never counts as READY."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING_HUMAN = "waiting_human"
    READY = "ready"
    FAILED = "failed"
    UNKNOWN = "unknown"
