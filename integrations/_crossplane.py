"""What Crossplane's objects mean and what ours look like. Pure: objects in, values out.

Two styles, told apart by the CompositeResourceDefinition (XRD): a claim beside a cluster-scoped resource (Crossplane v1, and
LegacyCluster in v2), and a namespaced composite resource (v2). Sources: crossplane v2.3 (condition.go, claim/reconciler.go,
composite/reconciler.go) and its documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from bot.errors import BackendErrorKind, PermanentBackendError, foreign_text
from integrations._kubernetes import Object, Resource
from integrations.ports import ClaimSpec, Phase

BACKEND: Final = "Crossplane"
GROUP: Final = "apiextensions.crossplane.io"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "platform-bot"
SERVICE: Final = "platform-bot/service"
ENVIRONMENT: Final = "platform-bot/environment"
TEAM: Final = "platform-bot/team"
KIND: Final = "platform-bot/claim-kind"
REQUEST_ID: Final = "platform-bot/request-id"
WAS_READY: Final = "platform-bot/was-ready"


class Style(StrEnum):
    CLAIM = "claim"
    NAMESPACED = "namespaced composite resource"


@dataclass(frozen=True)
class Offer:
    """What an XRD lets us apply. `problem`: why not at the moment, as a sentence; empty when it works."""

    resource: Resource
    style: Style
    problem: str = ""


# ---------------------------------------------------------------- definitions


def definitions(version: str) -> Resource:
    plural, kind = "compositeresourcedefinitions", "CompositeResourceDefinition"
    return Resource(GROUP, version, plural, kind, namespaced=False)


def parse_offer(xrd: Object) -> Offer:
    """Raises PermanentBackendError(INVALID) for a definition that the bot cannot use at all."""
    spec, name = xrd["spec"], xrd["metadata"]["name"]
    scope = spec.get("scope", "LegacyCluster")
    if scope == "Namespaced":
        names, style = spec["names"], Style.NAMESPACED
    elif scope == "LegacyCluster" and spec.get("claimNames"):
        names, style = spec["claimNames"], Style.CLAIM
    else:
        raise _unusable(
            f"{name} defines a cluster-scoped resource without a claim, which no namespace separates."
        )
    versions = [each["name"] for each in spec["versions"] if each["served"] and each["referenceable"]]
    if not versions:
        raise _unusable(f"{name} has no version that is served and referenceable.")
    resource = Resource(spec["group"], versions[0], names["plural"], names["kind"])
    wanted = ["Established", *(["Offered"] if style is Style.CLAIM else [])]
    return Offer(resource, style, _not_yet(name, xrd, wanted))


def _unusable(message: str) -> PermanentBackendError:
    return PermanentBackendError(
        message,
        backend=BACKEND,
        kind=BackendErrorKind.INVALID,
        fix="Give it `scope: Namespaced` or `claimNames`.",
    )


def _not_yet(name: str, xrd: Object, wanted: Sequence[str]) -> str:
    found = conditions(xrd)
    for each in wanted:
        condition = found.get(each, {})
        if condition.get("status") != "True":
            why = condition.get("message") or condition.get("reason") or "Crossplane has not looked at it yet"
            return foreign_text(f"{name} is not {each}: {why}")
    return ""


# ---------------------------------------------------------------- conditions


def conditions(item: Object) -> dict[str, Mapping[str, Any]]:
    """Type -> condition, without those that are about an earlier generation of the object."""
    generation = item["metadata"].get("generation", 0)
    return {
        each["type"]: each
        for each in (item.get("status") or {}).get("conditions") or []
        if not 0 < each.get("observedGeneration", 0) < generation
    }


def readiness(item: Object) -> tuple[Phase, str]:
    """There is no FAILED: Crossplane tries for ever, so the deadline is the caller's and the message says what hinders."""
    metadata, found = item["metadata"], conditions(item)
    synced, ready = found.get("Synced", {}), found.get("Ready", {})
    if metadata.get("deletionTimestamp"):
        return Phase.RUNNING, _held(metadata)
    if not synced and not ready:
        return Phase.PENDING, "Crossplane has not looked at it yet"
    if synced.get("reason") == "ReconcilePaused":
        return Phase.WAITING_HUMAN, _said("Paused by the annotation crossplane.io/paused", synced)
    if synced.get("status") == "False":
        return Phase.RUNNING, _said("Crossplane cannot reconcile it", synced)
    if ready.get("status") == "True" and synced.get("status") == "True":
        return Phase.READY, ""
    if "Unknown" in {ready.get("status"), synced.get("status")}:
        return Phase.UNKNOWN, _said("Crossplane does not know its state", ready)
    return Phase.RUNNING, _said("Not ready", ready)


def _said(first: str, condition: Mapping[str, Any]) -> str:
    reason, message = condition.get("reason", ""), condition.get("message", "")
    told = ": ".join(each for each in (first, reason, message) if each)
    return foreign_text(told)


def _held(metadata: Mapping[str, Any]) -> str:
    holders = ", ".join(metadata.get("finalizers") or [])
    return f"It is being deleted; held by {holders}" if holders else "It is being deleted"


def may_hold_data(item: Object) -> bool:
    """Whether it ever was ready, or nobody can say that it was not. An undo deletes only what provably never served."""
    annotations = item["metadata"].get("annotations") or {}
    published = ((item.get("status") or {}).get("connectionDetails") or {}).get("lastPublishedTime")
    # Conditions about an earlier generation count here: what was ready then holds data now.
    states = {
        each.get("status")
        for each in (item.get("status") or {}).get("conditions") or []
        if each.get("type") == "Ready"
    }
    return bool(annotations.get(WAS_READY) or published or states & {"True", "Unknown"})


# ---------------------------------------------------------------- connection secrets


def published_secret(item: Object, *, style: Style, name: str, status_field: str) -> str:
    """Name of the Secret; empty while there is no evidence that it exists.

    The evidence is Crossplane's own word, so that the bot needs no right to read Secrets: a claim tells when it published, a
    composite resource names the Secret in its status or, by convention, composes it before it is ready.
    """
    status = item.get("status") or {}
    if style is Style.CLAIM:
        return name if (status.get("connectionDetails") or {}).get("lastPublishedTime") else ""
    if not status_field:
        return name
    for key in status_field.split("."):
        status = status.get(key) if isinstance(status, dict) else None
    return status if isinstance(status, str) else ""


# ---------------------------------------------------------------- our objects


def intent(
    offer: Offer, spec: ClaimSpec, *, namespace: str, parameters: Mapping[str, Any], secret: str, request_id: str
) -> Object:  # fmt: skip
    """All that we ever hold of a claim: server-side apply takes away what is left out."""
    machinery: dict[str, Any] = {}
    if offer.style is Style.CLAIM:
        # Foreground, so that a claim that is gone means resources that are gone.
        machinery["compositeDeletePolicy"] = "Foreground"
        if secret:
            machinery["writeConnectionSecretToRef"] = {"name": secret}
    return {
        "apiVersion": offer.resource.api_version,
        "kind": offer.resource.kind,
        "metadata": {
            "name": spec.name,
            "namespace": namespace,
            "labels": {
                MANAGED_BY: MANAGER,
                SERVICE: spec.service,
                ENVIRONMENT: spec.environment,
                TEAM: spec.team,
                KIND: spec.kind,
            },
            "annotations": {REQUEST_ID: request_id},
        },
        "spec": {**parameters, **machinery},
    }


def holds(live: Any, wanted: Any) -> bool:
    """Whether everything wanted is there already; what others added does not count."""
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(
            key in live and holds(live[key], value) for key, value in wanted.items()
        )
    return bool(live == wanted)


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """`second` over `first`, mapping by mapping."""
    both = dict(first)
    for key, value in second.items():
        before = both.get(key)
        nested = isinstance(before, Mapping) and isinstance(value, Mapping)
        both[key] = merged(before, value) if nested else value  # type: ignore[arg-type]
    return both
