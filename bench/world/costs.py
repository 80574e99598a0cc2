# ruff: noqa: ARG002 - the ports name what these answers do not depend on.
"""Costs for the bench: every environment costs the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from bench.world.answering import Answering, Settings
from integrations.ports import MonthlyCost, Surroundings

PORT: Final = "costs"
__all__ = ["PORT", "Settings", "open"]


class BenchCosts(Answering):
    """Implements `integrations.ports.Costs`."""

    async def monthly(self, service: str) -> Sequence[MonthlyCost]:
        await self.asked()
        return [MonthlyCost(environment, 12.0, "EUR", 7) for environment in ("staging", "production")]


@asynccontextmanager
async def open(settings: Settings, _surroundings: Surroundings) -> AsyncIterator[BenchCosts]:  # noqa: A001
    yield BenchCosts(settings)
