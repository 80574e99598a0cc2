"""What a cluster's admission would say to manifests: each is tried with `dryRun=All`, and nothing is stored.

Kyverno, Gatekeeper, validating admission policies, quotas and pod security answer as they would at the deployment. The cluster is
asked as a user of its own (`impersonate`), so that the cluster itself can hold that user to dry runs. What it answers of the objects
is dropped unread. Must not deploy, and must not judge: `bot.policy` does.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

import httpx
from pydantic import BaseModel, ConfigDict, Field

from bot.errors import BackendError, TemporaryBackendError
from integrations._admission_check import check_all
from integrations._admission_manifests import Tried, is_complete, tried
from integrations._http import Timing
from integrations._kubernetes import Kubernetes, Resource
from integrations._kubernetes_cluster import BACKEND, Cluster, find_cluster
from integrations._kubernetes_dry_run import Outcome, Verdict, about, describe, read
from integrations._namespace_rule import NamespaceRule, fixed_namespaces, namespace_of
from integrations.ports import Admission, Finding, Preview, Surroundings

PORT: Final = "admission"
_CHECK: Final = "`python -m bot check` names the missing right"


class Settings(BaseModel):
    """The section of platform.yml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kubeconfig: str | None = Field(
        default=None, description="Else the pod's service account, else $KUBECONFIG, else ~/.kube/config."
    )
    context: str | None = None
    namespace: NamespaceRule = Field(
        default="{team}-{environment}", description="Where workloads run; may use team, environment, service."
    )
    impersonate: str | None = Field(
        default="system:serviceaccount:platform-bot:platform-bot-dry-run",
        min_length=1,
        description="User the dry runs are made as; null: the bot itself.",
    )
    field_manager: str = Field(default="argocd-controller", min_length=1, max_length=128)
    not_asked: frozenset[str] = Field(
        default=frozenset({"Secret"}),
        description="Kinds that are not tried, each a warning: whoever may try a Secret can read it.",
    )
    resources: tuple[str, ...] = Field(
        default=(
            "configmaps",
            "serviceaccounts",
            "services",
            "deployments.apps",
            "statefulsets.apps",
            "cronjobs.batch",
            "jobs.batch",
            "horizontalpodautoscalers.autoscaling",
            "ingresses.networking.k8s.io",
            "networkpolicies.networking.k8s.io",
            "poddisruptionbudgets.policy",
        ),
        description="What manifests hold: `check` asks for the right to try each.",
    )
    check_namespaces: tuple[str, ...] = Field(
        default=(), description="Where `check` asks for rights that are granted namespace by namespace."
    )


class KubernetesAdmission:
    """Implements `integrations.ports.Admission`."""

    def __init__(self, settings: Settings, *, bot: Kubernetes, trying: Kubernetes) -> None:
        """`trying` speaks as `settings.impersonate`, `bot` as the bot itself."""
        self._settings = settings
        self._bot = bot
        self._trying = trying

    def breaker_state(self) -> str:
        return self._trying.breaker_state()

    async def preview(
        self, manifests: Sequence[Mapping[str, Any]], *, service: str, team: str, environment: str
    ) -> Preview:
        try:
            namespace = namespace_of(
                self._settings.namespace, team=team, environment=environment, service=service, backend=BACKEND
            )
        except BackendError as error:
            return Preview(unknown=(error.sentence,))
        total = Preview()
        kinds: dict[tuple[str, str], Resource | None] = {}
        for number, each in enumerate(manifests):
            try:
                total += await self._preview(each, namespace, kinds)
            except TemporaryBackendError as error:
                # Asking on would mean waiting out every deadline again for the same answer.
                left = len(manifests) - number
                said = f"{error.message} {left} of {len(manifests)} objects were not shown to it."
                return total + Preview(unknown=about(error.backend, (said,)))
            except BackendError as error:
                total += Preview(unknown=about(describe(each), (error.message,)))
        return total

    async def _preview(
        self,
        manifest: Mapping[str, Any],
        namespace: str,
        kinds: dict[tuple[str, str], Resource | None],
    ) -> Preview:
        if not is_complete(manifest):
            return Preview(unknown=("An object without apiVersion, kind and name cannot be tried.",))
        subject, kind = describe(manifest), str(manifest["kind"])
        if kind in self._settings.not_asked:
            return Preview(warnings=(f"{subject}: no policy was asked, because {kind} is not tried here",))
        version = str(manifest["apiVersion"])
        if (version, kind) not in kinds:
            group, _, name = version.rpartition("/")
            kinds[version, kind] = await self._trying.find_resource(group, name, kind)
        resource = kinds[version, kind]
        if resource is None:
            return Preview(unknown=(f"{subject}: the cluster does not serve {kind} of {version}",))
        verdict = await self._try(tried(manifest, resource, namespace=namespace))
        warnings = about(subject, verdict.warnings)
        return Preview(warnings=warnings) + _told(subject, verdict)

    async def _try(self, one: Tried) -> Verdict:
        """As Argo CD would bring it: server-side where that can be, else as its client-side apply does."""
        manager = self._settings.field_manager
        if one.is_made_anew:
            return read(await self._trying.dry_run(one.created(manager)))
        first = read(await self._trying.dry_run(one.server_side(manager)))
        if first.outcome not in {Outcome.CONFLICT, Outcome.UNTYPED}:
            return first
        verdict = read(await self._trying.dry_run(one.merged(manager)))
        if verdict.outcome is Outcome.ABSENT:
            verdict = read(await self._trying.dry_run(one.created(manager)))
        if first.outcome is Outcome.UNTYPED:
            return replace(verdict, warnings=(*first.lines, *verdict.warnings))
        return verdict

    async def check(self) -> Sequence[Finding]:
        settings = self._settings
        return await check_all(
            self._bot,
            self._trying,
            impersonated=settings.impersonate,
            resources=settings.resources,
            namespaces=fixed_namespaces(settings.namespace, settings.check_namespaces),
        )


def _told(subject: str, verdict: Verdict) -> Preview:
    if verdict.outcome in {Outcome.ADMITTED, Outcome.EXISTS}:
        return Preview()
    if verdict.outcome is Outcome.DENIED:
        return Preview(denials=about(subject, verdict.lines))
    if verdict.outcome is Outcome.LACKS_RIGHT:
        return Preview(unknown=tuple(f"{each}; {_CHECK}" for each in about(subject, verdict.lines)))
    return Preview(unknown=about(subject, verdict.lines))


@asynccontextmanager
async def connect(
    settings: Settings,
    cluster: Cluster,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    timing: Timing | None = None,
) -> AsyncIterator[KubernetesAdmission]:
    """`transport` is where tests stand; nothing is asked of the server yet, which may be away."""
    other = {"Impersonate-User": settings.impersonate} if settings.impersonate else {}
    async with (
        httpx.AsyncClient(base_url=cluster.server, verify=cluster.tls, transport=transport) as plain,
        httpx.AsyncClient(
            base_url=cluster.server, verify=cluster.tls, transport=transport, headers=other
        ) as trying,
    ):
        yield KubernetesAdmission(
            settings,
            bot=Kubernetes(cluster, plain, timing=timing),
            trying=Kubernetes(cluster, trying, timing=timing),
        )


@asynccontextmanager
async def open(settings: Settings, surroundings: Surroundings) -> AsyncIterator[Admission]:  # noqa: A001
    """Raises StartError where there is no kubeconfig to read; a server that is away stops nothing."""
    kubeconfig = surroundings.base_folder / settings.kubeconfig if settings.kubeconfig else None
    cluster = find_cluster(kubeconfig=kubeconfig, context=settings.context, environment=os.environ)
    async with connect(settings, cluster) as admission:
        yield admission
