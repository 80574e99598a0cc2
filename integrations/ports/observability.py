"""How services do and what they cost, seen from outside. Port names: `signals`, `annotations`, `costs` (all optional)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from integrations.ports.backend import Backend


@dataclass(frozen=True)
class Signals:
    """Of one service in one environment over the last `window_seconds`. None: no traffic, or nothing measured; never 0 or 1.

    `success_ratio` is 0 to 1, `latency_seconds` the 95th percentile. `window_seconds` may be longer than what was asked for
    where a shorter one says nothing. `warnings`: why the numbers may be incomplete.
    """

    success_ratio: float | None
    latency_seconds: float | None
    requests_per_second: float | None
    window_seconds: int
    observed_at: datetime
    dashboard_url: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class SignalQuestion:
    """`revision`: only of what runs that commit, where the metrics tell. `until`: as it was then; None: now."""

    service: str
    environment: str
    revision: str | None = None
    window_seconds: int = 300
    until: datetime | None = None


class SignalSource(Backend, Protocol):
    """Prometheus and the like. Port name: `signals`."""

    async def signals(self, question: SignalQuestion) -> Signals:
        """Raises BackendError."""
        ...


@dataclass(frozen=True)
class Annotation:
    """A mark in time on dashboards. `key` is ours and makes a second call find the first."""

    key: str
    service: str
    environment: str
    text: str
    at: datetime


class Annotations(Backend, Protocol):
    """Grafana and the like; best effort for whoever calls it. Port name: `annotations`."""

    async def annotate(self, annotation: Annotation) -> str:
        """The same key never marks twice; returns where to see it, or nothing."""
        ...


@dataclass(frozen=True)
class MonthlyCost:
    """What was really used, as a month's price: measured over `window_days` and scaled to 30 days."""

    environment: str
    amount: float
    currency: str
    window_days: int


class Costs(Backend, Protocol):
    """OpenCost and the like. Port name: `costs`."""

    async def monthly(self, service: str) -> Sequence[MonthlyCost]:
        """One for each environment that something is known of."""
        ...
