"""Argo CD through its own REST API, with a token of its own: for clusters the bot does not reach, and for rights by its policy.

Its sync call cannot carry the journal's entry, so the entry is written before the call. A call that was refused for certain takes
its entry back; one whose answer was lost leaves it, and what Argo CD shows decides. The server reads through a cache: an answer
to a write is newer than the next read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations import _argocd_manifest as manifest
from integrations import _argocd_shapes as shapes
from integrations._argocd_project import Project, parse_project
from integrations._argocd_rollouts import Rollout, parse_analysis, parse_rollout
from integrations._argocd_shapes import (
    BACKEND,
    ArgoApplication,
    Asked,
    JournalEntry,
    ResourceStatus,
    parse_application,
    parse_generator,
)
from integrations._argocd_state import BLOCKED_BY_WINDOW, not_ready
from integrations._http import Answer, Call, Http, retry_after_seconds, unreadable
from integrations.ports import AnalysisResult, Finding, Preview

ROOT: Final = "/api/v1"
POLL_SECONDS: Final = 1.0
RENDER_SECONDS: Final = 60.0
"""Argo CD's repository server fetches and renders before it answers."""
CHECKED_PROJECTS: Final = 20
RIGHTS: Final = ("get", "create", "update", "sync", "delete")

_BUSY: Final = "another operation is already in progress"
_DIFFERENT: Final = "existing application spec is different"


class SyncWindowError(TemporaryBackendError):
    """A sync window of the project forbids it now. The bot begins by itself when the window allows."""


@dataclass
class ArgoDialect:
    """What `_http` has to know of Argo CD."""

    token: str
    backend: str = BACKEND

    async def credentials(self, *, renew: bool) -> Mapping[str, str]:  # noqa: ARG002 - Argo CD's tokens are not renewed
        return {"Authorization": f"Bearer {self.token}"}

    def refusal(self, answer: Answer, now: datetime) -> BackendError:
        return refusal(answer, now)


def refusal(answer: Answer, now: datetime) -> BackendError:
    """`{error, message, code}`; the texts are those of Argo CD's server, codes are gRPC's mapped to HTTP."""
    message = _said(answer) or f"Argo CD answered {answer.status} without saying why."
    low = message.lower()
    if BLOCKED_BY_WINDOW in low:
        return SyncWindowError(message, backend=BACKEND, kind=BackendErrorKind.NOT_READY)
    if _BUSY in low:
        return not_ready(f"{message}.")
    if answer.status == 429 or answer.status >= 500 or answer.status == 408:
        limited = answer.status == 429
        return TemporaryBackendError(
            message,
            backend=BACKEND,
            kind=BackendErrorKind.RATE_LIMITED if limited else BackendErrorKind.UNAVAILABLE,
            retry_after_seconds=retry_after_seconds(answer.headers, now),
        )
    if answer.status == 409 and "has been modified" in low:
        return TemporaryBackendError(message, backend=BACKEND, kind=BackendErrorKind.CONFLICT)
    kind = _kind(answer.status, low)
    fix = (
        "`python -m bot check` says which policy line is missing."
        if kind is BackendErrorKind.DENIED
        else None
    )
    return PermanentBackendError(message, backend=BACKEND, kind=kind, fix=fix)


def _said(answer: Answer) -> str:
    try:
        body = answer.json()
    except ValueError:
        return ""
    return str(body.get("message") or body.get("error") or "") if isinstance(body, dict) else ""


def _kind(status: int, message: str) -> BackendErrorKind:
    if status in {401, 403}:
        return BackendErrorKind.DENIED
    if status == 404:
        return BackendErrorKind.NOT_FOUND
    if status == 409 or _DIFFERENT in message:
        return BackendErrorKind.ALREADY_EXISTS
    if "auto-sync currently set to" in message or "is deleting" in message:
        return BackendErrorKind.CONFLICT
    return BackendErrorKind.INVALID


class ApiApplications:
    def __init__(
        self, http: Http, *, namespace: str, project: str, with_rollouts: bool, removal_wait_seconds: float
    ) -> None:
        self._http = http
        self._namespace = namespace
        self._project = project
        self._with_rollouts = with_rollouts
        self._removal_wait_seconds = removal_wait_seconds

    # ------------------------------------------------------------ reading

    async def find(self, service: str, environment: str) -> ArgoApplication | None:
        """By our labels: without its project, a read by name cannot tell a missing application from a forbidden one."""
        found = await self._list(f"{shapes.SERVICE_LABEL}={service},{shapes.ENVIRONMENT_LABEL}={environment}")
        return next((each for each in found if each.name == f"{service}-{environment}"), None)

    async def find_ours(self) -> Sequence[ArgoApplication]:
        return await self._list(f"{shapes.MANAGED_BY_LABEL}={shapes.MANAGED_BY}")

    async def _list(self, selector: str) -> list[ArgoApplication]:
        params = {"selector": selector, "appNamespace": self._namespace}
        body = await self._json(Call("GET", f"{ROOT}/applications", params=params))
        if "items" not in body:
            raise unreadable(BACKEND, "no list of Applications")
        return [parse_application(each) for each in body["items"] or ()]

    async def project(self, name: str) -> Project | None:
        answer = await self._http.send(
            Call("GET", f"{ROOT}/projects/{_quoted(name)}", accept=frozenset({404}))
        )
        return parse_project(_object(answer)) if answer.status != 404 else None

    async def generator_trouble(self, name: str) -> str:
        params = {"appsetNamespace": self._namespace}
        call = Call("GET", f"{ROOT}/applicationsets/{_quoted(name)}", params=params, accept=frozenset({404}))
        answer = await self._http.send(call)
        return parse_generator(_object(answer) if answer.status != 404 else None, name)

    async def is_blocked(self, app: ArgoApplication) -> bool:
        body = await self._json(Call("GET", _path(app, "syncwindows"), params=self._of(app)))
        windows = body.get("activeWindows") or body.get("assignedWindows")
        return bool(windows) and body.get("canSync") is not True

    async def unhealthy(self, app: ArgoApplication) -> tuple[str, ...]:
        body = await self._json(Call("GET", _path(app, "resource-tree"), params=self._of(app)))
        lines = []
        for node in body.get("nodes") or ():
            health = node.get("health") or {}
            if health.get("status") in {"Degraded", "Missing", "Unknown"}:
                why = health.get("message") or str(health["status"]).lower()
                lines.append(f"{node.get('kind', 'Object')} {node.get('name', '?')}: {why}")
        return tuple(lines)

    async def rollout(self, app: ArgoApplication, resource: ResourceStatus) -> Rollout | None:
        if not self._with_rollouts:
            return None
        found = await self._live(app, _reference("Rollout", resource.namespace, resource.name))
        return parse_rollout(found) if found is not None else None

    async def analysis(self, rollout: Rollout, app: ArgoApplication, name: str) -> AnalysisResult | None:
        found = await self._live(app, _reference("AnalysisRun", rollout.namespace, name))
        return parse_analysis(found) if found is not None else None

    async def _live(self, app: ArgoApplication, reference: Mapping[str, str]) -> Any:
        """One object of the application as its cluster has it; None: there is none any more."""
        params = {**self._of(app), **reference}
        call = Call("GET", _path(app, "resource"), params=params, accept=frozenset({404}))
        answer = await self._http.send(call)
        if answer.status == 404:
            return None
        try:
            return json.loads(_object(answer)["manifest"])
        except (KeyError, TypeError, ValueError) as error:
            raise unreadable(BACKEND, "no manifest") from error

    # ------------------------------------------------------------ writing

    async def preview(self, intent: Mapping[str, Any]) -> Preview:  # noqa: ARG002 - there is nobody to show it to
        return Preview(
            unknown=("Argo CD's API has no dry run of an Application: admission policies speak at creation.",)
        )

    async def manifests(self, app: ArgoApplication, revision: str) -> Sequence[Mapping[str, Any]] | None:
        params = {**self._of(app), "revision": revision}
        call = Call("GET", _path(app, "manifests"), params=params, read_seconds=RENDER_SECONDS)
        try:
            return [dict(json.loads(each)) for each in (await self._json(call)).get("manifests") or ()]
        except (TypeError, ValueError) as error:
            raise unreadable(BACKEND, "no manifests") from error

    async def put(self, intent: Mapping[str, Any], found: ArgoApplication | None) -> ArgoApplication:
        """Never over somebody else's: only what was read and is ours is written with `upsert`."""
        body = json.loads(json.dumps(intent))
        if found is not None:
            annotations = body["metadata"]["annotations"]
            annotations[shapes.JOURNAL_ANNOTATION] = shapes.journal_text(found.journal)
            body["metadata"]["finalizers"] = list(found.finalizers)
        params = {"upsert": "true" if found is not None else "false", "validate": "false"}
        call = Call("POST", f"{ROOT}/applications", params=params, body=body, repeatable=True)
        return parse_application(await self._json(call))

    async def begin(self, app: ArgoApplication, asked: Asked, *, prune: bool) -> ArgoApplication | None:
        noted = await self._patch(app, manifest.note_patch(app, asked))
        body: dict[str, Any] = {
            **self._of(app),
            "name": app.name,
            "prune": prune,
            "infos": manifest.operation_info(asked),
        }
        if not app.is_automated:
            # Where the branch decides, only the branch may be named; it was compared before.
            body["revision"] = asked.revision
        try:
            return parse_application(await self._json(Call("POST", _path(app, "sync"), body=body)))
        except BackendError as error:
            if not _is_refused(error):
                raise
            await self.note(noted, shapes.without(noted, asked.key))
            if isinstance(error, SyncWindowError):
                return None
            raise

    async def note(self, app: ArgoApplication, journal: Sequence[JournalEntry]) -> None:
        await self._patch(app, manifest.journal_patch(shapes.journal_text(journal)))

    async def stop(self, app: ArgoApplication) -> None:
        call = Call("DELETE", _path(app, "operation"), params=self._of(app), accept=frozenset({400, 404}))
        await self._http.send(call)

    async def refresh(self, app: ArgoApplication) -> None:
        # Not `?refresh=normal`: that read would not answer before the controller has looked.
        await self._patch(app, {"metadata": {"annotations": {shapes.REFRESH_ANNOTATION: "normal"}}})

    async def remove(self, app: ArgoApplication) -> None:
        params = {**self._of(app), "cascade": "true", "propagationPolicy": "foreground"}
        if not app.is_deleting:
            await self._http.send(
                Call("DELETE", _path(app), params=params, accept=frozenset({404}), repeatable=True)
            )
        left: ArgoApplication | None = app
        for _ in range(max(1, int(self._removal_wait_seconds / POLL_SECONDS))):
            left = await self.find(app.service, app.environment)
            if left is None or left.uid != app.uid:
                return
            await self._http.wait(POLL_SECONDS)
        held = ", ".join(left.finalizers) if left is not None else ""
        raise not_ready(f"Application {app.name} is still being removed; held by {held or 'nobody'}.")

    async def _patch(self, app: ArgoApplication, patch: Mapping[str, Any]) -> ArgoApplication:
        body = {**self._of(app), "name": app.name, "patch": json.dumps(patch), "patchType": "merge"}
        return parse_application(await self._json(Call("PATCH", _path(app), body=body, repeatable=True)))

    async def resume(self, app: ArgoApplication, rollout: Rollout) -> None:
        await self._act(app, rollout, "resume")

    async def abort(self, app: ArgoApplication, rollout: Rollout) -> None:
        await self._act(app, rollout, "abort")

    async def _act(self, app: ArgoApplication, rollout: Rollout, action: str) -> None:
        body = {
            **self._of(app),
            **_reference("Rollout", rollout.namespace, rollout.name),
            "name": app.name,
            "action": action,
        }
        await self._http.send(Call("POST", _path(app, "resource/actions/v2"), body=body))

    def _of(self, app: ArgoApplication) -> dict[str, str]:
        return {"project": app.project, "appNamespace": self._namespace}

    async def _json(self, call: Call) -> dict[str, Any]:
        return _object(await self._http.send(call))

    # ------------------------------------------------------------ check

    def breaker_state(self) -> str:
        return self._http.breaker_state()

    async def check(self) -> Sequence[Finding]:
        try:
            return await self._probe()
        except BackendError as error:
            return [Finding("Argo CD", ok=False, detail=error.message, fix=error.fix or "Check `base_url`.")]

    async def _probe(self) -> list[Finding]:
        who = await self._json(Call("GET", f"{ROOT}/session/userinfo"))
        if who.get("loggedIn") is not True:
            fix = "Make a token: argocd account generate-token --account platform-bot"
            return [Finding("Argo CD", ok=False, detail="the token is not accepted", fix=fix)]
        name = str(who.get("username") or "platform-bot")
        findings = [Finding("Argo CD", ok=True, detail=f"logged in as {name}")]
        projects = await self._projects()
        if not projects:
            line = f"p, {name}, projects, get, *, allow"
            return [
                *findings,
                Finding("Argo CD: projects", ok=False, detail="none can be seen", fix=f"Add: {line}"),
            ]
        for project in projects:
            findings += [await self._probe_right(name, project, right) for right in RIGHTS]
        return [*findings, _about_rollouts(name)] if self._with_rollouts else findings

    async def _projects(self) -> list[str]:
        """A fixed project, or those that can be seen and hold applications of teams."""
        if "{" not in self._project:
            return [self._project]
        body = await self._json(Call("GET", f"{ROOT}/projects"))
        names = [str(each["metadata"]["name"]) for each in body.get("items") or ()]
        return [each for each in names if each != "default"][:CHECKED_PROJECTS]

    async def _probe_right(self, name: str, project: str, right: str) -> Finding:
        target = f"{ROOT}/account/can-i/applications/{_quoted(right)}/{_quoted(project)}/*"
        allowed = (await self._json(Call("GET", target))).get("value") == "yes"
        line = f"p, {name}, applications, {right}, {project}/*, allow"
        fix = "" if allowed else f"Add to policy.csv in argocd-rbac-cm: {line}"
        return Finding(
            f"Argo CD: {right} in {project}", ok=allowed, detail="" if allowed else "not allowed", fix=fix
        )


def _about_rollouts(name: str) -> Finding:
    """An action's name holds slashes, which that question's path has no room for."""
    line = f"p, {name}, applications, action/argoproj.io/Rollout/*, */*, allow"
    return Finding("Argo CD: steering canaries", ok=True, detail=f"cannot be asked beforehand; needs: {line}")


def _is_refused(error: BackendError) -> bool:
    """Whether Argo CD answered that it did not do it; without an answer it may have."""
    return isinstance(error, PermanentBackendError) or error.kind in {
        BackendErrorKind.NOT_READY,
        BackendErrorKind.RATE_LIMITED,
    }


def _reference(kind: str, namespace: str, name: str) -> dict[str, str]:
    return {
        "namespace": namespace,
        "resourceName": name,
        "group": "argoproj.io",
        "version": "v1alpha1",
        "kind": kind,
    }


def _path(app: ArgoApplication, tail: str = "") -> str:
    return f"{ROOT}/applications/{_quoted(app.name)}" + (f"/{tail}" if tail else "")


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _object(answer: Answer) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError as error:
        raise unreadable(BACKEND, "not JSON") from error
    if not isinstance(body, dict):
        raise unreadable(BACKEND, "JSON, but no object")
    return body
