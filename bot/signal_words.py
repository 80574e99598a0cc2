"""How a service does, in words: `99.8 % good answers, p95 120 ms, 12/s`. Pure, and never rounded in the service's favour."""

from __future__ import annotations

import math

from integrations.ports import Signals

_DUST = 1e-6
"""What binary fractions lose: 0.57 is 57 %."""


def describe(signals: Signals, *, rate: bool = True) -> str:
    """`no traffic` where nothing was measured."""
    parts = []
    if signals.success_ratio is not None:
        parts.append(f"{percent(signals.success_ratio)} good answers")
    if signals.latency_seconds is not None:
        parts.append(f"p95 {duration(signals.latency_seconds)}")
    if rate and signals.requests_per_second is not None:
        parts.append(frequency(signals.requests_per_second))
    return ", ".join(parts) or "no traffic"


def percent(ratio: float) -> str:
    """Two decimals, rounded down: 99.999 % of good answers are not all of them, and 98.996 % are less than 99 %."""
    return f"{math.floor(ratio * 10_000 + _DUST) / 100:g} %"


def duration(seconds: float) -> str:
    """Rounded up: what is above a limit of 500 ms is never shown as 500 ms."""
    milliseconds = math.ceil(seconds * 1000 - _DUST)
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{milliseconds / 1000:g} s"


def frequency(per_second: float) -> str:
    if per_second >= 10:
        return f"{per_second:.0f}/s"
    if per_second >= 1:
        return f"{per_second:.1f}/s"
    return f"{max(per_second * 60, 0.1):.1f}/min"


def span(seconds: float) -> str:
    """`5 min`, or `45 s` of what is no whole number of minutes."""
    whole = round(seconds)
    return f"{whole // 60} min" if whole >= 60 and whole % 60 == 0 else f"{whole} s"
