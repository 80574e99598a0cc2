# ruff: noqa: ARG002 - the ports name what these answers do not depend on.
"""Delivery for the bench: everything runs healthy, and a deployment is done by the time it is looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from bench.world.answering import THE_DAY, Answering, Settings, revision
from integrations.ports import (
    Application,
    ApplicationSpec,
    ClosedWindow,
    DeployedRevision,
    Deployment,
    Health,
    Phase,
    Surroundings,
    SyncStatus,
)

PORT: Final = "delivery"
__all__ = ["PORT", "Settings", "open"]


class BenchDelivery(Answering):
    """Implements `integrations.ports.Delivery`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._deployments: dict[str, Deployment] = {}

    async def ensure_application(self, spec: ApplicationSpec, *, request_id: str) -> Application:
        await self.asked()
        return self._application(spec.service, spec.environment)

    async def get_application(self, service: str, environment: str) -> Application | None:
        await self.asked()
        return self._application(service, environment)

    async def remove_application(self, service: str, environment: str, *, request_id: str) -> None:
        await self.asked()

    async def find_closed_window(self, service: str, environment: str) -> ClosedWindow | None:
        await self.asked()
        return None

    async def deploy(
        self, service: str, environment: str, *, revision: str, operation: str, actor: str
    ) -> Deployment:
        await self.asked()
        done = Deployment(
            operation, revision, Phase.READY, Health.HEALTHY, started_at=THE_DAY, finished_at=THE_DAY
        )
        return self._deployments.setdefault(operation, done)

    async def get_deployment(self, service: str, environment: str, *, operation: str) -> Deployment | None:
        await self.asked()
        return self._deployments.get(operation)

    async def history(self, service: str, environment: str, *, limit: int = 10) -> Sequence[DeployedRevision]:
        await self.asked()
        return [DeployedRevision(revision(service), THE_DAY, "Omar Osman", healthy=True)][:limit]

    def _application(self, service: str, environment: str) -> Application:
        return Application(
            service=service,
            environment=environment,
            # The last environment is one revision behind, so that there is something to promote.
            revision=revision(service) if environment == "staging" else revision(service, "before"),
            health=Health.HEALTHY,
            sync=SyncStatus.SYNCED,
            url=f"https://{service}.{environment}.example.com",
            deployed_at=THE_DAY,
            deployed_by="Omar Osman",
        )


@asynccontextmanager
async def open(settings: Settings, _surroundings: Surroundings) -> AsyncIterator[BenchDelivery]:  # noqa: A001
    yield BenchDelivery(settings)
