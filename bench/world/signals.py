# ruff: noqa: ARG002 - the ports name what these answers do not depend on.
"""Signals for the bench: every service answers everything in a tenth of a second."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from bench.world.answering import THE_DAY, Answering, Settings
from integrations.ports import Signals, Surroundings

PORT: Final = "signals"
__all__ = ["PORT", "Settings", "open"]


class BenchSignals(Answering):
    """Implements `integrations.ports.SignalSource`."""

    async def signals(
        self,
        service: str,
        environment: str,
        *,
        revision: str | None = None,
        window_seconds: int = 300,
        until: datetime | None = None,
    ) -> Signals:
        await self.asked()
        return Signals(1.0, 0.1, 20.0, window_seconds, until or THE_DAY)


@asynccontextmanager
async def open(settings: Settings, _surroundings: Surroundings) -> AsyncIterator[BenchSignals]:  # noqa: A001
    yield BenchSignals(settings)
