"""What Argo CD's controller does to an Application, one step at a time: as asynchronous and as misleading as the real one.

An operation begins one step after it was asked for, ends one step later, and leaves the old health standing until a further
step looks again. Whoever holds the objects (a real API server, or the fake of Argo CD's own API) calls `step`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Object = dict[str, Any]
DONE = frozenset({"Succeeded", "Failed", "Error"})


@dataclass
class ArgoBrain:
    """`behaviour`: good, degraded, suspended, fail, nothing, hang, blocked, retry. `refs`: what the repository's refs are at."""

    refs: dict[str, str] = field(default_factory=dict)
    behaviour: str = "good"
    stuck: bool = False
    now: datetime = field(
        default_factory=lambda: datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    )
    begun: list[tuple[str, str]] = field(default_factory=list)
    """Key and revision of every operation that was begun, whoever asked."""
    looked: dict[str, int] = field(default_factory=dict)
    """How often each application was looked at since its last operation."""
    resources: list[Object] = field(default_factory=list)

    def step(self, before: Object) -> Object:
        self.now += timedelta(seconds=1)
        app = copy.deepcopy(before)
        if app["metadata"].get("deletionTimestamp"):
            if not self.stuck:
                app["metadata"]["finalizers"] = []
            return app
        status = app.setdefault("status", {})
        state = status.get("operationState")
        if app.get("operation") and (state is None or state["phase"] in DONE):
            self._begin(app, status)
        elif state is not None and state["phase"] not in DONE:
            self._continue(app, status, state)
        else:
            self._look(app, status)
        return app

    @property
    def _time(self) -> str:
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _begin(self, app: Object, status: Object) -> None:
        operation = app["operation"]
        info = {each["name"]: each["value"] for each in operation.get("info", [])}
        self.begun.append((info.get("operation", ""), operation["sync"].get("revision", "")))
        status["operationState"] = {
            "operation": operation,
            "phase": "Running",
            "startedAt": self._time,
            "message": "waiting for completion of hook",
        }

    def _continue(self, app: Object, status: Object, state: Object) -> None:
        if state["phase"] == "Terminating":
            self._end(app, state, "Failed", "Operation terminated")
        elif self.behaviour == "blocked":
            state["message"] = "Sync operation blocked by sync window"
        elif self.behaviour == "retry":
            state |= {
                "finishedAt": self._time,
                "message": "one or more objects failed to apply",
                "retryCount": 1,
            }
        elif self.behaviour == "fail":
            self._end(app, state, "Failed", "one or more objects failed to apply")
        elif self.behaviour == "nothing":
            state["syncResult"] = {"revision": "0" * 40}
            self._end(app, state, "Succeeded", "successfully synced (no tasks run)")
        elif self.behaviour != "hang":
            self._succeed(app, status, state)

    def _succeed(self, app: Object, status: Object, state: Object) -> None:
        revision = state["operation"]["sync"].get("revision") or self._target(app)
        state["syncResult"] = {"revision": revision}
        history = status.setdefault("history", [])
        history.append(
            {
                "id": history[-1]["id"] + 1 if history else 0,
                "revision": revision,
                "deployedAt": self._time,
                "deployStartedAt": state["startedAt"],
                "source": app["spec"]["source"],
                "initiatedBy": state["operation"].get("initiatedBy", {}),
            }
        )
        self.looked[app["metadata"]["name"]] = 0
        self._end(app, state, "Succeeded", "successfully synced (all tasks run)")

    def _end(self, app: Object, state: Object, phase: str, message: str) -> None:
        state |= {"phase": phase, "message": message, "finishedAt": self._time}
        app.pop("operation", None)

    def _look(self, app: Object, status: Object) -> None:
        name = app["metadata"]["name"]
        app["metadata"].get("annotations", {}).pop("argocd.argoproj.io/refresh", None)
        target = self._target(app)
        live = status["history"][-1]["revision"] if status.get("history") else ""
        synced = "Unknown" if not target else "Synced" if live == target else "OutOfSync"
        status["sync"] = {"status": synced, "comparedTo": _compared(app)}
        if target:
            status["sync"]["revision"] = target
        status["conditions"] = (
            []
            if target
            else [{"type": "ComparisonError", "message": "unable to resolve 'release' to a commit"}]
        )
        status["health"] = {"status": self._health(name, live), "lastTransitionTime": self._time}
        status["reconciledAt"] = self._time
        status["resources"] = self.resources
        self.looked[name] = self.looked.get(name, 0) + 1
        automated = app["spec"].get("syncPolicy", {}).get("automated")
        tried = (status.get("operationState") or {}).get("operation", {}).get("sync", {}).get("revision")
        if automated is not None and synced == "OutOfSync" and tried != target:
            app["operation"] = {"initiatedBy": {"automated": True}, "sync": {"revision": target}}

    def _health(self, name: str, live: str) -> str:
        # An application without objects is healthy to Argo CD, and one just rolled out is progressing for a while.
        if not live or self.looked.get(name, 9) > 0:
            return {"degraded": "Degraded", "suspended": "Suspended"}.get(self.behaviour, "Healthy")
        return "Progressing"

    def _target(self, app: Object) -> str:
        wanted = app["spec"]["source"].get("targetRevision", "HEAD")
        return wanted if len(wanted) == 40 else self.refs.get(wanted, "")


def _compared(app: Object) -> Object:
    return {"source": app["spec"]["source"], "destination": app["spec"]["destination"]}
