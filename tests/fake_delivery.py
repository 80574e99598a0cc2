"""Delivery in memory: what runs where, and deployments that end as a test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fake_backend import MOMENT, Fake

from bot.errors import BackendErrorKind
from integrations.ports import (
    Application,
    ApplicationSpec,
    ClosedWindow,
    DeployedRevision,
    Deployment,
    Health,
    Phase,
    Preview,
    SyncStatus,
)


class FakeDelivery(Fake):
    """Deployments begin as RUNNING; `settle` says how one ended, and only then is its revision live."""

    name = "delivery"

    def __init__(self) -> None:
        super().__init__()
        self.applications: dict[tuple[str, str], Application] = {}
        self.specs: dict[tuple[str, str], ApplicationSpec] = {}
        self.deployments: dict[str, Deployment] = {}
        self.past: dict[tuple[str, str], list[DeployedRevision]] = {}
        self.previews: dict[tuple[str, str], Preview] = {}
        self.rendered: dict[tuple[str, str, str], Sequence[Mapping[str, Any]]] = {}
        self.windows: dict[tuple[str, str], ClosedWindow] = {}

    def runs(
        self,
        service: str,
        environment: str,
        revision: str | None,
        *,
        health: Health = Health.HEALTHY,
        **more: object,
    ) -> Application:
        """Say what runs where; it enters the history too."""
        values = {"sync": SyncStatus.SYNCED, "url": f"http://{environment}.example.com/{service}", **more}
        made = Application(service, environment, revision, health, **values)  # type: ignore[arg-type]
        self.applications[service, environment] = made
        if revision:
            past = self.past.setdefault((service, environment), [])
            past.insert(0, DeployedRevision(revision, MOMENT, "omar", health is Health.HEALTHY))
        return made

    def settle(
        self, operation: str, phase: Phase, *, health: Health = Health.HEALTHY, message: str = ""
    ) -> None:
        self.deployments[operation] = replace(
            self.deployments[operation], phase=phase, health=health, message=message
        )

    def canary(self, operation: str, step: str, weight_percent: int, **more: Any) -> None:
        """The deployment stands at a step of its canary; `paused` unless said otherwise."""
        more = {"paused": True, "phase": Phase.WAITING_HUMAN, "health": Health.SUSPENDED, **more}
        self.deployments[operation] = replace(
            self.deployments[operation], step=step, weight_percent=weight_percent, **more
        )

    async def preview(self, spec: ApplicationSpec, *, request_id: str) -> Preview:
        self.asked("preview")
        return self.previews.get((spec.service, spec.environment), Preview())

    async def manifests(
        self, service: str, environment: str, *, revision: str
    ) -> Sequence[Mapping[str, Any]] | None:
        self.asked("manifests")
        return self.rendered.get((service, environment, revision))

    async def find_closed_window(self, service: str, environment: str) -> ClosedWindow | None:
        self.asked("find_closed_window")
        return self.windows.get((service, environment))

    async def resume(self, service: str, environment: str, *, operation: str, step: str) -> Deployment:
        self.asked("resume")
        self._require_step(operation, step)
        self.deployments[operation] = replace(
            self.deployments[operation], paused=False, phase=Phase.RUNNING, health=Health.PROGRESSING
        )
        self.did("resume", f"{operation} past {step}")
        return self.deployments[operation]

    async def abort(self, service: str, environment: str, *, operation: str, step: str) -> Deployment:
        self.asked("abort")
        if self.deployments[operation].phase is not Phase.FAILED:
            self._require_step(operation, step)
            self.settle(operation, Phase.FAILED, health=Health.DEGRADED, message="the canary was aborted")
            self.did("abort", f"{operation} at {step}")
        return self.deployments[operation]

    def _require_step(self, operation: str, step: str) -> None:
        found = self.deployments[operation]
        if not found.step:
            raise self.refuse(BackendErrorKind.INVALID, "there is no canary")
        if found.step != step or not found.paused:
            raise self.refuse(BackendErrorKind.CONFLICT, f"the canary is at step {found.step}")

    async def ensure_application(self, spec: ApplicationSpec, *, request_id: str) -> Application:
        self.asked("ensure_application")
        key = spec.service, spec.environment
        if key not in self.applications:
            self.applications[key] = Application(
                *key, None, Health.MISSING, SyncStatus.OUT_OF_SYNC, request_id=request_id
            )
            self.specs[key] = spec
            self.did("ensure_application", spec.name)
        if self.applications[key].request_id != request_id:
            raise self.refuse(BackendErrorKind.ALREADY_EXISTS, f"the name {spec.name} is taken")
        return self.applications[key]

    async def get_application(self, service: str, environment: str) -> Application | None:
        self.asked("get_application")
        return self.applications.get((service, environment))

    async def remove_application(self, service: str, environment: str, *, request_id: str) -> None:
        self.asked("remove_application")
        found = self.applications.get((service, environment))
        if found is not None and found.request_id == request_id:
            del self.applications[service, environment]
            self.did("remove_application", f"{service}-{environment}")

    async def deploy(
        self, service: str, environment: str, *, revision: str, operation: str, actor: str
    ) -> Deployment:
        self.asked("deploy")
        if operation not in self.deployments:
            self.deployments[operation] = Deployment(operation, revision, Phase.RUNNING, Health.PROGRESSING)
            self.did("deploy", f"{service}-{environment} {revision[:7]} for {actor}")
        return self.deployments[operation]

    async def get_deployment(self, service: str, environment: str, *, operation: str) -> Deployment | None:
        self.asked("get_deployment")
        return self.deployments.get(operation)

    async def history(self, service: str, environment: str, *, limit: int = 10) -> Sequence[DeployedRevision]:
        self.asked("history")
        return self.past.get((service, environment), [])[:limit]
