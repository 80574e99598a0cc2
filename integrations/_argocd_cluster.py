"""Argo CD through its Application resources, in the cluster it runs in. Whoever may write these is Argo CD's administrator for
them: the server's own refusals do not apply here, so `argocd` makes them before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations import _argocd_manifest as manifest
from integrations._argocd_project import Project, parse_project
from integrations._argocd_rollouts import Rollout, abort_patch, parse_analysis, parse_rollout, resume_patch
from integrations._argocd_shapes import (
    MANAGED_BY,
    MANAGED_BY_LABEL,
    REFRESH_ANNOTATION,
    REQUEST_ANNOTATION,
    ArgoApplication,
    Asked,
    JournalEntry,
    ResourceStatus,
    journal_text,
    parse_application,
    parse_generator,
)
from integrations._argocd_state import unhealthy_resources
from integrations._kubernetes import Access, Kubernetes, Object, Resource, Selection
from integrations._kubernetes_dry_run import preview_claim
from integrations.ports import AnalysisResult, Finding, Preview

APPLICATION: Final = Resource("argoproj.io", "v1alpha1", "applications", "Application")
APPLICATION_SET: Final = Resource("argoproj.io", "v1alpha1", "applicationsets", "ApplicationSet")
PROJECT: Final = Resource("argoproj.io", "v1alpha1", "appprojects", "AppProject")
ROLLOUT: Final = Resource("argoproj.io", "v1alpha1", "rollouts", "Rollout")
ANALYSIS_RUN: Final = Resource("argoproj.io", "v1alpha1", "analysisruns", "AnalysisRun")
RULES: Final = "deploy/kubernetes/rbac-argocd.yaml"
ATTEMPTS: Final = 5
"""Argo CD's controller writes these objects all the time; each attempt reads anew."""


@dataclass(frozen=True)
class _StatusOf(Resource):
    """The status of a resource that has one as a subresource: a patch of the object itself would drop it in silence."""

    def path(self, *, namespace: str | None = None, name: str = "", subresource: str = "status") -> str:
        return super().path(namespace=namespace, name=name, subresource=subresource)


_ROLLOUT_STATUS: Final = _StatusOf("argoproj.io", "v1alpha1", "rollouts", "Rollout")


def _manager(intent: Mapping[str, Any]) -> str:
    """One for each request: two that meet under one name conflict over the mark, and neither overwrites the other."""
    return f"{MANAGED_BY}/{intent['metadata']['annotations'][REQUEST_ANNOTATION]}"


class ClusterApplications:
    def __init__(
        self, kubernetes: Kubernetes, *, namespace: str, with_rollouts: bool, removal_wait_seconds: float
    ) -> None:
        self._kubernetes = kubernetes
        self._namespace = namespace
        self._with_rollouts = with_rollouts
        self._removal_wait_seconds = removal_wait_seconds

    # ------------------------------------------------------------ reading

    async def find(self, service: str, environment: str) -> ArgoApplication | None:
        found = await self._get(f"{service}-{environment}")
        return parse_application(found) if found is not None else None

    async def find_ours(self) -> Sequence[ArgoApplication]:
        ours = Selection(namespace=self._namespace, labels={MANAGED_BY_LABEL: MANAGED_BY})
        return [parse_application(each) for each in (await self._kubernetes.list(APPLICATION, ours)).items]

    async def _get(self, name: str) -> Object | None:
        return await self._kubernetes.get(APPLICATION, name, namespace=self._namespace)

    async def project(self, name: str) -> Project | None:
        found = await self._kubernetes.get(PROJECT, name, namespace=self._namespace)
        return parse_project(found) if found is not None else None

    async def generator_trouble(self, name: str) -> str:
        return parse_generator(
            await self._kubernetes.get(APPLICATION_SET, name, namespace=self._namespace), name
        )

    async def is_blocked(self, app: ArgoApplication) -> bool:  # noqa: ARG002 - the controller takes it and waits
        return False

    async def unhealthy(self, app: ArgoApplication) -> tuple[str, ...]:
        return unhealthy_resources(app)

    async def rollout(self, app: ArgoApplication, resource: ResourceStatus) -> Rollout | None:
        if not self._with_rollouts or not app.is_here:
            return None
        found = await self._kubernetes.get(ROLLOUT, resource.name, namespace=resource.namespace)
        return parse_rollout(found) if found is not None else None

    async def analysis(self, rollout: Rollout, app: ArgoApplication, name: str) -> AnalysisResult | None:  # noqa: ARG002
        found = await self._kubernetes.get(ANALYSIS_RUN, name, namespace=rollout.namespace)
        return parse_analysis(found) if found is not None else None

    # ------------------------------------------------------------ writing

    async def preview(self, intent: Mapping[str, Any]) -> Preview:
        return await preview_claim(
            self._kubernetes, APPLICATION, dict(intent), field_manager=_manager(intent)
        )

    async def manifests(self, app: ArgoApplication, revision: str) -> Sequence[Mapping[str, Any]] | None:  # noqa: ARG002
        return None

    async def put(self, intent: Mapping[str, Any], found: ArgoApplication | None) -> ArgoApplication:  # noqa: ARG002
        return parse_application(
            await self._kubernetes.apply(APPLICATION, dict(intent), field_manager=_manager(intent))
        )

    async def begin(self, app: ArgoApplication, asked: Asked, *, prune: bool) -> ArgoApplication | None:
        return await self._merge(app, manifest.operation_patch(app, asked, prune=prune))

    async def note(self, app: ArgoApplication, journal: Sequence[JournalEntry]) -> None:
        patch = manifest.journal_patch(journal_text(journal))
        # Bound to what was read: the journal is one text, and another operation may have been added to it.
        patch["metadata"]["resourceVersion"] = app.resource_version
        await self._merge(app, patch)

    async def stop(self, app: ArgoApplication) -> None:
        await self._merge(app, manifest.stop_patch(app))

    async def refresh(self, app: ArgoApplication) -> None:
        await self._merge(app, {"metadata": {"annotations": {REFRESH_ANNOTATION: "normal"}}})

    async def remove(self, app: ArgoApplication) -> None:
        found = await self._get(app.name)
        for attempt in range(ATTEMPTS):
            if found is None or found["metadata"]["uid"] != app.uid:
                return
            try:
                await self._delete(found)
                break
            except TemporaryBackendError as error:
                if error.kind is not BackendErrorKind.CONFLICT or attempt + 1 == ATTEMPTS:
                    raise
            found = await self._get(app.name)
        if found is not None:
            await self._kubernetes.wait_gone(APPLICATION, found, timeout_seconds=self._removal_wait_seconds)

    async def _delete(self, found: Object) -> None:
        current = parse_application(found)
        if current.is_deleting:
            return
        finalizers = manifest.finalizers_with_cascade(current)
        if list(current.finalizers) != finalizers:
            locked = {"resourceVersion": current.resource_version, "finalizers": finalizers}
            found = await self._patch(current.name, {"metadata": locked})
        await self._kubernetes.delete(APPLICATION, found)

    async def resume(self, app: ArgoApplication, rollout: Rollout) -> None:
        self._require_rollouts(app)
        await self._steer(rollout, resume_patch(rollout))

    async def abort(self, app: ArgoApplication, rollout: Rollout) -> None:
        self._require_rollouts(app)
        await self._steer(rollout, abort_patch(rollout))

    def _require_rollouts(self, app: ArgoApplication) -> None:
        if not self._with_rollouts or not app.is_here:
            raise PermanentBackendError(
                "The bot does not reach the canaries of this cluster.",
                backend="Argo CD",
                kind=BackendErrorKind.DENIED,
                fix="Set `rollouts: true`, or `mode: api` for clusters that only Argo CD reaches.",
            )

    async def _steer(self, rollout: Rollout, patch: Object) -> None:
        await self._kubernetes.merge(
            _ROLLOUT_STATUS, rollout.name, patch, namespace=rollout.namespace, field_manager=MANAGED_BY
        )

    async def _merge(self, app: ArgoApplication, patch: Object) -> ArgoApplication:
        return parse_application(await self._patch(app.name, patch))

    async def _patch(self, name: str, patch: Object) -> Object:
        return await self._kubernetes.merge(
            APPLICATION, name, patch, namespace=self._namespace, field_manager=MANAGED_BY
        )

    # ------------------------------------------------------------ check

    def breaker_state(self) -> str:
        return self._kubernetes.breaker_state()

    async def check(self) -> Sequence[Finding]:
        try:
            return await self._probe()
        except BackendError as error:
            return [Finding("Argo CD", ok=False, detail=error.message, fix=error.fix or "")]

    async def _probe(self) -> list[Finding]:
        if "v1alpha1" not in await self._kubernetes.served_versions("argoproj.io"):
            return [
                Finding(
                    "Argo CD",
                    ok=False,
                    detail="the cluster does not serve applications.argoproj.io",
                    fix="Install Argo CD, or point `kubeconfig` at the cluster it runs in.",
                )
            ]
        wanted = [
            *(
                Access(verb, APPLICATION, namespace=self._namespace)
                for verb in ("get", "list", "create", "patch", "delete")
            ),
            Access("get", PROJECT, namespace=self._namespace),
        ]
        if self._with_rollouts:
            wanted += [Access("get", ROLLOUT), Access("get", ANALYSIS_RUN)]
            wanted.append(Access("patch", ROLLOUT, subresource="status"))
        return [await self._probe_access(each) for each in wanted]

    async def _probe_access(self, access: Access) -> Finding:
        what = access.resource.plural + (f"/{access.subresource}" if access.subresource else "")
        where = access.namespace or "every namespace"
        ok = await self._kubernetes.may(access)
        line = f"apiGroups: [{access.resource.group}], resources: [{what}], verbs: [{access.verb}]"
        kind = "Role" if access.namespace else "ClusterRole"
        return Finding(
            f"Argo CD: {access.verb} {what}",
            ok=ok,
            detail=f"in {where}" if ok else f"not allowed in {where}",
            fix="" if ok else f"Add to the {kind} in {RULES}: {{{line}}}",
        )
