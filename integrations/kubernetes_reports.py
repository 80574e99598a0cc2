"""What scanners and policy engines left in the cluster about a service: VulnerabilityReports of Trivy, PolicyReports of both groups.

Which commit runs, and which objects belong to it, is Argo CD's word: its Application is read, and what runs is read from there. A
report that is missing, outdated, or about something else is UNKNOWN, never clean. Reads only. Must not judge how many findings are
too many: `bot.policy` does.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError
from integrations import _report_policies as policies
from integrations import _report_vulnerabilities as vulnerabilities
from integrations._argocd_shapes import ArgoApplication, parse_application
from integrations._http import unreadable
from integrations._kubernetes import Kubernetes, Object, Resource, Selection, open_kubernetes
from integrations._kubernetes_cluster import BACKEND, find_cluster
from integrations._rbac import check_reachable, check_rights
from integrations._report_subjects import (
    BY_REPLICA_SETS,
    REPLICA_SETS,
    WORKLOADS,
    Container,
    Reference,
    Workload,
    parse_workload,
)
from integrations.ports import Evidence, EvidenceReport, Finding, Surroundings

PORT: Final = "evidence"
APPLICATION: Final = Resource("argoproj.io", "v1alpha1", "applications", "Application")
LONGEST_LABEL: Final = 63
READER: Final = "ClusterRole platform-bot-reports"
APPLICATION_READER: Final = "Role platform-bot-reports"
"""As in deploy/kubernetes/rbac-reports.yaml."""

T = TypeVar("T")


class Settings(BaseModel):
    """The section of platform.yml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kubeconfig: str | None = Field(
        default=None, description="Else the pod's service account, else $KUBECONFIG, else ~/.kube/config."
    )
    context: str | None = None
    argocd_namespace: str = Field(default="argocd", description="Where Argo CD keeps its Applications.")
    max_age_hours: float = Field(
        default=24.0, gt=0, description="Older reports count as missing; Trivy's own TTL may be shorter."
    )
    check_namespaces: tuple[str, ...] = Field(
        default=(), description="Where `check` asks for rights that are granted namespace by namespace."
    )


@dataclass(frozen=True)
class Running:
    """A service as it runs in one environment: all its objects, and its workloads."""

    objects: tuple[Reference, ...]
    workloads: tuple[Workload, ...]

    @property
    def containers(self) -> tuple[Container, ...]:
        return tuple(container for each in self.workloads for container in each.containers)

    @property
    def namespaces(self) -> tuple[str, ...]:
        return tuple(sorted({each.namespace for each in self.objects if each.namespace}))


class KubernetesReports:
    """Implements `integrations.ports.Evidence`."""

    def __init__(self, settings: Settings, kubernetes: Kubernetes) -> None:
        self._settings = settings
        self._kubernetes = kubernetes
        self._max_age = timedelta(hours=settings.max_age_hours)

    def breaker_state(self) -> str:
        return self._kubernetes.breaker_state()

    async def reports(
        self,
        service: str,
        environment: str,
        *,
        team: str,  # noqa: ARG002 - where its objects are, Argo CD tells
        revision: str | None = None,
    ) -> Sequence[EvidenceReport]:
        try:
            running = await self._running(service, environment, revision)
        except BackendError as error:
            said = _said(error)
            return [policies.unknown(said), vulnerabilities.unknown(said)]
        return await asyncio.gather(self._policies(running), self._vulnerabilities(running))

    # ------------------------------------------------------------ what runs

    async def _running(self, service: str, environment: str, revision: str | None) -> Running:
        """Raises BackendError, also where no report can be about what was asked for."""
        name = f"{service}-{environment}"
        found = await self._kubernetes.get(APPLICATION, name, namespace=self._settings.argocd_namespace)
        if found is None:
            raise _nothing_known(f"Argo CD knows no application {name}.")
        app = parse_application(found)
        _require(app, service, environment, revision)
        objects = tuple(Reference(each.kind, each.namespace, each.name) for each in app.resources)
        items = [
            (WORKLOADS[each.group, each.kind], each.namespace, each.name)
            for each in app.resources
            if (each.group, each.kind) in WORKLOADS
        ]
        workloads = [await self._workload(*each) for each in items]
        starting = [str(each.reference) for each in workloads if each.starting]
        if starting:
            raise _nothing_known(f"Nothing runs yet of what {', '.join(starting)} asks for now.")
        return Running(objects, tuple(workloads))

    async def _workload(self, resource: Resource, namespace: str, name: str) -> Workload:
        item = await self._kubernetes.get(resource, name, namespace=namespace)
        if item is None:
            raise _nothing_known(f"{resource.kind} {name} is not there.")
        replica_sets: Sequence[Object] = ()
        if resource.kind in BY_REPLICA_SETS:
            labels = (item.get("spec") or {}).get("selector", {}).get("matchLabels") or {}
            selection = Selection(namespace=namespace, labels=labels)
            replica_sets = (await self._kubernetes.list(REPLICA_SETS, selection)).items
        # Members of a list carry no kind of their own.
        return _readable(lambda: parse_workload({"kind": resource.kind, **item}, replica_sets), "a workload")

    # ------------------------------------------------------------ reports

    async def _policies(self, running: Running) -> EvidenceReport:
        try:
            served = [each for each in policies.GROUPS if await self._serves(each)]
            if not served:
                return policies.unknown("The cluster serves no PolicyReports.")
            found: list[Object] = []
            for resource in served:
                for namespace in running.namespaces:
                    selection = Selection(namespace=namespace)
                    found += (await self._kubernetes.list(resource, selection)).items
            now, max_age = self._kubernetes.timing.now(), self._max_age
            return _readable(
                lambda: policies.judge(running.objects, running.workloads, found, now=now, max_age=max_age),
                "policy reports",
            )
        except BackendError as error:
            return policies.unknown(_said(error))

    async def _vulnerabilities(self, running: Running) -> EvidenceReport:
        try:
            if not await self._serves(vulnerabilities.VULNERABILITY_REPORTS):
                return vulnerabilities.unknown("The cluster serves no VulnerabilityReports.")
            found: list[Object] = []
            for owner in dict.fromkeys(each.owner for each in running.containers):
                found += await self._vulnerability_reports(owner)
            now, max_age = self._kubernetes.timing.now(), self._max_age
            return _readable(
                lambda: vulnerabilities.judge(running.containers, found, now=now, max_age=max_age),
                "vulnerability reports",
            )
        except BackendError as error:
            return vulnerabilities.unknown(_said(error))

    async def _vulnerability_reports(self, owner: Reference) -> Sequence[Object]:
        """One report may be large, so only those of the owner are asked for, as far as its name fits into a label."""
        labels = {vulnerabilities.KIND_LABEL: owner.kind}
        if len(owner.name) <= LONGEST_LABEL:
            labels[vulnerabilities.NAME_LABEL] = owner.name
        selection = Selection(namespace=owner.namespace, labels=labels)
        return (await self._kubernetes.list(vulnerabilities.VULNERABILITY_REPORTS, selection)).items

    async def _serves(self, resource: Resource) -> bool:
        return resource.version in await self._kubernetes.served_versions(resource.group)

    # ------------------------------------------------------------ check

    async def check(self) -> Sequence[Finding]:
        reachable = await check_reachable(self._kubernetes)
        if not reachable.ok:
            return [reachable]
        findings = [reachable]
        places: Sequence[str | None] = self._settings.check_namespaces or (None,)
        argocd = (self._settings.argocd_namespace,)
        findings += await check_rights(
            self._kubernetes, APPLICATION_READER, APPLICATION, verbs=("get",), namespaces=argocd
        )
        try:
            kinds = [*policies.GROUPS, vulnerabilities.VULNERABILITY_REPORTS]
            served = [each for each in kinds if await self._serves(each)]
        except BackendError as error:
            return [*findings, Finding("reports", ok=False, detail=error.message, fix=error.fix or "")]
        findings += _installed(served)
        for resource in (REPLICA_SETS, *served):
            findings += await check_rights(
                self._kubernetes, READER, resource, verbs=("list",), namespaces=places
            )
        for resource in WORKLOADS.values():
            findings += await check_rights(
                self._kubernetes, READER, resource, verbs=("get",), namespaces=places
            )
        return findings


def _require(app: ArgoApplication, service: str, environment: str, revision: str | None) -> None:
    """Raises PermanentBackendError where what runs there is not, or not for sure, what was asked for."""
    if not app.is_of(service, environment):
        raise _nothing_known(f"The application {app.name} is not the bot's.")
    if app.under_way is not None:
        raise _nothing_known(f"A deployment to {environment} is under way.")
    if app.live_revision is None:
        raise _nothing_known(f"Nothing was ever deployed to {environment}.")
    if revision is not None and revision != app.live_revision:
        raise _nothing_known(
            f"{environment} runs {app.live_revision[:7]}, so its reports are about other images "
            f"than those of {revision[:7]}."
        )


def _nothing_known(message: str) -> PermanentBackendError:
    return PermanentBackendError(message, backend=BACKEND, kind=BackendErrorKind.NOT_READY)


def _said(error: BackendError) -> str:
    return f"{error.backend} could not be asked: {error.message}" if error.temporary else error.sentence


def _readable(read: Callable[[], T], what: str) -> T:
    """What a controller of another version wrote may have another shape: then nothing is known."""
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unreadable(BACKEND, f"{what} ({type(error).__name__})") from error


def _installed(served: Sequence[Resource]) -> list[Finding]:
    scanned = vulnerabilities.VULNERABILITY_REPORTS in served
    groups = [each.group for each in policies.GROUPS if each in served]
    return [
        Finding(
            "policy reports",
            ok=bool(groups),
            detail=", ".join(groups) or "neither group is served",
            fix="" if groups else "Install a policy engine that reports, or set no limit on failed policies.",
        ),
        Finding(
            "vulnerability reports",
            ok=scanned,
            detail="served" if scanned else "not served",
            fix="" if scanned else "Install Trivy Operator, or set no limit on vulnerabilities.",
        ),
    ]


@asynccontextmanager
async def open(settings: Settings, surroundings: Surroundings) -> AsyncIterator[Evidence]:  # noqa: A001
    """Raises StartError where there is no kubeconfig to read; a server that is away stops nothing."""
    kubeconfig = surroundings.base_folder / settings.kubeconfig if settings.kubeconfig else None
    cluster = find_cluster(kubeconfig=kubeconfig, context=settings.context, environment=os.environ)
    async with open_kubernetes(cluster) as kubernetes:
        yield KubernetesReports(settings, kubernetes)
