"""How Argo CD would bring one rendered manifest to the cluster, as writes that can be tried. Pure.

Server-side apply first. It stops before any policy is asked where another manager holds a field, and where it cannot read the
manifest; Argo CD's default, the client-side apply, knows neither. So these are tried as that would bring them. Nothing is forced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from integrations._http import Call
from integrations._kubernetes import Object, Resource
from integrations._kubernetes_dry_run import apply_call

_HOOK: Final = "argocd.argoproj.io/hook"
_SYNC_OPTIONS: Final = "argocd.argoproj.io/sync-options"
_MADE_ANEW: Final = frozenset({"Replace=true", "Force=true"})
_SERVER_SIDE: Final = (
    "managedFields",
    "resourceVersion",
    "uid",
    "creationTimestamp",
    "generation",
    "selfLink",
)
"""What only a server gives: an apply that names them is refused for that."""


@dataclass(frozen=True)
class Tried:
    """One manifest on its way. `is_made_anew`: Argo CD deletes what is there and creates it again, as it does with hooks, so
    that a field which nobody may change is no hindrance."""

    resource: Resource
    intent: Object
    is_made_anew: bool

    def server_side(self, field_manager: str) -> Call:
        return apply_call(self.resource, self.intent, field_manager=field_manager)

    def merged(self, field_manager: str) -> Call:
        """Over what is there: a merge patch asks for no ownership, as Argo CD's client-side apply does not."""
        metadata = self.intent["metadata"]
        return Call(
            "PATCH",
            self.resource.path(namespace=metadata.get("namespace"), name=metadata["name"]),
            params={"fieldManager": field_manager, "fieldValidation": "Warn"},
            body=self.intent,
            headers={"Content-Type": "application/merge-patch+json"},
        )

    def created(self, field_manager: str) -> Call:
        return Call(
            "POST",
            self.resource.path(namespace=self.intent["metadata"].get("namespace")),
            params={"fieldManager": field_manager, "fieldValidation": "Warn"},
            body=self.intent,
        )


def is_complete(manifest: Mapping[str, Any]) -> bool:
    metadata = manifest.get("metadata")
    return bool(
        manifest.get("apiVersion")
        and manifest.get("kind")
        and isinstance(metadata, Mapping)
        and (metadata.get("name") or metadata.get("generateName"))
    )


def tried(manifest: Mapping[str, Any], resource: Resource, *, namespace: str) -> Tried:
    """In the namespace it names itself, as Argo CD does it, else in the service's."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _SERVER_SIDE}
    if resource.namespaced:
        metadata.setdefault("namespace", namespace)
    else:
        metadata.pop("namespace", None)
    intent = {**manifest, "metadata": metadata}
    intent.pop("status", None)
    return Tried(resource, intent, _is_made_anew(metadata))


def _is_made_anew(metadata: Mapping[str, Any]) -> bool:
    annotations = metadata.get("annotations") or {}
    options = {each.strip() for each in str(annotations.get(_SYNC_OPTIONS, "")).split(",")}
    return not metadata.get("name") or _HOOK in annotations or bool(options & _MADE_ANEW)
