"""Whose an Application is, and the refusals that follow from it. Pure."""

from __future__ import annotations

from bot.errors import BackendErrorKind, PermanentBackendError
from integrations._argocd_shapes import BACKEND, ArgoApplication
from integrations._argocd_state import not_ready
from integrations.ports import ApplicationSpec


def no_project(project: str, team: str) -> str:
    return f"Argo CD has no project {project} for the team {team}."


def taken(spec: ApplicationSpec) -> str:
    return f"An application {spec.name} exists already and is not of this request."


def is_ours(found: ArgoApplication, spec: ApplicationSpec, request_id: str) -> bool:
    return found.is_of(spec.service, spec.environment) and found.request_id == request_id


def require_adoptable(found: ArgoApplication, spec: ApplicationSpec, request_id: str) -> None:
    if not is_ours(found, spec, request_id):
        raise refuse(taken(spec), BackendErrorKind.ALREADY_EXISTS, fix="Choose another name.")
    if found.is_deleting:
        raise not_ready(f"The application {spec.name} is still being removed.")


def refuse(message: str, kind: BackendErrorKind, *, fix: str | None = None) -> PermanentBackendError:
    return PermanentBackendError(message, backend=BACKEND, kind=kind, fix=fix)
