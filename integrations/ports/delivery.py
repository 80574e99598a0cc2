"""Runs revisions in environments. Port name: `delivery`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from integrations.ports.backend import Backend, Phase


class Health(StrEnum):
    """Argo CD's words."""

    HEALTHY = "healthy"
    PROGRESSING = "progressing"
    DEGRADED = "degraded"
    SUSPENDED = "suspended"
    MISSING = "missing"
    UNKNOWN = "unknown"


class SyncStatus(StrEnum):
    SYNCED = "synced"
    OUT_OF_SYNC = "out_of_sync"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class ApplicationSpec:
    """One service in one environment. `follows` is the branch that syncs by itself; None: only by `deploy`."""

    service: str
    environment: str
    team: str
    repository_url: str
    golden_path: str
    follows: str | None
    health_path: str = "/healthz"
    secrets: tuple[str, ...] = ()
    """Names of connection secrets (Claim.secret) the service is given."""

    @property
    def name(self) -> str:
        return f"{self.service}-{self.environment}"


@dataclass(frozen=True)
class Application:
    """What the backend knows of one service in one environment, now."""

    service: str
    environment: str
    revision: str | None
    health: Health
    sync: SyncStatus
    message: str = ""
    url: str = ""
    console_url: str = ""
    deployed_at: datetime | None = None
    deployed_by: str = ""
    request_id: str | None = None
    """The request that created the application."""
    unhealthy: tuple[str, ...] = ()
    """What is unhealthy, one line each."""


@dataclass(frozen=True)
class Deployment:
    """One run of `deploy`, found again by its `operation` key. `step`/`weight_percent` where a canary reports them."""

    operation: str
    revision: str
    phase: Phase
    health: Health
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    step: str = ""
    weight_percent: int | None = None


@dataclass(frozen=True)
class DeployedRevision:
    revision: str
    deployed_at: datetime
    deployed_by: str
    healthy: bool


class Delivery(Backend, Protocol):
    """Runs revisions in environments. Port name: `delivery`."""

    async def ensure_application(self, spec: ApplicationSpec, *, request_id: str) -> Application: ...

    async def get_application(self, service: str, environment: str) -> Application | None:
        """None: there is none. Raises TemporaryBackendError when it could not be asked."""
        ...

    async def remove_application(self, service: str, environment: str, *, request_id: str) -> None: ...

    async def deploy(
        self, service: str, environment: str, *, revision: str, operation: str, actor: str
    ) -> Deployment:
        """Start deploying `revision`; `operation` is our key for this run: the same key never deploys twice.
        `actor` is who asked, for the backend's own history."""
        ...

    async def get_deployment(self, service: str, environment: str, *, operation: str) -> Deployment | None:
        """READY means: this operation done, its revision live and healthy, observed after it finished."""
        ...

    async def history(self, service: str, environment: str, *, limit: int = 10) -> Sequence[DeployedRevision]:
        """Newest first."""
        ...
