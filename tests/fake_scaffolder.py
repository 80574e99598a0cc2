"""Backstage's scaffolder at the transport: templates, tasks that a worker takes later, logs, and every way to fail.

Behaves as `@backstage/plugin-scaffolder-backend` 4.2.0 does (read from its router): permission before template, values held against
the template's JSON Schema, creating is not idempotent, events are held back until there is one.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from fake_backstage import TOKEN, Clock, refused
from jsonschema import Draft202012Validator
from openapi_held import Description

from integrations._http import Timing

BASE = "/api/scaffolder"
DESCRIPTION = Description.read("backstage_scaffolder_openapi.json")
START = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


def template(name: str = "node-microservice", **properties: Any) -> dict[str, Any]:
    asked = properties or {
        "name": {"type": "string", "title": "Name", "pattern": "^[a-z-]+$"},
        "owner": {"type": "string"},
        "port": {"type": "integer", "default": 8080},
    }
    return {
        "apiVersion": "scaffolder.backstage.io/v1beta3",
        "kind": "Template",
        "metadata": {"name": name, "namespace": "default", "title": "Node microservice", "description": ""},
        "spec": {
            "parameters": [{"title": "About", "required": ["name"], "properties": asked}],
            "steps": [{"id": "fetch", "name": "Fetch", "action": "fetch:template"}],
            "output": {},
        },
    }


@dataclass
class FakeScaffolder:
    """`lost`: this many POSTs of tasks are executed and their answers never arrive."""

    templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    permissions: set[str] | None = None
    lost: int = 0
    answers: list[Callable[[httpx.Request], httpx.Response]] = field(default_factory=list)
    """What happens to the next requests instead."""
    clock: Clock = field(default_factory=Clock)
    calls: list[str] = field(default_factory=list)

    def timing(self) -> Timing:
        return Timing(
            monotonic=lambda: self.clock.seconds, now=self.now, sleep=self.clock.sleep, jitter=lambda: 0.5
        )

    def now(self) -> datetime:
        return START + timedelta(seconds=self.clock.seconds)

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._handle)

    # ------------------------------------------------------------ what a worker does

    def begin(self, number: int = -1) -> str:
        task = self.tasks[number]
        task["status"] = "processing"
        self.log(task["id"], "log", message="Starting up task with 1 steps")
        self.log(task["id"], "log", message="Beginning step Fetch", stepId="fetch", status="processing")
        return str(task["id"])

    def end(self, status: str, number: int = -1, **body: Any) -> None:
        task = self.tasks[number]
        task["status"] = status
        kind = "cancelled" if status == "cancelled" else "completion"
        self.log(task["id"], kind, message=f"Run completed with status: {status}", **body)

    def log(self, task_id: str, kind: str, **body: Any) -> None:
        kept = self.events.setdefault(task_id, [])
        event = {"id": len(kept), "taskId": task_id, "type": kind, "body": body}
        kept.append({**event, "createdAt": self.now().isoformat()})

    # ------------------------------------------------------------ the transport

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.calls.append(f"{request.method} {path}")
        if self.answers:
            return self.answers.pop(0)(request)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return refused(401, "AuthenticationError", "Illegal token")
        if path.startswith("/api/catalog"):
            return self._catalog(path)
        path = path.removeprefix(BASE)
        operation = DESCRIPTION.operation(request, path)
        response = self._scaffolder(request, path)
        # Refusals come from the error handler around the router, which the description leaves out.
        if response.status_code < 300:
            DESCRIPTION.hold(operation, response)
        if request.method == "POST" and path == "/v2/tasks" and self.lost and response.status_code == 201:
            self.lost -= 1
            raise httpx.ReadError("connection reset by peer", request=request)
        return response

    def _catalog(self, path: str) -> httpx.Response:
        if path.endswith("/by-query"):
            items = [self.templates[name] for name in sorted(self.templates)]
            return httpx.Response(200, json={"items": items, "totalItems": len(items), "pageInfo": {}})
        name = path.rpartition("/")[2]
        if name in self.templates:
            return httpx.Response(200, json=self.templates[name])
        return refused(404, "NotFoundError", f"No entity named '{name}' found")

    def _may(self, permission: str) -> bool:
        return self.permissions is None or permission in self.permissions

    def _scaffolder(self, request: httpx.Request, path: str) -> httpx.Response:
        parts = path.split("/")[3:]
        if request.method == "POST" and not parts:
            return self._create(json.loads(request.content))
        if not self._may("scaffolder.task.read"):
            return refused(403, "NotAllowedError", "")
        if not parts:
            params = request.url.params
            first, count = int(params.get("offset", "0")), int(params["limit"])
            newest = list(reversed(self.tasks))
            page = newest[first : first + count]
            return httpx.Response(200, json={"tasks": page, "totalTasks": len(newest)})
        task = next((one for one in self.tasks if one["id"] == parts[0]), None)
        if task is None:
            return refused(404, "NotFoundError", f"No task with id '{parts[0]}' found")
        if parts[1:] == ["events"]:
            if not self.events.get(task["id"]):
                raise httpx.ReadTimeout("held back until there is an event", request=request)
            return httpx.Response(200, json=self.events[task["id"]])
        if parts[1:] == ["cancel"]:
            self.end("cancelled", self.tasks.index(task))
            return httpx.Response(200, json={"status": "cancelled"})
        return httpx.Response(200, json=task)

    def _create(self, body: dict[str, Any]) -> httpx.Response:
        if not self._may("scaffolder.task.create"):
            return refused(403, "NotAllowedError", "")
        name = body["templateRef"].rpartition("/")[2]
        if name not in self.templates:
            return refused(404, "NotFoundError", f"Template template:default/{name} not found")
        for schema in self.templates[name]["spec"]["parameters"]:
            errors = [
                _validation_error(one, body["values"])
                for one in Draft202012Validator(schema).iter_errors(body["values"])
            ]
            if errors:
                return httpx.Response(400, json={"errors": errors})
        task = {
            "id": str(uuid.uuid4()),
            "spec": {"parameters": body["values"]},
            "status": "open",
            "createdAt": self.now().isoformat(),
        }
        self.tasks.append(task)
        return httpx.Response(201, json={"id": task["id"]})


def _validation_error(error: Any, values: Any) -> dict[str, Any]:
    """As the npm package jsonschema words it."""
    place = ".".join(["instance", *map(str, error.path)])
    return {
        "path": [str(one) for one in error.path],
        "property": place,
        "message": error.message,
        "instance": values,
        "name": error.validator,
        "argument": error.validator_value,
        "stack": f"{place} {error.message}",
    }
