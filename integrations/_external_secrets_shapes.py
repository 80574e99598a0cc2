"""What an ExternalSecret means and what ours look like. Pure: objects in, values out.

Sources: external-secrets v2.9 (apis/externalsecrets/v1, the controller's conditions, and `GetResourceVersion`, which writes
`<generation>-<hash>` into the status). Which request added a key stands in an annotation: `spec.data` is one list to
server-side apply, so that requests cannot hold parts of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from bot.errors import BackendErrorKind, PermanentBackendError, foreign_text
from integrations import _namespace_rule
from integrations._kubernetes import Object, Resource
from integrations.ports import KEY_NAME, Marked, Phase, SecretSpec, SyncedSecret

BACKEND: Final = "External Secrets"
GROUP: Final = "external-secrets.io"
VERSION: Final = "v1"
EXTERNAL_SECRETS: Final = Resource(GROUP, VERSION, "externalsecrets", "ExternalSecret")
CLUSTER_STORES: Final = Resource(
    GROUP, VERSION, "clustersecretstores", "ClusterSecretStore", namespaced=False
)
SECRETS: Final = Resource("", "v1", "secrets", "Secret")
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "platform-bot"
SERVICE: Final = "platform-bot/service"
ENVIRONMENT: Final = "platform-bot/environment"
TEAM: Final = "platform-bot/team"
REQUEST_ID: Final = "platform-bot/request-id"
KEYS: Final = "platform-bot/keys"
"""Annotation: JSON of key -> the request that added it."""
LATE_ROUNDS: Final = 3
LATE_SECONDS: Final = 300
"""Without a refresh for three intervals and this long, nobody is known to look after it any more."""
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SYNCED: Final = re.compile(r"(\d+)-.*", re.DOTALL)


@dataclass(frozen=True)
class Rules:
    """How our objects are made; rules are filled with team, service and environment."""

    namespace: str
    store_kind: str
    store: str
    remote_key: str
    remote_property: str
    refresh_seconds: int


# ---------------------------------------------------------------- names


def require_names(spec: SecretSpec) -> None:
    """Raises PermanentBackendError(INVALID). What is refused is not repeated: it may be a value that went astray."""
    if not all(_LABEL.fullmatch(name) for name in (spec.team, spec.service, spec.environment)):
        raise _invalid("The name of the team, service or environment is no DNS label.")
    if not all(re.fullmatch(KEY_NAME, key) for key in spec.keys):
        raise _invalid("A key's name has capital letters, digits and underscores, beginning with a letter.")


def _invalid(message: str) -> PermanentBackendError:
    return PermanentBackendError(message, backend=BACKEND, kind=BackendErrorKind.INVALID)


def secret_name(service: str) -> str:
    return f"{service}-secrets"


def fill(rule: str, spec: SecretSpec) -> str:
    return rule.format(team=spec.team, service=spec.service, environment=spec.environment, key="{key}")


def namespace_of(rule: str, spec: SecretSpec) -> str:
    """Raises PermanentBackendError(INVALID) for a name that Kubernetes does not take."""
    return _namespace_rule.namespace_of(
        rule, team=spec.team, environment=spec.environment, service=spec.service, backend=BACKEND
    )


# ---------------------------------------------------------------- our objects


def items(live: Object | None) -> list[Object]:
    return list(((live or {}).get("spec") or {}).get("data") or [])


def keys_of(live: Object | None) -> tuple[str, ...]:
    return tuple(str(item.get("secretKey", "")) for item in items(live))


def is_ours(live: Object) -> bool:
    return bool(request_of(live)) and (live["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER


def request_of(live: Object) -> str | None:
    return (live["metadata"].get("annotations") or {}).get(REQUEST_ID)


def marks(live: Object) -> list[Marked]:
    metadata = live["metadata"]
    where = (metadata.get("labels") or {}).get(ENVIRONMENT, "")
    place = f"{metadata['namespace']}/{metadata['name']}"
    requests = [each for each in (request_of(live), *added_by(live).values()) if each]
    return [Marked("secret", metadata["name"], each, where, place) for each in dict.fromkeys(requests)]


def added_by(live: Object | None) -> dict[str, str]:
    """Key -> request; nothing where the annotation was spoilt: then no request's undo takes a key away."""
    annotations = ((live or {}).get("metadata") or {}).get("annotations") or {}
    try:
        found = json.loads(annotations.get(KEYS, "{}"))
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def with_keys(live: Object | None, spec: SecretSpec, rules: Rules, request_id: str) -> Object:
    """All that is there, and the keys of `spec` that were missing, which are this request's from now on."""
    known = set(keys_of(live))
    missing = [key for key in dict.fromkeys(spec.keys) if key not in known]
    owners = {**added_by(live), **dict.fromkeys(missing, request_id)}
    data = [*items(live), *(_item(key, spec, rules) for key in missing)]
    creator = (request_of(live) if live else None) or request_id
    return _intent(live, spec, rules, data=data, owners=owners, creator=creator)


def without_keys(live: Object, spec: SecretSpec, rules: Rules, request_id: str) -> Object | None:
    """What is left when this request's keys are taken away; None where nothing is."""
    owners = added_by(live)
    data = [item for item in items(live) if owners.get(item.get("secretKey", "")) != request_id]
    if not data:
        return None
    left = {key: owner for key, owner in owners.items() if owner != request_id}
    return _intent(live, spec, rules, data=data, owners=left, creator=request_of(live) or request_id)


def _item(key: str, spec: SecretSpec, rules: Rules) -> Object:
    remote = {"key": fill(rules.remote_key, spec).format(key=key)}
    if rules.remote_property:
        remote["property"] = rules.remote_property
    return {"secretKey": key, "remoteRef": remote}


def _intent(
    live: Object | None, spec: SecretSpec, rules: Rules, *, data: list[Object], owners: Mapping[str, str], creator: str
) -> Object:  # fmt: skip
    """All that we ever hold of it: server-side apply takes away what is left out. Bound to what was read, if anything was."""
    name = secret_name(spec.service)
    bound = {"resourceVersion": live["metadata"]["resourceVersion"]} if live else {}
    return {
        "apiVersion": EXTERNAL_SECRETS.api_version,
        "kind": EXTERNAL_SECRETS.kind,
        "metadata": {
            **bound,
            "name": name,
            "namespace": namespace_of(rules.namespace, spec),
            "labels": {
                MANAGED_BY: MANAGER,
                SERVICE: spec.service,
                ENVIRONMENT: spec.environment,
                TEAM: spec.team,
            },
            "annotations": {REQUEST_ID: creator, KEYS: json.dumps(owners, sort_keys=True)},
        },
        "spec": {
            "refreshPolicy": "Periodic",
            "refreshInterval": f"{rules.refresh_seconds}s",
            "secretStoreRef": {"kind": rules.store_kind, "name": fill(rules.store, spec)},
            "target": {"name": name, "creationPolicy": "Owner", "deletionPolicy": "Retain"},
            "data": data,
        },
    }


def holds(live: Any, wanted: Any) -> bool:
    """Whether everything wanted is there already; lists as they are, and what others added to objects does not count."""
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(
            key in live and holds(live[key], value) for key, value in wanted.items()
        )
    return bool(live == wanted)


# ---------------------------------------------------------------- how it is


def to_synced(live: Object, *, now: datetime) -> SyncedSecret:
    labels = live["metadata"].get("labels") or {}
    status = live.get("status") or {}
    phase, message = readiness(live, now=now)
    target = (live["spec"].get("target") or {}).get("name") or live["metadata"]["name"]
    return SyncedSecret(
        service=str(labels.get(SERVICE, "")),
        environment=str(labels.get(ENVIRONMENT, "")),
        keys=keys_of(live),
        phase=phase,
        message=message,
        secret=str(target),
        refreshed_at=_moment(status.get("refreshTime")),
        request_id=request_of(live),
    )


def readiness(live: Object, *, now: datetime) -> tuple[Phase, str]:
    """READY is synced, of this generation, and looked after lately. The operator tries again by itself after a failure."""
    status, metadata = live.get("status") or {}, live["metadata"]
    found = {each["type"]: each for each in status.get("conditions") or []}
    ready = found.get("Ready", {})
    if metadata.get("deletionTimestamp"):
        return Phase.RUNNING, "It is being deleted"
    if not ready:
        return Phase.PENDING, "External Secrets has not looked at it yet"
    if ready.get("status") == "False":
        return Phase.FAILED, _said("Not synced", ready)
    if (ready.get("status"), ready.get("reason")) != ("True", "SecretSynced"):
        return Phase.UNKNOWN, _said("Its state is not known", ready)
    synced = _SYNCED.fullmatch(str(status.get("syncedResourceVersion", "")))
    if synced is None or int(synced.group(1)) != metadata.get("generation"):
        return Phase.RUNNING, "Synced before the last change; External Secrets has not looked again yet"
    return _lately(live, now)


def _lately(live: Object, now: datetime) -> tuple[Phase, str]:
    refreshed = _moment((live.get("status") or {}).get("refreshTime"))
    interval = re.fullmatch(r"(\d+)s", str(live["spec"].get("refreshInterval", "")))
    if refreshed is None or interval is None:
        return Phase.READY, ""
    allowed = timedelta(seconds=LATE_ROUNDS * int(interval.group(1)) + LATE_SECONDS)
    if int(interval.group(1)) and now - refreshed > allowed:
        return Phase.UNKNOWN, "Synced once, but not refreshed for long; does External Secrets run?"
    return Phase.READY, ""


def _said(first: str, condition: Mapping[str, Any]) -> str:
    told: Iterable[str] = (first, str(condition.get("reason", "")), str(condition.get("message", "")))
    return foreign_text(": ".join(each for each in told if each))


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None
