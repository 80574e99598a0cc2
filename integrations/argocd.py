"""Delivery by Argo CD: one Application per service and environment, deployed to by explicit operations, through the cluster's API
or Argo CD's own.

Each operation carries our key, and only the key tells it from others. What an operation's outcome means is
`_argocd_state`'s; how Argo CD is reached is `_argocd_cluster`'s or `_argocd_api`'s; this module orders the two. It deploys what it is
told and decides nothing about who may.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from bot.errors import (
    BackendError,
    BackendErrorKind,
    StartError,
    TemporaryBackendError,
)
from integrations import _argocd_manifest as manifest
from integrations import _argocd_shapes as shapes
from integrations import _argocd_state as state
from integrations._argocd_api import ApiApplications, ArgoDialect
from integrations._argocd_applications import Applications
from integrations._argocd_canaries import Canaries
from integrations._argocd_cluster import ClusterApplications
from integrations._argocd_gitops import GitopsRepository
from integrations._argocd_hook import ArgoHooks
from integrations._argocd_makers import maker_of, open_repository
from integrations._argocd_ownership import is_ours, no_project, refuse, require_adoptable, taken
from integrations._argocd_project import closed_window, refusals
from integrations._argocd_rollouts import Rollout
from integrations._argocd_settings import Settings
from integrations._argocd_shapes import BACKEND, ArgoApplication
from integrations._breaker import Breaker
from integrations._hook_secrets import HookSecrets
from integrations._http import Http, Timing
from integrations._kubernetes import Kubernetes, open_kubernetes
from integrations._kubernetes_cluster import find_cluster
from integrations.ports import (
    Application,
    ApplicationSpec,
    ClosedWindow,
    DeployedRevision,
    Deployment,
    Finding,
    Marked,
    Phase,
    Preview,
    Surroundings,
    describe_canary,
)

PORT: Final = "delivery"
NOT_WITH: Final = {
    "local_git": "github or gitea as code_host; Argo CD cannot read repositories on the bot's machine"
}
ATTEMPTS: Final = 4
"""Argo CD writes its objects all the time; a write that lost the race begins again with a fresh read."""


class ArgoCD:
    """Implements `integrations.ports.Delivery` and `Inventory`."""

    def __init__(
        self,
        settings: Settings,
        applications: Applications,
        *,
        timing: Timing,
        secrets: Mapping[str, str],
        repository: GitopsRepository | None = None,
    ) -> None:
        """`repository`: where the entries are that an ApplicationSet reads; None: the bot writes Applications itself."""
        self.hooks = ArgoHooks(HookSecrets.of(settings.webhook_tokens, secrets))
        self._settings = settings
        self._applications = applications
        self._canaries = Canaries(applications)
        self._maker = maker_of(settings, applications, repository)
        self._timing = timing
        self._grace = timedelta(seconds=settings.degraded_grace_seconds)
        self._changes: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    # ------------------------------------------------------------ the application

    async def preview(self, spec: ApplicationSpec, *, request_id: str) -> Preview:
        """Who admits is asked by a dry run where Argo CD can be asked for one. Its project decides when it syncs."""
        try:
            return await self._preview(spec, request_id)
        except BackendError as error:
            return Preview(unknown=(f"{error.backend} could not be asked: {error.message}",))

    async def _preview(self, spec: ApplicationSpec, request_id: str) -> Preview:
        found = await self._applications.find(spec.service, spec.environment)
        if found is not None and not is_ours(found, spec, request_id):
            return Preview(denials=(taken(spec),))
        project = self._settings.placement.project_of(spec.team)
        rules = await self._applications.project(project)
        if rules is None:
            return Preview(denials=(no_project(project, spec.team),))
        intent = manifest.application_intent(
            spec, self._settings.placement, request_id=request_id, found=found
        )
        return Preview(denials=refusals(rules, intent)) + await self._applications.preview(intent)

    async def manifests(
        self, service: str, environment: str, *, revision: str
    ) -> Sequence[Mapping[str, Any]] | None:
        app = await self._find(service, environment)
        return await self._applications.manifests(app, revision) if app is not None else None

    async def ensure_application(self, spec: ApplicationSpec, *, request_id: str) -> Application:
        async with self._changes[spec.name]:
            found = await self._applications.find(spec.service, spec.environment)
            if found is not None:
                require_adoptable(found, spec, request_id)
            project = self._settings.placement.project_of(spec.team)
            if await self._applications.project(project) is None:
                raise refuse(
                    no_project(project, spec.team),
                    BackendErrorKind.INVALID,
                    fix="The platform team creates it: docs/backends/argocd.md, “A project per team”.",
                )
            intent = manifest.application_intent(
                spec, self._settings.placement, request_id=request_id, found=found
            )
            written = await self._maker.make(spec, intent, found)
            # A server that answers with somebody else's application has not created ours.
            require_adoptable(written, spec, request_id)
        return self._describe(written, unhealthy=())

    async def get_application(self, service: str, environment: str) -> Application | None:
        app = await self._find(service, environment)
        if app is None:
            return None
        ill = app.live_revision is not None and app.health not in {"Healthy", "Progressing", ""}
        unhealthy = await self._applications.unhealthy(app) if ill else ()
        found = self._describe(app, unhealthy=unhealthy)
        return replace(found, message=await self._canary_line(app) or found.message)

    async def _canary_line(self, app: ArgoApplication) -> str:
        """Empty where no canary is under way, or where it cannot be looked at."""
        if app.last is None or not app.rollouts:
            return ""
        canary, _ = await self._canaries.look(app)
        known = self._judge(app, app.last.asked.key, canary=canary)
        return describe_canary(known) if known is not None else ""

    async def list_marked(self) -> Sequence[Marked]:
        return [
            Marked("application", each.service, each.request_id or "", each.environment, each.place)
            for each in await self._applications.find_ours()
        ]

    async def remove_application(self, service: str, environment: str, *, request_id: str) -> None:
        """With its workloads: the finalizer that does it is put on for the purpose, and taken for granted nowhere else."""
        async with self._changes[f"{service}-{environment}"]:
            app = await self._find(service, environment)
            ours = app if app is not None and app.request_id == request_id else None
            await self._maker.unmake(service, environment, request_id=request_id, found=ours)

    # ------------------------------------------------------------ deployments

    async def find_closed_window(self, service: str, environment: str) -> ClosedWindow | None:
        app = await self._find(service, environment)
        project = await self._applications.project(app.project) if app is not None else None
        if app is None or project is None:
            return None
        closed = closed_window(project, app, self._timing.now())
        if closed is None and await self._applications.is_blocked(app):
            # Argo CD's own word counts more than our reckoning.
            return ClosedWindow(f"closed by a sync window of the project {project.name}")
        return closed

    async def deploy(
        self, service: str, environment: str, *, revision: str, operation: str, actor: str
    ) -> Deployment:
        asked = manifest.new_operation(
            operation, request_id=state.request_of(operation), revision=revision, actor=actor
        )
        async with self._changes[f"{service}-{environment}"]:
            for _ in range(ATTEMPTS):
                try:
                    return await self._deploy(service, environment, asked)
                except TemporaryBackendError as error:
                    if error.kind is not BackendErrorKind.CONFLICT:
                        raise
        raise state.not_ready(f"{service} in {environment} changes too quickly to be written to.")

    async def _deploy(self, service: str, environment: str, asked: shapes.Asked) -> Deployment:
        app = await self._get(service, environment)
        known = self._judge(app, asked.key, canary=None)
        if known is not None:
            refusal = state.conflicting(known, asked.revision)
            if refusal is not None:
                raise refusal
            return known
        await self._require_free(app, asked)
        if await self._applications.is_blocked(app):
            return state.waiting_for_window(asked.key, asked.revision, state.observed_health(app))
        begun = await self._applications.begin(app, asked, prune=self._settings.prune)
        if begun is None:
            return state.waiting_for_window(asked.key, asked.revision, state.observed_health(app))
        started = self._judge(begun, asked.key, canary=None)
        if started is None:
            raise TemporaryBackendError(
                "Argo CD accepted the operation, but does not show it.",
                backend=BACKEND,
                kind=BackendErrorKind.UNKNOWN,
            )
        return started

    async def _require_free(self, app: ArgoApplication, asked: shapes.Asked) -> None:
        refusal = state.refusal_to_deploy(app, asked.revision)
        if refusal is None:
            return
        if state.superseded_by(app, asked.request_id, asked.key):
            # An earlier run of the same request, given up: it would stand in the way of its own undo.
            await self._applications.stop(app)
        raise refusal

    async def get_deployment(self, service: str, environment: str, *, operation: str) -> Deployment | None:
        app = await self._find(service, environment)
        if app is None:
            return None
        canary, note = await self._canaries.look(app)
        found = self._judge(app, operation, canary=canary)
        if found is None:
            return None
        if state.wants_nudge(app, self._timing.now()):
            await self._applications.refresh(app)
        if found.phase is Phase.READY:
            await self._note_healthy(app, operation)
        return state.with_note(found, note)

    def _judge(self, app: ArgoApplication, operation: str, *, canary: Rollout | None) -> Deployment | None:
        return state.describe_deployment(
            app, operation, canary=canary, now=self._timing.now(), grace=self._grace
        )

    async def _note_healthy(self, app: ArgoApplication, operation: str) -> None:
        """The only evidence later that this revision was good here: Argo CD's history does not keep it."""
        remembered = app.remembered(operation)
        if remembered is not None and not remembered.healthy:
            await self._applications.note(app, shapes.with_healthy(app, operation))

    async def terminate(self, service: str, environment: str, *, operation: str) -> None:
        """Stop this operation and no other; succeeds when it is not under way (any more)."""
        async with self._changes[f"{service}-{environment}"]:
            app = await self._get(service, environment)
            under_way = app.under_way
            if under_way is not None and under_way.key == operation:
                await self._applications.stop(app)

    async def history(self, service: str, environment: str, *, limit: int = 10) -> Sequence[DeployedRevision]:
        app = await self._find(service, environment)
        return state.describe_history(app, limit=limit) if app is not None else []

    # ------------------------------------------------------------ canaries

    async def resume(self, service: str, environment: str, *, operation: str, step: str) -> Deployment:
        await self._canaries.resume(await self._get(service, environment), operation, step=step)
        return await self._standing(service, environment, operation)

    async def abort(self, service: str, environment: str, *, operation: str, step: str) -> Deployment:
        await self._canaries.abort(await self._get(service, environment), operation, step=step)
        return await self._standing(service, environment, operation)

    async def _standing(self, service: str, environment: str, operation: str) -> Deployment:
        found = await self.get_deployment(service, environment, operation=operation)
        if found is None:
            raise state.not_ready(f"Argo CD no longer shows this deployment of {service}.")
        return found

    # ------------------------------------------------------------ the rest

    def breaker_state(self) -> str:
        return self._applications.breaker_state()

    async def check(self) -> Sequence[Finding]:
        return [*await self._applications.check(), *await self._maker.check(), self.hooks.finding()]

    async def _find(self, service: str, environment: str) -> ArgoApplication | None:
        found = await self._applications.find(service, environment)
        return found if found is not None and found.is_of(service, environment) else None

    async def _get(self, service: str, environment: str) -> ArgoApplication:
        found = await self._find(service, environment)
        if found is None:
            raise refuse(
                f"There is no application for {service} in {environment}.",
                BackendErrorKind.NOT_FOUND,
                fix="Create the service first.",
            )
        return found

    def _describe(self, app: ArgoApplication, *, unhealthy: tuple[str, ...]) -> Application:
        history = state.describe_history(app, limit=1)
        names = {"service": app.service, "environment": app.environment, "team": app.team}
        url = self._settings.service_url.format(**names) or next(iter(app.external_urls), "")
        base = (self._settings.base_url or "").rstrip("/")
        return Application(
            service=app.service,
            environment=app.environment,
            revision=app.live_revision,
            health=state.observed_health(app),
            sync=state.observed_sync(app),
            message=state.describe_message(app),
            url=url,
            console_url=f"{base}/applications/{app.namespace}/{app.name}" if base else "",
            deployed_at=history[0].deployed_at if history else None,
            deployed_by=history[0].deployed_by if history else "",
            request_id=app.request_id,
            unhealthy=unhealthy,
        )


# ---------------------------------------------------------------- opening it


def connect_cluster(
    settings: Settings,
    kubernetes: Kubernetes,
    *,
    secrets: Mapping[str, str] | None = None,
    repository: GitopsRepository | None = None,
) -> ArgoCD:
    applications = ClusterApplications(
        kubernetes,
        namespace=settings.namespace,
        with_rollouts=settings.rollouts,
        removal_wait_seconds=settings.removal_wait_seconds,
    )
    return ArgoCD(
        settings, applications, timing=kubernetes.timing, secrets=secrets or {}, repository=repository
    )


def connect_api(
    settings: Settings,
    secrets: Mapping[str, str],
    client: httpx.AsyncClient,
    *,
    timing: Timing | None = None,
    repository: GitopsRepository | None = None,
) -> ArgoCD:
    """`client.base_url` is Argo CD's address. Raises StartError where the token is missing."""
    timing = timing or Timing()
    token = secrets.get(settings.token, "").strip()
    if not token:
        raise StartError(
            "Argo CD: the token is missing.",
            fix=f"Set the environment variable {settings.token}, or {settings.token}_FILE to a file that holds it.",
        )
    http = Http(client, ArgoDialect(token), breaker=Breaker(BACKEND), timing=timing)
    applications = ApiApplications(
        http,
        namespace=settings.namespace,
        project=settings.project,
        with_rollouts=settings.rollouts,
        removal_wait_seconds=settings.removal_wait_seconds,
    )
    return ArgoCD(settings, applications, timing=timing, secrets=secrets, repository=repository)


@asynccontextmanager
async def open(settings: Settings, surroundings: Surroundings) -> AsyncIterator[ArgoCD]:  # noqa: A001 - the port's word
    """Raises StartError for a kubeconfig, a certificate or a token that is missing; Argo CD itself may be away."""
    with open_repository(settings, surroundings) as repository:
        if settings.mode == "cluster":
            kubeconfig = surroundings.base_folder / settings.kubeconfig if settings.kubeconfig else None
            cluster = find_cluster(kubeconfig=kubeconfig, context=settings.context, environment=os.environ)
            async with open_kubernetes(cluster) as kubernetes:
                yield connect_cluster(
                    settings, kubernetes, secrets=surroundings.secrets, repository=repository
                )
            return
        tls = _tls(surroundings.base_folder / settings.ca_file if settings.ca_file else None)
        async with httpx.AsyncClient(base_url=settings.base_url or "", verify=tls) as client:
            yield connect_api(settings, surroundings.secrets, client, repository=repository)


def _tls(file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(file) if file else None)
    except OSError as error:
        raise StartError(f"Argo CD: {file} cannot be read: {error}", fix="Check `ca_file`.") from error
