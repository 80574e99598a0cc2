"""Circuit breaker: stops asking a backend that keeps failing, and lets one call through now and then to see. Pure.

The caller says what time it is and what became of a call. Refusals of a living backend (not found, denied, limited) are not
failures: only silence, broken connections and 5xx are. Must not know HTTP.
"""

from __future__ import annotations

from enum import StrEnum

from bot.errors import TemporaryBackendError
from integrations.ports.backend import BreakerReport


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"
    """The pause is over: the next call decides."""


class Breaker:
    """One per backend. After `failures` in a row it refuses calls for `pause_seconds`, then admits one per pause."""

    def __init__(self, backend: str, *, failures: int = 5, pause_seconds: float = 30.0) -> None:
        self._backend = backend
        self._threshold = failures
        self._pause_seconds = pause_seconds
        self._failures = 0
        self._open_until = 0.0

    def state(self, now: float) -> BreakerState:
        if self._failures < self._threshold:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._open_until else BreakerState.PROBING

    def admit(self, now: float) -> None:
        """Raises TemporaryBackendError while open. `now` is monotonic seconds."""
        state = self.state(now)
        if state is BreakerState.OPEN:
            raise TemporaryBackendError(
                f"{self._backend} failed {self._failures} times in a row and is left alone for a moment.",
                backend=self._backend,
                retry_after_seconds=max(1.0, self._open_until - now),
            )
        if state is BreakerState.PROBING:
            # Whoever comes while the probe is under way is refused; a probe that is cancelled costs one more pause.
            self._open_until = now + self._pause_seconds

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self, now: float) -> None:
        self._failures += 1
        self._open_until = now + self._pause_seconds

    def describe(self, now: float) -> BreakerReport:
        state = self.state(now)
        seconds_left = max(self._open_until - now, 0.0) if state is BreakerState.OPEN else 0.0
        return BreakerReport(
            self._words(state, seconds_left),
            backend=self._backend,
            failures=self._failures,
            seconds_left=seconds_left,
        )

    def _words(self, state: BreakerState, seconds_left: float) -> str:
        if state is BreakerState.CLOSED:
            return "closed" if not self._failures else f"closed, {self._failures} failures in a row"
        if state is BreakerState.OPEN:
            return f"open for {seconds_left:.0f} s more after {self._failures} failures in a row"
        return f"probing after {self._failures} failures in a row"
