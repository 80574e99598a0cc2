"""Runs revisions in environments. Port name: `delivery`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from integrations.ports.admission import Preview
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
    """One service in one environment. `follows` is the branch that syncs by itself; None: only by `deploy`, and until the
    first of them `release_ref` is what it compares with."""

    service: str
    environment: str
    team: str
    repository_url: str
    golden_path: str
    follows: str | None
    health_path: str = "/healthz"
    secrets: tuple[str, ...] = ()
    """Names of connection secrets (Claim.secret) the service is given."""
    release_ref: str = "release"

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


class AnalysisPhase(StrEnum):
    """Argo Rollouts' words. Only SUCCESSFUL is a yes: an analysis that could not be made has not been passed."""

    RUNNING = "running"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


@dataclass(frozen=True)
class AnalysisResult:
    """One judgement of a canary by its measurements; `measured` is one line for each metric."""

    name: str
    phase: AnalysisPhase
    message: str = ""
    measured: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deployment:
    """One run of `deploy`, found again by its `operation` key.

    Where a canary reports them: `step` (`2/5`, what `resume` and `abort` are bound to), the traffic it has, and what its
    analysis says. `paused`: it stands at `step` until somebody lets it go on.
    """

    operation: str
    revision: str
    phase: Phase
    health: Health
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    step: str = ""
    weight_percent: int | None = None
    paused: bool = False
    analysis: tuple[AnalysisResult, ...] = ()


def describe_canary(deployment: Deployment) -> str:
    """`step 2 of 5, 20 % of the traffic, analysis success-rate: running, waiting for Continue`; empty without a canary."""
    if not deployment.step:
        return ""
    number, slash, steps = deployment.step.partition("/")
    parts = [f"step {number} of {steps}" if slash else f"step {deployment.step}"]
    if deployment.weight_percent is not None:
        parts.append(f"{deployment.weight_percent} % of the traffic")
    parts += [_describe_analysis(each) for each in deployment.analysis]
    return ", ".join([*parts, *(["waiting for Continue"] if deployment.paused else [])])


def _describe_analysis(result: AnalysisResult) -> str:
    said = "; ".join(filter(None, (result.message, *result.measured)))
    return f"analysis {result.name}: {result.phase.value}" + (f" ({said})" if said else "")


@dataclass(frozen=True)
class ClosedWindow:
    """A time in which the backend lets nothing be deployed; `opens_at` None: it cannot be told when that ends."""

    reason: str
    opens_at: datetime | None = None


@dataclass(frozen=True)
class DeployedRevision:
    revision: str
    deployed_at: datetime
    deployed_by: str
    healthy: bool


class Delivery(Backend, Protocol):
    """Runs revisions in environments. Port name: `delivery`."""

    async def preview(self, spec: ApplicationSpec, *, request_id: str) -> Preview:
        """What would be said to the objects `ensure_application` writes, asked without writing them. Never raises
        BackendError: what could not be asked is in `unknown`. Empty where nobody admits."""
        ...

    async def manifests(
        self, service: str, environment: str, *, revision: str
    ) -> Sequence[Mapping[str, Any]] | None:
        """The objects that `revision` would deploy, as the backend renders them. None: it has no way to say, or no such
        application."""
        ...

    async def ensure_application(self, spec: ApplicationSpec, *, request_id: str) -> Application: ...

    async def get_application(self, service: str, environment: str) -> Application | None:
        """None: there is none. Raises TemporaryBackendError when it could not be asked."""
        ...

    async def remove_application(self, service: str, environment: str, *, request_id: str) -> None: ...

    async def find_closed_window(self, service: str, environment: str) -> ClosedWindow | None:
        """None: a deployment that is asked for now begins now."""
        ...

    async def deploy(
        self, service: str, environment: str, *, revision: str, operation: str, actor: str
    ) -> Deployment:
        """Start deploying `revision`; `operation` is our key for this run: the same key never deploys twice.
        `actor` is who asked, for the backend's own history."""
        ...

    async def get_deployment(self, service: str, environment: str, *, operation: str) -> Deployment | None:
        """READY means: this operation done, its revision live and healthy, observed after it finished."""
        ...

    async def resume(self, service: str, environment: str, *, operation: str, step: str) -> Deployment:
        """Let the canary of this operation go on past its pause at `step`, and no further.

        Raises PermanentBackendError: CONFLICT where it stands elsewhere by now or does not wait, INVALID where this backend
        knows no canaries.
        """
        ...

    async def abort(self, service: str, environment: str, *, operation: str, step: str) -> Deployment:
        """All traffic back to the revision before; the operation fails. Once, however often. Raises as `resume` does."""
        ...

    async def history(self, service: str, environment: str, *, limit: int = 10) -> Sequence[DeployedRevision]:
        """Newest first."""
        ...
