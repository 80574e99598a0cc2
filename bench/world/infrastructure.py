# ruff: noqa: ARG002 - the ports name what these answers do not depend on.
"""Infrastructure for the bench: every claim is ready as soon as it is made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from bench.world.answering import Answering, Settings
from integrations.ports import Claim, ClaimSpec, Phase, Surroundings

PORT: Final = "infrastructure"
__all__ = ["PORT", "Settings", "open"]


class BenchInfrastructure(Answering):
    """Implements `integrations.ports.Infrastructure`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._claims: dict[tuple[str, str], Claim] = {}

    async def refusal(self, spec: ClaimSpec) -> str | None:
        await self.asked()
        return None if spec.kind != "redis" else "There is no Redis here."

    async def ensure_claim(self, spec: ClaimSpec, *, request_id: str) -> Claim:
        await self.asked()
        made = Claim(spec.name, spec.kind, spec.service, spec.environment, Phase.READY, request_id=request_id)
        return self._claims.setdefault((spec.name, spec.environment), made)

    async def get_claim(self, name: str, *, environment: str) -> Claim | None:
        await self.asked()
        return self._claims.get((name, environment))

    async def list_claims(self, service: str) -> Sequence[Claim]:
        await self.asked()
        return [one for one in self._claims.values() if one.service == service]

    async def remove_claim(self, name: str, *, environment: str, request_id: str) -> None:
        await self.asked()
        self._claims.pop((name, environment), None)


@asynccontextmanager
async def open(settings: Settings, _surroundings: Surroundings) -> AsyncIterator[BenchInfrastructure]:  # noqa: A001
    yield BenchInfrastructure(settings)
