"""What Prometheus may know of a running bot. Counts and times only: no names of people, services or requests.

`platform_slack_ack_seconds` is the time until Slack is acknowledged; Slack gives up after three seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

ACK_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0)

DEPLOYMENT_REPORTS = Counter(
    "platform_deployment_reports_total",
    "What others were told of deployments, by state and by what became of it.",
    ("state", "outcome"),
    registry=None,
)
"""Of the whole process: a step holds its run only, and no bot."""


class Metrics:
    """One per bot, with a registry of its own, so that several in one process do not share numbers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._acks = Histogram(
            "platform_slack_ack_seconds",
            "Time until a payload of Slack is acknowledged.",
            ("kind",),
            buckets=ACK_BUCKETS,
            registry=self.registry,
        )
        self._cards = Counter(
            "platform_cards_total",
            "Cards sent to Slack, by what became of them.",
            ("outcome",),
            registry=self.registry,
        )
        self._hooks = Counter(
            "platform_hooks_total",
            "Deliveries of the company's systems, by what became of them.",
            ("name", "outcome"),
            registry=self.registry,
        )
        self.registry.register(DEPLOYMENT_REPORTS)

    @contextmanager
    def acknowledging(self, kind: str) -> Iterator[None]:
        """Around everything that happens before the ack: command, click, form, suggestion or event."""
        with self._acks.labels(kind).time():
            yield

    def card(self, outcome: str) -> None:
        """posted, edited, refused, limited or unreachable."""
        self._cards.labels(outcome).inc()

    def hook(self, name: str, outcome: str) -> None:
        """accepted, seen, ignored, forged, unreadable, too_large, too_slow or unavailable."""
        self._hooks.labels(name, outcome).inc()
