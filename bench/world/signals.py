"""Signals for the bench: every service answers everything in a tenth of a second."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from bench.world.answering import THE_DAY, Answering, Settings
from integrations.ports import SignalQuestion, Signals, Surroundings

PORT: Final = "signals"
__all__ = ["PORT", "Settings", "open"]


class BenchSignals(Answering):
    """Implements `integrations.ports.SignalSource`."""

    async def signals(self, question: SignalQuestion) -> Signals:
        await self.asked()
        return Signals(1.0, 0.1, 20.0, question.window_seconds, question.until or THE_DAY)


@asynccontextmanager
async def open(settings: Settings, _surroundings: Surroundings) -> AsyncIterator[BenchSignals]:  # noqa: A001
    yield BenchSignals(settings)
