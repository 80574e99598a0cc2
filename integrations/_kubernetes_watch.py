"""Everything that happens to objects of a kind, with nothing left out: a list, then a watch, then the same again.

An API server ends every watch, and may have forgotten where ours stood (410). Then the list is read again and compared with what
was known, so that what was deleted in the gap is told as deleted. A server that is away is waited for; a refusal is raised.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import httpx

from bot.errors import TemporaryBackendError
from integrations._http import Answer, backoff_seconds, unreadable
from integrations._kubernetes import Kubernetes, Object, Resource, Selection
from integrations._kubernetes_cluster import BACKEND
from integrations._kubernetes_errors import ExpiredError, refusal

SERVER_TIMEOUT_SECONDS: Final = 300
SHORTEST_WATCH_SECONDS: Final = 1.0


class ChangeKind(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True)
class Change:
    """`object` as it is now; of what was deleted, as it was last seen."""

    kind: ChangeKind
    object: Object


class Known:
    """What was last seen of each object. Pure: told of lists and events, says what changed."""

    def __init__(self) -> None:
        self._objects: dict[str, Object] = {}
        self.resource_version = ""

    def relisted(self, items: Iterable[Object], resource_version: str) -> list[Change]:
        """By uid: an object that was deleted and made again under its name is both."""
        now = {each["metadata"]["uid"]: each for each in items}
        gone = [Change(ChangeKind.DELETED, last) for uid, last in self._objects.items() if uid not in now]
        changes = [change for each in now.values() if (change := self._seen(each))]
        self._objects = now
        self.resource_version = resource_version
        return [*gone, *changes]

    def heard(self, kind: str, item: Object) -> Change | None:
        """An event of a watch that is not an ERROR; None where it brings nothing new."""
        self.resource_version = str(item["metadata"]["resourceVersion"])
        if kind == "BOOKMARK":
            return None
        uid = item["metadata"]["uid"]
        if kind == ChangeKind.DELETED:
            self._objects.pop(uid, None)
            return Change(ChangeKind.DELETED, item)
        change = self._seen(item)
        self._objects[uid] = item
        return change

    def _seen(self, item: Object) -> Change | None:
        before = self._objects.get(item["metadata"]["uid"])
        if before is None:
            return Change(ChangeKind.ADDED, item)
        same = before["metadata"]["resourceVersion"] == item["metadata"]["resourceVersion"]
        return None if same else Change(ChangeKind.MODIFIED, item)


async def watch(
    kubernetes: Kubernetes,
    resource: Resource,
    selection: Selection | None = None,
    *,
    server_timeout_seconds: int = SERVER_TIMEOUT_SECONDS,
) -> AsyncIterator[Change]:
    """Never ends by itself. Raises PermanentBackendError, such as for a missing permission."""
    selection = selection or Selection()
    known = Known()
    failures = 0
    while True:
        begun = kubernetes.timing.monotonic()
        try:
            if not known.resource_version:
                listing = await kubernetes.list(resource, selection)
                for change in known.relisted(listing.items, listing.resource_version):
                    yield change
            params = {**selection.params(), **_params(known, server_timeout_seconds)}
            async with kubernetes.stream(resource.path(namespace=selection.namespace), params) as events:
                async for event in events:
                    news = _heard(known, event, kubernetes)
                    failures = 0
                    if news:
                        yield news
            if kubernetes.timing.monotonic() - begun >= SHORTEST_WATCH_SECONDS:
                continue
            pause = None
        except TemporaryBackendError as error:
            if isinstance(error, ExpiredError):
                known.resource_version = ""
            pause = error.retry_after_seconds
        # Also where the server ends every watch at once: asking again without a pause would be a storm.
        await kubernetes.timing.sleep(pause or backoff_seconds(failures, kubernetes.timing.jitter()))
        failures += 1


def _params(known: Known, server_timeout_seconds: int) -> dict[str, str]:
    return {
        "watch": "true",
        "resourceVersion": known.resource_version,
        "allowWatchBookmarks": "true",
        "timeoutSeconds": str(server_timeout_seconds),
    }


def _heard(known: Known, event: Object, kubernetes: Kubernetes) -> Change | None:
    """Raises BackendError for an ERROR event: ExpiredError where the server has forgotten where we stood."""
    try:
        kind, item = event["type"], event["object"]
        if kind != "ERROR":
            return known.heard(kind, item)
    except (KeyError, TypeError) as error:
        raise unreadable(BACKEND, "an event without an object") from error
    status = int(item.get("code") or 500)
    raise refusal(Answer(status, httpx.Headers(), json.dumps(item).encode()), kubernetes.timing.now())
