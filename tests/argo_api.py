"""Argo CD's own REST API, played at the transport: what it stores, refuses and says, in its words. `ArgoBrain` is its controller."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import httpx
from argo_brain import DONE, ArgoBrain, Object

TOKEN = "argo-token-1"


class RefusedError(Exception):
    """Argo CD's error body: gRPC's code beside the HTTP status."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.answer = httpx.Response(status, json={"error": message, "code": code, "message": message})


class ArgoApi(httpx.AsyncBaseTransport):
    """`lose` executes and gives no answer, `instead` answers without executing."""

    def __init__(self, brain: ArgoBrain) -> None:
        self.brain = brain
        self.apps: dict[str, Object] = {}
        self.projects: dict[str, Object] = {"orders": {"sourceRepos": ["*"]}, "default": {}}
        self.rollouts: dict[str, Object] = {}
        self.analyses: dict[str, Object] = {}
        self.tree: list[Object] = []
        self.windows: Object = {}
        self.denied: set[str] = set()
        self.seen: list[httpx.Request] = []
        self.before: Callable[[httpx.Request], Awaitable[None]] = _nothing
        self.lose: Callable[[httpx.Request], bool] = lambda _: False
        self.instead: Callable[[httpx.Request], httpx.Response | None] = lambda _: None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self.before(request)
        self.seen.append(request)
        instead = self.instead(request)
        if instead is not None:
            return instead
        try:
            answer = self._answer(request)
        except RefusedError as refused:
            answer = refused.answer
        if self.lose(request):
            raise httpx.ReadError("the answer was lost")
        return answer

    def step(self) -> None:
        for name, app in list(self.apps.items()):
            after = self.brain.step(app)
            if after["metadata"].get("deletionTimestamp") and not after["metadata"].get("finalizers"):
                del self.apps[name]
            else:
                self.apps[name] = after

    # ------------------------------------------------------------ routes

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise RefusedError(401, 16, "invalid session: token signature is invalid")
        parts = [unquote(each) for each in request.url.raw_path.decode().partition("?")[0].split("/")[3:]]
        body = json.loads(request.content) if request.content else {}
        query = dict(request.url.params)
        if parts[0] == "applications":
            return self._applications(request.method, parts[1:], query, body)
        if parts[0] == "applicationsets":
            raise RefusedError(404, 5, f'applicationsets.argoproj.io "{parts[1]}" not found')
        if parts[0] == "projects":
            return self._projects(parts[1:])
        if parts == ["session", "userinfo"]:
            return _ok({"loggedIn": True, "username": "platform-bot"})
        if parts[:2] == ["account", "can-i"]:
            return _ok({"value": "no" if parts[3] in self.denied else "yes"})
        raise RefusedError(404, 5, "Not Found")

    def _projects(self, parts: list[str]) -> httpx.Response:
        if not parts:
            return _ok({"items": [{"metadata": {"name": each}} for each in sorted(self.projects)]})
        if parts[0] not in self.projects:
            raise RefusedError(404, 5, f'appprojects.argoproj.io "{parts[0]}" not found')
        return _ok({"metadata": {"name": parts[0]}, "spec": self.projects[parts[0]]})

    def _applications(self, method: str, parts: list[str], query: Object, body: Object) -> httpx.Response:
        if not parts:
            return self._list(query) if method == "GET" else self._create(query, body)
        project = (body or query).get("project")
        app = self.apps.get(parts[0])
        if app is None and project in self.projects:
            raise RefusedError(404, 5, f'applications.argoproj.io "{parts[0]}" not found')
        # Without its project a missing application cannot be told from a forbidden one.
        if app is None or project != app["spec"]["project"]:
            raise RefusedError(403, 7, "permission denied")
        if len(parts) == 1:
            return self._one(method, app, query, body)
        match method, parts[1:]:
            case "POST", ["sync"]:
                return self._sync(app, body)
            case "DELETE", ["operation"]:
                return self._terminate(app)
            case "GET", ["manifests"]:
                return _ok(
                    {
                        "manifests": [
                            json.dumps({"kind": "ConfigMap", "metadata": {"name": query["revision"]}})
                        ]
                    }
                )
            case "GET", ["syncwindows"]:
                return _ok(self.windows)
            case "GET", ["resource-tree"]:
                return _ok({"nodes": self.tree})
            case "GET", ["resource"]:
                return self._resource(query)
            case "POST", ["resource", "actions", "v2"]:
                return self._act(body)
        raise RefusedError(404, 5, "Not Found")

    def _one(self, method: str, app: Object, query: Object, body: Object) -> httpx.Response:
        if method == "PATCH":
            return self._patch(app, json.loads(body["patch"]))
        if method == "DELETE":
            return self._delete(app, query)
        return _ok(app)

    def _list(self, query: Object) -> httpx.Response:
        wanted = dict(each.split("=") for each in query["selector"].split(","))
        found = [
            each
            for each in self.apps.values()
            if wanted.items() <= each["metadata"].get("labels", {}).items()
        ]
        return _ok({"items": found or None, "metadata": {}})

    def _create(self, query: Object, body: Object) -> httpx.Response:
        name = body["metadata"]["name"]
        known = self.apps.get(name)
        if known is not None:
            kept = {**known["metadata"].get("annotations", {})}
            same = known["spec"] == body["spec"] and kept == body["metadata"].get("annotations")
            if not same and query.get("upsert") != "true":
                raise RefusedError(
                    400, 3, "existing application spec is different, use upsert flag to force update"
                )
            known["spec"] = body["spec"]
            known["metadata"]["annotations"] = {**kept, **body["metadata"].get("annotations", {})}
            return _ok(known)
        body = copy.deepcopy(body)
        body.pop("operation", None)
        body["metadata"] |= {"uid": uuid.uuid4().hex, "resourceVersion": "1"}
        self.apps[name] = body
        return _ok(body)

    def _patch(self, app: Object, patch: Object) -> httpx.Response:
        assert patch.keys() <= {"metadata", "spec"}, "the server takes over nothing else"
        metadata = patch.get("metadata", {})
        app["metadata"].setdefault("annotations", {}).update(metadata.get("annotations", {}))
        merge(app["spec"], patch.get("spec", {}))
        return _ok(app)

    def _delete(self, app: Object, query: Object) -> httpx.Response:
        assert query["cascade"] == "true"
        app["metadata"] |= {
            "deletionTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": ["resources-finalizer.argocd.argoproj.io"],
        }
        return _ok({})

    def _sync(self, app: Object, body: Object) -> httpx.Response:
        if app["metadata"].get("deletionTimestamp"):
            raise RefusedError(400, 9, "application is deleting")
        if self.windows and not self.windows.get("canSync"):
            raise RefusedError(403, 7, "cannot sync: blocked by sync window")
        target = app["spec"]["source"]["targetRevision"]
        automated = app["spec"].get("syncPolicy", {}).get("automated") is not None
        revision = body.get("revision", "")
        if automated and revision not in {"", target}:
            raise RefusedError(400, 9, f"Cannot sync to {revision}: auto-sync currently set to {target}")
        state = app.get("status", {}).get("operationState")
        if app.get("operation") or (state and state["phase"] not in DONE):
            raise RefusedError(400, 9, "another operation is already in progress")
        app["operation"] = {
            "initiatedBy": {"username": "platform-bot"},
            "info": body.get("infos", []),
            "sync": {
                "revision": revision or self.brain.refs.get(target, ""),
                "prune": body.get("prune", False),
            },
        }
        app.setdefault("status", {})["operationState"] = None
        return _ok(app)

    def _terminate(self, app: Object) -> httpx.Response:
        state = app.get("status", {}).get("operationState")
        if not app.get("operation") or not state:
            raise RefusedError(400, 3, "Unable to terminate operation. No operation is in progress")
        state["phase"] = "Terminating"
        return _ok({})

    def _resource(self, query: Object) -> httpx.Response:
        held = {"Rollout": self.rollouts, "AnalysisRun": self.analyses}[query["kind"]]
        found = held.get(query["resourceName"])
        if found is None:
            raise RefusedError(404, 5, f"{query['kind']} not found as part of application")
        return _ok({"manifest": json.dumps(found)})

    def _act(self, body: Object) -> httpx.Response:
        status = self.rollouts[body["resourceName"]]["status"]
        if body["action"] == "resume":
            status["pauseConditions"] = None
        elif body["action"] == "abort":
            status["abort"] = True
        else:
            raise RefusedError(400, 3, f"action not found: {body['action']}")
        return _ok({})


def merge(target: Object, patch: Any) -> None:
    """RFC 7396."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value


async def _nothing(_: httpx.Request) -> None:
    pass


def _ok(body: Any) -> httpx.Response:
    return httpx.Response(200, json=body)
