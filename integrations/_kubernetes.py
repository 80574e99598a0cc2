"""The few things a backend asks of a Kubernetes API server, done with care. For every kind of object; knows none of them.

Writing is server-side apply under a field manager and never by force: what somebody else holds stays theirs, and they are named.
Deleting binds to the object that was read, never to its name alone. Deadlines, retries, the
limit on calls under way and the breaker are `_http`'s; refusals are `_kubernetes_errors`'.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import httpx

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations import _kubernetes_errors as errors
from integrations._breaker import Breaker
from integrations._http import Answer, Call, Http, Limits, Timing, unreadable
from integrations._kubernetes_cluster import BACKEND, Cluster, Tokens

Object = dict[str, Any]
"""A Kubernetes object, as JSON."""

LIMITS: Final = Limits(connect_seconds=5.0, read_seconds=35.0, concurrency=10, attempts=4)
"""Admission webhooks may take 30 s of a write. Fewer attempts than open the breaker, so that one call tells its own reason."""
PAGE: Final = 500
POLL_SECONDS: Final = 0.5
NOTHING: Final[Mapping[str, str]] = {}
REFUSALS: Final = frozenset({400, 403, 404, 409, 413, 415, 422, 500})
"""Statuses that a policy may choose to refuse with. 500 is one: it is also what a webhook that does not answer makes of a write."""


@dataclass(frozen=True)
class Resource:
    """A kind of object as the API serves it; `group` is empty for the core."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, *, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """Names are data: each is quoted, so that none can lead to another path."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{quote(namespace, safe='')}" if namespace and self.namespaced else ""
        tail = "".join(f"/{quote(each, safe='')}" for each in (self.plural, name, subresource) if each)
        return f"{root}{within}{tail}"


@dataclass(frozen=True)
class Selection:
    """Which objects of a kind: all namespaces where none is given."""

    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None

    def params(self) -> dict[str, str]:
        asked = {}
        if self.labels:
            asked["labelSelector"] = ",".join(f"{key}={value}" for key, value in self.labels.items())
        if self.name is not None:
            asked["fieldSelector"] = f"metadata.name={self.name}"
        return asked


@dataclass(frozen=True)
class Listing:
    items: Sequence[Object]
    resource_version: str


@dataclass(frozen=True)
class Access:
    """One right to be asked about; `namespace` None means everywhere."""

    verb: str
    resource: Resource
    namespace: str | None = None
    name: str = ""
    subresource: str = ""


class KubernetesDialect:
    """What `_http` has to know of Kubernetes."""

    def __init__(self, tokens: Tokens) -> None:
        self.backend = BACKEND
        self._tokens = tokens

    async def credentials(self, *, renew: bool) -> Mapping[str, str]:
        token = await self._tokens.token(renew=renew)
        return {"Authorization": f"Bearer {token}"} if token else {}

    def refusal(self, answer: Answer, now: datetime) -> BackendError:
        return errors.refusal(answer, now)


class Kubernetes:
    """Calls to one API server. Every method raises BackendError."""

    def __init__(self, cluster: Cluster, client: httpx.AsyncClient, *, timing: Timing | None = None) -> None:
        self.cluster = cluster
        self._client = client
        self._dialect = KubernetesDialect(cluster.tokens)
        self.timing = timing or Timing()
        self._http = Http(client, self._dialect, breaker=Breaker(BACKEND), limits=LIMITS, timing=self.timing)

    def breaker_state(self) -> str:
        return self._http.breaker_state()

    # ------------------------------------------------------------ reading

    async def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> Object | None:
        """None: it is not there. A kind that is not served raises, because then nothing is known of the object."""
        path = resource.path(namespace=namespace, name=name)
        answer = await self._http.send(Call("GET", path, accept=frozenset({404})))
        if answer.status != 404:
            return _named_object(answer, name)
        if errors.names_object(answer, name):
            return None
        raise self._not_served(resource)

    async def list(self, resource: Resource, selection: Selection | None = None) -> Listing:
        """Whole, page by page; begun anew in one piece where the pages expire meanwhile."""
        selection = selection or Selection()
        path = resource.path(namespace=selection.namespace)
        items: list[Object] = []
        params = {**selection.params(), "limit": str(PAGE)}
        while True:
            answer = await self._http.send(Call("GET", path, params=params, accept=frozenset({404, 410})))
            if answer.status == 404:
                raise self._not_served(resource)
            if answer.status == 410:
                items, params = [], selection.params()
                continue
            with _readable("a list"):
                page = _object(answer)
                items += page["items"] or []
                token = page["metadata"].get("continue")
                version = str(page["metadata"]["resourceVersion"])
            if not token:
                return Listing(items, version)
            params = {**params, "continue": token}

    @asynccontextmanager
    async def stream(self, path: str, params: Mapping[str, str]) -> AsyncIterator[AsyncIterator[Object]]:
        """The lines of one watch. The caller's timeoutSeconds must be in `params`: silence beyond it is a dead line."""
        seconds = float(params["timeoutSeconds"])
        timeout = httpx.Timeout(seconds + LIMITS.read_seconds, connect=LIMITS.connect_seconds)
        target = str(self._client.base_url).rstrip("/") + path
        try:
            for renew in (False, True):
                headers = dict(await self._dialect.credentials(renew=renew))
                async with self._client.stream(
                    "GET", target, params=dict(params), headers=headers, timeout=timeout
                ) as response:
                    if response.status_code == 401 and not renew:
                        continue
                    if response.status_code >= 300:
                        refused = Answer(response.status_code, response.headers, await response.aread())
                        raise self._dialect.refusal(refused, self.timing.now())
                    yield _lines(response)
                    return
        except httpx.HTTPError as error:
            words = str(error) or type(error).__name__
            raise TemporaryBackendError(f"The watch broke off: {words}", backend=BACKEND) from error

    # ------------------------------------------------------------ writing

    async def apply(
        self, resource: Resource, intent: Object, *, field_manager: str, dry_run: bool = False
    ) -> Object:
        """Server-side apply of the whole intent; what it no longer names and we alone held, goes.

        `dry_run` runs defaulting, validation and every admission policy, and changes nothing.
        """
        metadata = intent["metadata"]
        path = resource.path(namespace=metadata.get("namespace"), name=metadata["name"])
        params = {"fieldManager": field_manager, **({"dryRun": "All"} if dry_run else NOTHING)}
        answer = await self._patch(path, params, intent, content_type="application/apply-patch+yaml")
        return _named_object(answer, metadata["name"])

    async def merge(
        self, resource: Resource, name: str, patch: Object, *, namespace: str | None, field_manager: str
    ) -> Object:
        """Merge patch: for adding to an object that must exist already. Never creates; takes fields over silently."""
        path = resource.path(namespace=namespace, name=name)
        params = {"fieldManager": field_manager}
        answer = await self._patch(path, params, patch, content_type="application/merge-patch+json")
        return _named_object(answer, name)

    async def dry_run(self, call: Call) -> Answer:
        """One write that is only tried: defaulting, validation and every admission policy speak, and nothing is stored.

        What the API server refuses is an answer here, with the headers that carry warnings. Raises BackendError where
        it could not be asked.
        """
        params = {**call.params, "dryRun": "All"}
        return await self._http.send(replace(call, params=params, accept=REFUSALS, repeatable=True))

    async def _patch(
        self, path: str, params: Mapping[str, str], body: Object, *, content_type: str
    ) -> Answer:
        headers = {"Content-Type": content_type}
        call = Call("PATCH", path, params=params, body=body, headers=headers, repeatable=True)
        return await self._http.send(call)

    async def delete(self, resource: Resource, found: Object, *, even_if_changed: bool = False) -> None:
        """Ask for the deletion of exactly what was read, its dependents first. Done only when `wait_gone` says so.

        Raises TemporaryBackendError(CONFLICT) when a namesake took its place, and when it changed since it was read, so
        that the caller looks at it again; `even_if_changed` is for what no change can make worth keeping.
        """
        metadata = found["metadata"]
        bound = ("uid",) if even_if_changed else ("uid", "resourceVersion")
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground",
            "preconditions": {key: metadata[key] for key in bound},
        }
        path = resource.path(namespace=metadata.get("namespace"), name=metadata["name"])
        answer = await self._http.send(
            Call("DELETE", path, body=body, accept=frozenset({404}), repeatable=True)
        )
        if answer.status == 404 and not errors.names_object(answer, metadata["name"]):
            raise self._not_served(resource)

    async def wait_gone(self, resource: Resource, found: Object, *, timeout_seconds: float) -> None:
        """Until a read answers 404, or shows a namesake. Raises TemporaryBackendError(NOT_READY) naming who holds it."""
        metadata = found["metadata"]
        until = self.timing.monotonic() + timeout_seconds
        while True:
            now = await self.get(resource, metadata["name"], namespace=metadata.get("namespace"))
            if now is None or now["metadata"]["uid"] != metadata["uid"]:
                return
            if self.timing.monotonic() >= until:
                raise being_deleted(now)
            await self.timing.sleep(POLL_SECONDS)

    # ------------------------------------------------------------ what is there, and what we may

    async def version(self) -> str:
        return str(_object(await self._http.send(Call("GET", "/version"))).get("gitVersion", "unknown"))

    async def served_versions(self, group: str) -> tuple[str, ...]:
        """Versions of an API group, the server's favourite first; empty where the group is not installed."""
        answer = await self._http.send(Call("GET", f"/apis/{quote(group, safe='')}", accept=frozenset({404})))
        if answer.status == 404:
            return ()
        with _readable("an API group"):
            body = _object(answer)
            first = body["preferredVersion"]["version"]
            return (first, *(each["version"] for each in body["versions"] if each["version"] != first))

    async def find_resource(self, group: str, version: str, kind: str) -> Resource | None:
        """How a kind is served; None where it is not. `group` is empty for the core."""
        root = f"/apis/{quote(group, safe='')}" if group else "/api"
        path = f"{root}/{quote(version, safe='')}"
        answer = await self._http.send(Call("GET", path, accept=frozenset({404})))
        if answer.status == 404:
            return None
        with _readable("a list of kinds"):
            for each in _object(answer)["resources"]:
                if each["kind"] == kind and "/" not in each["name"]:
                    return Resource(group, version, each["name"], kind, namespaced=each["namespaced"])
        return None

    async def may(self, access: Access) -> bool:
        """A SelfSubjectAccessReview: asks without trying. An error while evaluating is not a yes."""
        attributes = {
            "group": access.resource.group,
            "resource": access.resource.plural,
            "verb": access.verb,
            "namespace": access.namespace or "",
            "name": access.name,
            "subresource": access.subresource,
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answered = _object(await self._http.send(Call("POST", path, body=body, repeatable=True)))
        return (answered.get("status") or {}).get("allowed") is True

    def _not_served(self, resource: Resource) -> PermanentBackendError:
        return PermanentBackendError(
            f"The cluster does not serve {resource} {resource.version}.",
            backend=BACKEND,
            kind=BackendErrorKind.NOT_FOUND,
            fix="`python -m bot check` says what is not installed.",
        )


def being_deleted(found: Object) -> TemporaryBackendError:
    """A deletion under way cannot be stopped; finalizers are named, never stripped."""
    metadata = found["metadata"]
    held = ", ".join(metadata.get("finalizers") or []) or "nobody"
    return TemporaryBackendError(
        f"{found.get('kind', 'Object')} {metadata['name']} is still being deleted; held by {held}.",
        backend=BACKEND,
        kind=BackendErrorKind.NOT_READY,
        retry_after_seconds=5.0,
    )


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """An answer of another shape is garbage, not a mistake of ours: proxies and sign-in pages answer 200, too."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(BACKEND, f"not {what}") from error


def _object(answer: Answer) -> Object:
    with _readable("an object"):
        return dict(answer.json())


def _named_object(answer: Answer, name: str) -> Object:
    """With a uid, which only the API server gives: an echo of what was sent is no proof that it was stored."""
    found = _object(answer)
    with _readable(f"an object {name}"):
        if found["metadata"]["name"] != name or not found["metadata"]["uid"]:
            raise ValueError(name)
    return found


async def _lines(response: httpx.Response) -> AsyncIterator[Object]:
    async for line in response.aiter_lines():
        if not line.strip():
            continue
        with _readable("an event"):
            event = dict(json.loads(line))
        yield event


@asynccontextmanager
async def open_kubernetes(
    cluster: Cluster, *, transport: httpx.AsyncBaseTransport | None = None, timing: Timing | None = None
) -> AsyncIterator[Kubernetes]:
    """`transport` is where tests stand; nothing is asked of the server yet, which may be away."""
    async with httpx.AsyncClient(base_url=cluster.server, verify=cluster.tls, transport=transport) as client:
        yield Kubernetes(cluster, client, timing=timing)
