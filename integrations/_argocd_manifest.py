"""What the bot writes into Argo CD: the Application's intent, and one operation on it. Pure.

The intent never holds `operation` or `status`: applied, they would be fired or owned again. An environment that follows nothing
is pinned to the commit it was last given, so that a click on *Sync* in Argo CD cannot deploy what nobody approved, and so that
going back to an older commit leaves nothing out of sync.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from integrations import _argocd_shapes as shapes
from integrations._argocd_shapes import ArgoApplication, Asked
from integrations.ports import ApplicationSpec

API_VERSION: Final = "argoproj.io/v1alpha1"
_COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@dataclass(frozen=True)
class Placement:
    """Where Applications and their workloads go. Templates know {service}, {team} and {environment}."""

    namespace: str
    project: str
    destination_namespace: str
    path: str
    server: str
    servers: Mapping[str, str] = field(default_factory=dict)
    sync_options: tuple[str, ...] = ()
    prune: bool = True

    def project_of(self, team: str) -> str:
        return self.project.format(team=team)


def application_intent(
    spec: ApplicationSpec, placement: Placement, *, request_id: str, found: ArgoApplication | None
) -> dict[str, Any]:
    """The whole of what the bot wants to hold. `found` is the bot's own Application, whose pin is kept."""
    names = {"service": spec.service, "team": spec.team, "environment": spec.environment}
    return {
        "apiVersion": API_VERSION,
        "kind": "Application",
        "metadata": {
            "name": spec.name,
            "namespace": placement.namespace,
            "labels": {
                shapes.MANAGED_BY_LABEL: shapes.MANAGED_BY,
                shapes.SERVICE_LABEL: spec.service,
                shapes.ENVIRONMENT_LABEL: spec.environment,
                shapes.TEAM_LABEL: spec.team,
            },
            "annotations": {shapes.REQUEST_ANNOTATION: request_id},
        },
        "spec": {
            "project": placement.project_of(spec.team),
            "source": {
                "repoURL": spec.repository_url,
                "targetRevision": _target(spec, found),
                "path": placement.path.format(**names),
            },
            "destination": {
                "server": placement.servers.get(spec.environment, placement.server),
                "namespace": placement.destination_namespace.format(**names),
            },
            "syncPolicy": _policy(spec, placement),
        },
    }


def _target(spec: ApplicationSpec, found: ArgoApplication | None) -> str:
    if spec.follows is not None:
        return spec.follows
    if found is not None and _COMMIT.fullmatch(found.target_revision):
        return found.target_revision
    return spec.release_ref


def _policy(spec: ApplicationSpec, placement: Placement) -> dict[str, Any]:
    policy: dict[str, Any] = {"syncOptions": list(placement.sync_options)} if placement.sync_options else {}
    if spec.follows is not None:
        policy["automated"] = {"prune": placement.prune, "selfHeal": True}
    return policy


def new_operation(key: str, *, request_id: str, revision: str, actor: str) -> Asked:
    return Asked(key=key, request_id=request_id, revision=revision, actor=actor)


def operation_info(asked: Asked) -> list[dict[str, str]]:
    return [
        {"name": shapes.REQUEST_INFO, "value": asked.request_id},
        {"name": shapes.OPERATION_INFO, "value": asked.key},
    ]


def operation_patch(app: ArgoApplication, asked: Asked, *, prune: bool) -> dict[str, Any]:
    """One write, bound to what was read: the operation, its entry in the journal, and the pin.

    Sync options and retries of the spec are copied: Argo CD does not merge them into an operation written by hand.
    """
    sync: dict[str, Any] = {"revision": asked.revision, "prune": prune}
    if app.sync_options:
        sync["syncOptions"] = list(app.sync_options)
    operation: dict[str, Any] = {
        "initiatedBy": {"username": asked.actor},
        "info": operation_info(asked),
        "sync": sync,
    }
    if app.retry:
        operation["retry"] = dict(app.retry)
    patch = note_patch(app, asked)
    patch["metadata"]["resourceVersion"] = app.resource_version
    return {**patch, "operation": operation}


def note_patch(app: ArgoApplication, asked: Asked) -> dict[str, Any]:
    """The journal's entry and the pin alone: what goes before the call, where the call cannot carry them."""
    patch = journal_patch(shapes.journal_text(shapes.with_asked(app, asked)))
    if not app.is_automated:
        patch["spec"] = {"source": {"targetRevision": asked.revision}}
    return patch


def journal_patch(text: str) -> dict[str, Any]:
    return {"metadata": {"annotations": {shapes.JOURNAL_ANNOTATION: text}}}


def stop_patch(app: ArgoApplication) -> dict[str, Any]:
    """Takes away what has not begun, and asks what has begun to end."""
    locked = {"metadata": {"resourceVersion": app.resource_version}}
    if app.last is not None and app.last.is_under_way:
        return {**locked, "status": {"operationState": {"phase": "Terminating"}}}
    return {**locked, "operation": None}


def finalizers_with_cascade(app: ArgoApplication) -> list[str]:
    if any(each.startswith(shapes.FINALIZER) for each in app.finalizers):
        return list(app.finalizers)
    return [*app.finalizers, shapes.FINALIZER]
