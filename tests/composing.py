"""Crossplane played by a test: definitions on a real API server, and a controller that reconciles with delays and failures."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from kube import Admin

from integrations._kubernetes import Object, Resource, Selection

GROUP = "platform.company.com"
CLAIMS = Resource(GROUP, "v1alpha1", "databaseclaims", "DatabaseClaim")
CACHES = Resource(GROUP, "v1", "caches", "Cache")
XRDS = Resource(
    "apiextensions.crossplane.io",
    "v1",
    "compositeresourcedefinitions",
    "CompositeResourceDefinition",
    namespaced=False,
)
FINALIZER = "finalizer.apiextensions.crossplane.io"
_SOMETHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def definition(plural: str, kind: str, **spec: Any) -> Object:
    """A claim's can only be written in the API's first version, and is read in the second as well."""
    version = spec.pop("version", "v1alpha1")
    api = "v1" if spec["scope"] == "LegacyCluster" else "v2"
    return {
        "apiVersion": f"apiextensions.crossplane.io/{api}",
        "kind": "CompositeResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {"kind": kind, "plural": plural},
            "versions": [
                {"name": "v1alpha0", "served": True, "referenceable": False},
                {"name": version, "served": True, "referenceable": True},
            ],
            **spec,
        },
    }


DATABASES = definition(
    "xdatabases",
    "XDatabase",
    scope="LegacyCluster",
    claimNames={"kind": "DatabaseClaim", "plural": "databaseclaims"},
)
NAMESPACED_CACHES = definition("caches", "Cache", scope="Namespaced", version="v1")
CACHE_CRD: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"caches.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"kind": "Cache", "plural": "caches", "singular": "cache", "listKind": "CacheList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": _SOMETHING, "status": _SOMETHING},
                    }
                },
            }
        ],
    },
}
"""What Crossplane makes of `NAMESPACED_CACHES`."""


def condition(kind: str, status: str, reason: str, message: str = "", **more: Any) -> Object:
    at = "2026-11-21T03:00:00Z"
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "lastTransitionTime": at,
        **({"message": message} if message else {}),
        **more,
    }


async def install(admin: Admin) -> None:
    """Both definitions, established and offered. Twice is the same as once."""
    await admin.serve(CACHE_CRD)
    for xrd in (DATABASES, NAMESPACED_CACHES):
        await admin.apply(xrd)
        await establish(admin, xrd["metadata"]["name"])


async def establish(admin: Admin, name: str) -> None:
    established = [
        condition("Established", "True", "WatchingCompositeResource"),
        condition("Offered", "True", "WatchingCompositeResourceClaim"),
    ]
    await admin.set_status(XRDS, name, {"conditions": established})


@dataclass
class Composer:
    """Crossplane's controllers for one namespace. `failing` is what the provider says until it is emptied."""

    admin: Admin
    namespace: str
    failing: str = ""
    publishes: bool = True
    makes_ready: bool = True
    lets_go: bool = True
    pace_seconds: float = 0.02
    rounds: dict[str, int] = field(default_factory=dict)

    async def reconcile_for_ever(self) -> None:
        while True:
            for resource in (CLAIMS, CACHES):
                listing = await self.admin.kubernetes.list(resource, Selection(namespace=self.namespace))
                for item in listing.items:
                    await self._reconcile(resource, item)
            await asyncio.sleep(self.pace_seconds)

    async def _reconcile(self, resource: Resource, item: Object) -> None:
        metadata = item["metadata"]
        if metadata.get("deletionTimestamp"):
            if self.lets_go:
                await self._patch(resource, metadata["name"], {"metadata": {"finalizers": None}})
            return
        if FINALIZER not in (metadata.get("finalizers") or []):
            await self._patch(resource, metadata["name"], {"metadata": {"finalizers": [FINALIZER]}})
            return
        done = self.rounds[metadata["uid"]] = self.rounds.get(metadata["uid"], 0) + 1
        status = self._status(resource, metadata, done)
        if status != item.get("status"):
            await self.admin.set_status(resource, metadata["name"], status, namespace=self.namespace)

    def _status(self, resource: Resource, metadata: Object, done: int) -> Object:
        seen = {"observedGeneration": metadata["generation"]} if resource is CACHES else {}
        if self.failing:
            return {"conditions": [condition("Synced", "False", "ReconcileError", self.failing, **seen)]}
        synced = condition("Synced", "True", "ReconcileSuccess", **seen)
        if done < 3 or not self.makes_ready:
            waits = "Claim is waiting for composite resource to become Ready"
            return {"conditions": [synced, condition("Ready", "False", "Waiting", waits, **seen)]}
        status: Object = {"conditions": [synced, condition("Ready", "True", "Available", **seen)]}
        if self.publishes and resource is CLAIMS:
            status["connectionDetails"] = {"lastPublishedTime": "2026-11-21T03:00:00Z"}
        elif self.publishes:
            status["secret"] = {"name": f"{metadata['name']}-credentials"}
        return status

    async def _patch(self, resource: Resource, name: str, patch: Object) -> None:
        await self.admin.patch(resource, name, patch, namespace=self.namespace)


@asynccontextmanager
async def composing(admin: Admin, namespace: str, *, pace_seconds: float = 0.02) -> AsyncIterator[Composer]:
    composer = Composer(admin, namespace, pace_seconds=pace_seconds)
    task = asyncio.create_task(composer.reconcile_for_ever())
    try:
        yield composer
        if task.done():
            task.result()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
