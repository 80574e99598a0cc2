"""A Backstage catalog at the transport: processes later, forgets later, and can fail in every way a network can.

Behaves as `@backstage/plugin-catalog-backend` 4.0.0 does (read from its code): a dry run tells `exists` whoever asks, a token
that may not read sees empty lists, LIKE escapes nothing. Every request and answer is held against its published description.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx
from openapi_held import Description

from integrations._http import Timing

TOKEN = "a-static-token-of-32-characters!"
DESCRIPTION = Description.read("backstage_catalog_openapi.json")
BASE = "/api/catalog"


class Clock:
    """Moves only when somebody waits."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)

    def timing(self) -> Timing:
        return Timing(monotonic=lambda: self.seconds, sleep=self.sleep, jitter=lambda: 0.5)


@dataclass
class Fault:
    """What happens to the next `times` matching requests. `executed`: it is done, and the answer never arrives."""

    method: str
    happen: Callable[[httpx.Request], httpx.Response]
    executed: bool = False
    times: int = 1
    real: bool = True
    """Only what is no dry run."""

    def fits(self, request: httpx.Request) -> bool:
        dry = request.url.params.get("dryRun") == "true"
        return self.times > 0 and request.method == self.method and not (self.real and dry)


def lost(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("connection reset by peer", request=request)


def hangs(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("", request=request)


def broken(_request: httpx.Request) -> httpx.Response:
    return refused(500, "Error", "the database is away")


def garbage(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(201, text="<html>Sign in</html>")


def refused(status: int, name: str, message: str) -> httpx.Response:
    error = {"name": name, "message": message}
    body = {"error": error, "request": {"method": "", "url": ""}, "response": {"statusCode": status}}
    return httpx.Response(status, json=body)


def component(name: str = "orders", **annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": {
            "name": name,
            "description": "Takes orders",
            "annotations": {"platform.company.com/golden-path": "python-service", **annotations},
            "links": [{"url": f"https://github.com/acme/{name}", "title": "Repository"}],
        },
        "spec": {"type": "service", "lifecycle": "production", "owner": "group:default/orders"},
    }


@dataclass
class FakeBackstage:
    """`files`: what the code host has at a URL; a text is the error of reading it."""

    clock: Clock = field(default_factory=Clock)
    files: dict[str, dict[str, Any] | str] = field(default_factory=dict)
    locations: list[dict[str, str]] = field(default_factory=list)
    entities: list[tuple[float, float, dict[str, Any]]] = field(default_factory=list)
    """Visible from, visible until, entity."""
    faults: list[Fault] = field(default_factory=list)
    lag_seconds: float = 3.0
    forgets_seconds: float = 2.0
    read_only: bool = False
    permissions: frozenset[str] | None = None
    refreshes_by_default: bool = False
    """catalog.defaultLocationConflictStrategy: refresh."""
    old: bool = False
    """Knows no onConflict and does not tell `exists`."""
    calls: list[str] = field(default_factory=list)

    # ------------------------------------------------------------ what a test sees and sets

    def targets(self) -> list[str]:
        return [location["target"] for location in self.locations]

    def visible(self) -> list[dict[str, Any]]:
        now = self.clock.seconds
        return [entity for since, until, entity in self.entities if since <= now < until]

    def called(self, start: str) -> int:
        return sum(call.startswith(start) for call in self.calls)

    def emit(self, entity: Mapping[str, Any], *, file: str, origin: str, since: float = 0.0) -> None:
        """Put an entity there as a location, or a discovery provider, would."""
        copy = json.loads(json.dumps(entity))
        own = copy["metadata"].get("annotations", {})
        copy["metadata"] |= {
            "namespace": copy["metadata"].get("namespace", "default"),
            "uid": str(uuid.uuid4()),
            "etag": uuid.uuid4().hex,
            "annotations": {
                "backstage.io/managed-by-location": f"url:{file}",
                "backstage.io/managed-by-origin-location": f"url:{origin}",
                **own,
            },
        }
        owner = copy["spec"].get("owner")
        copy["relations"] = [{"type": "ownedBy", "targetRef": owner}] if owner else []
        self.entities.append((since, float("inf"), copy))

    def register(self, target: str) -> dict[str, str]:
        location = {
            "id": str(uuid.uuid4()),
            "type": "url",
            "target": target,
            "entityRef": f"location:default/generated-{uuid.uuid5(uuid.NAMESPACE_URL, target).hex}",
        }
        self.locations.append(location)
        self.emit(location_entity(target), file=target, origin=target, since=self.clock.seconds)
        file = self.files.get(target)
        if isinstance(file, dict):
            self.emit(file, file=target, origin=target, since=self.clock.seconds + self.lag_seconds)
        return location

    # ------------------------------------------------------------ the transport

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._handle)

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        path = request.url.path.removeprefix(BASE)
        assert request.url.path.startswith(BASE + "/")
        dry = " dry" if request.url.params.get("dryRun") == "true" else ""
        self.calls.append(f"{request.method} {path}{dry}")
        operation = DESCRIPTION.operation(request, path)
        fault = next((one for one in self.faults if one.fits(request)), None)
        if fault is not None:
            fault.times -= 1
            if fault.executed:
                self._answer(request, path)
            return fault.happen(request)
        response = self._answer(request, path)
        DESCRIPTION.hold(operation, response)
        return response

    def _may(self, permission: str) -> bool:
        return self.permissions is None or permission in self.permissions

    def _answer(self, request: httpx.Request, path: str) -> httpx.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return refused(401, "AuthenticationError", "Illegal token")
        if path == "/entities/by-query":
            return self._query(request.url.params)
        if path.startswith("/entities/by-name/"):
            return self._by_name(*map(unquote, path.split("/")[3:]))
        if request.method == "POST":
            return self._create(request)
        if request.method == "DELETE":
            return self._delete(path.rpartition("/")[2])
        seen = self.locations if self._may("catalog.location.read") else []
        return httpx.Response(200, json=[{"data": location} for location in seen])

    def _by_name(self, kind: str, namespace: str, name: str) -> httpx.Response:
        wanted = (kind.lower(), namespace.lower(), name.lower())
        for entity in self.visible() if self._may("catalog.entity.read") else []:
            if reference(entity) == wanted:
                return httpx.Response(200, json=entity)
        said = f"No entity named '{name}' found, with kind '{kind}' in namespace '{namespace}'"
        return refused(404, "NotFoundError", said)

    def _create(self, request: httpx.Request) -> httpx.Response:
        body, params = json.loads(request.content), request.url.params
        dry = params.get("dryRun") == "true"
        if self.read_only and not dry:
            return refused(403, "NotAllowedError", "This operation not allowed in readonly mode")
        if not self._may("catalog.location.create"):
            return refused(403, "NotAllowedError", "")
        if body["type"] != "url":
            return refused(400, "InputError", 'Registered locations must be of an allowed type ["url"]')
        target = body["target"]
        standing = next((one for one in self.locations if one["target"] == target), None)
        if dry:
            return self._dry_run(target, exists=standing is not None)
        default = "refresh" if self.refreshes_by_default else "reject"
        refresh = not self.old and params.get("onConflict", default) == "refresh"
        if standing is not None and not refresh:
            return refused(409, "ConflictError", f"Location url:{target} already exists")
        location = standing or self.register(target)
        return httpx.Response(201, json={"location": location, "entities": []})

    def _dry_run(self, target: str, *, exists: bool) -> httpx.Response:
        file = self.files.get(
            target, f"NotFoundError: Unable to read url, no matching files found for {target}"
        )
        if isinstance(file, str):
            return refused(400, "InputError", file)
        location = {"id": f"url:{target}", "type": "url", "target": target, "entityRef": "location:default/x"}
        entities = [location_entity(target), file]
        told = {} if self.old else {"exists": exists}
        return httpx.Response(201, json={**told, "location": location, "entities": entities})

    def _delete(self, location_id: str) -> httpx.Response:
        uuid.UUID(location_id)
        if self.read_only:
            return refused(403, "NotAllowedError", "This operation not allowed in readonly mode")
        if not self._may("catalog.location.delete"):
            return refused(403, "NotAllowedError", "")
        found = next((one for one in self.locations if one["id"] == location_id), None)
        if found is None:
            return refused(404, "NotFoundError", f"Found no location with ID {location_id}")
        self.locations.remove(found)
        origin, until = f"url:{found['target']}", self.clock.seconds + self.forgets_seconds
        self.entities = [
            (since, min(end, until) if origin_of(entity) == origin else end, entity)
            for since, end, entity in self.entities
        ]
        return httpx.Response(204)

    def _query(self, params: httpx.QueryParams) -> httpx.Response:
        asked = dict(params)
        if "cursor" in asked:
            asked = {**json.loads(bytes.fromhex(asked["cursor"])), "limit": asked.get("limit", "20")}
        limit, offset = int(asked.get("limit", "20")), int(asked.get("offset", "0"))
        found = [one for one in self.visible() if self._may("catalog.entity.read")]
        for statement in filter(None, asked.get("filter", "").split(",")):
            key, equals, value = statement.partition("=")
            # A key alone asks for whatever has it.
            found = [
                one
                for one in found
                if (str(at(one, key)).lower() == value.lower() if equals else at(one, key) != "")
            ]
        if term := asked.get("fullTextFilterTerm", ""):
            fields = asked["fullTextFilterFields"].split(",")
            found = [one for one in found if any(like(term, at(one, key)) for key in fields)]
        found.sort(key=lambda one: one["metadata"]["name"])
        pages: dict[str, str] = {}
        if offset + limit < len(found):
            state = {key: value for key, value in asked.items() if key != "limit"}
            state["offset"] = str(offset + limit)
            pages["nextCursor"] = json.dumps(state).encode().hex()
        items = found[offset : offset + limit]
        return httpx.Response(200, json={"items": items, "totalItems": len(found), "pageInfo": pages})


# ---------------------------------------------------------------- the catalog's rules


def location_entity(target: str) -> dict[str, Any]:
    return {
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Location",
        "metadata": {"name": f"generated-{uuid.uuid5(uuid.NAMESPACE_URL, target).hex}"},
        "spec": {"type": "url", "target": target},
    }


def reference(entity: Mapping[str, Any]) -> tuple[str, str, str]:
    meta = entity["metadata"]
    return entity["kind"].lower(), meta.get("namespace", "default").lower(), meta["name"].lower()


def origin_of(entity: Mapping[str, Any]) -> str:
    return str(entity["metadata"]["annotations"]["backstage.io/managed-by-origin-location"])


def at(entity: Any, path: str) -> Any:
    for part in path.split("."):
        entity = entity.get(part, "")
    return entity


def like(term: str, value: str) -> bool:
    """SQL's `value LIKE '%term%'`, wildcards included."""
    pattern, text = f"%{term.lower()}%", value.lower()
    reached = {0}
    for sign in pattern:
        if sign == "%":
            reached = set(range(min(reached, default=len(text) + 1), len(text) + 1))
        else:
            reached = {i + 1 for i in reached if i < len(text) and sign in (text[i], "_")}
    return len(text) in reached
