"""An AppProject: what it lets in, and when. Argo CD's controller enforces it after the fact; the bot says it before. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from integrations import _argocd_windows as windows
from integrations._argocd_globs import matches
from integrations._argocd_shapes import BACKEND, ArgoApplication
from integrations._http import unreadable
from integrations.ports import ClosedWindow


@dataclass(frozen=True)
class Project:
    name: str
    repositories: tuple[str, ...]
    destinations: tuple[Mapping[str, Any], ...]
    windows: tuple[Mapping[str, Any], ...]


def parse_project(body: Any) -> Project:
    """Raises TemporaryBackendError for what is no AppProject."""
    try:
        spec = body.get("spec") or {}
        return Project(
            name=str(body["metadata"]["name"]),
            repositories=tuple(str(each) for each in spec.get("sourceRepos") or ()),
            destinations=tuple(dict(each) for each in spec.get("destinations") or ()),
            windows=tuple(dict(each) for each in spec.get("syncWindows") or ()),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unreadable(BACKEND, f"no AppProject ({type(error).__name__})") from error


# ---------------------------------------------------------------- what it lets in


def refusals(project: Project, intent: Mapping[str, Any]) -> tuple[str, ...]:
    """Why Argo CD would not sync an Application of this intent, one line each."""
    spec = intent["spec"]
    repository, destination = str(spec["source"]["repoURL"]), spec["destination"]
    lines = []
    if repository and not _lets_in(project.repositories, _repository(repository), normal=_repository):
        lines.append(f"The project {project.name} does not let in the repository {repository}.")
    if not _may_go_to(project, destination):
        where = f"{destination['namespace']} of {destination['server']}"
        lines.append(f"The project {project.name} does not let anything into {where}.")
    return tuple(lines)


def _repository(url: str) -> str:
    """Argo CD compares addresses without case and `.git`."""
    return url.strip().lower().removesuffix("/").removesuffix(".git")


def _lets_in(patterns: tuple[str, ...], name: str, *, normal: Any) -> bool:
    denied = [normal(each[1:]) for each in patterns if each.startswith("!")]
    allowed = [normal(each) for each in patterns if not each.startswith("!")]
    if any(matches(each, name, separator="/") for each in denied):
        return False
    return any(each == "*" or matches(each, name, separator="/") for each in allowed)


def _may_go_to(project: Project, destination: Mapping[str, Any]) -> bool:
    """A destination by the cluster's name is not judged: which address that is, the bot does not know."""
    found = False
    for each in project.destinations:
        server, namespace = str(each.get("server") or ""), str(each.get("namespace") or "")
        if not server and each.get("name"):
            found = found or matches(namespace.lstrip("!"), destination["namespace"])
            continue
        denies = server.startswith("!") or namespace.startswith("!")
        if matches(server.lstrip("!"), destination["server"]) and matches(
            namespace.lstrip("!"), destination["namespace"]
        ):
            if denies:
                return False
            found = True
    return found


# ---------------------------------------------------------------- and when


def closed_window(project: Project, app: ArgoApplication, now: datetime) -> ClosedWindow | None:
    """None: a sync may begin now."""
    target = windows.Target(app.name, app.destination_namespace, app.destination_clusters)
    try:
        applying = windows.windows_of(project.windows, target)
    except (ValueError, TypeError, AttributeError) as error:
        return ClosedWindow(f"a sync window of the project {project.name} cannot be read: {error}")
    closing = windows.closing(applying, now)
    if not closing:
        return None
    said = "; ".join(each.text for each in closing[:2])
    return ClosedWindow(
        f"closed by a sync window of the project {project.name} ({said})", windows.opens_at(applying, now)
    )
