"""What Argo CD says, as values: Application objects parsed from JSON, and what the bot writes down on them. Pure.

Argo CD keeps the last operation only, and its history knows neither who asked through which request nor what was healthy. So the
bot keeps a journal of its own operations in an annotation of the Application: that is how a key is found again after another
operation took the place of ours. Must not decide what any of it means: that is `_argocd_state`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from integrations._http import unreadable

BACKEND: Final = "Argo CD"

SERVICE_LABEL: Final = "platform-bot/service"
ENVIRONMENT_LABEL: Final = "platform-bot/environment"
TEAM_LABEL: Final = "platform-bot/team"
MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "platform-bot"
REQUEST_ANNOTATION: Final = "platform-bot/request-id"
JOURNAL_ANNOTATION: Final = "platform-bot/operations"
REFRESH_ANNOTATION: Final = "argocd.argoproj.io/refresh"
FINALIZER: Final = "resources-finalizer.argocd.argoproj.io"
"""Its presence is what makes a deletion take the workloads along; without it they are left running."""

IN_CLUSTER: Final = "https://kubernetes.default.svc"

OPERATION_INFO: Final = "operation"
REQUEST_INFO: Final = "request-id"
JOURNAL_LENGTH: Final = 20
AUTO_SYNC: Final = "auto-sync"

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """An operation as it was asked for; `key` is ours, empty where somebody else asked."""

    key: str
    request_id: str
    revision: str
    actor: str


@dataclass(frozen=True)
class OperationState:
    """The last operation: under way, or how it ended. `synced` is the revision that it says it applied."""

    asked: Asked
    phase: str
    message: str
    started_at: datetime | None
    finished_at: datetime | None
    synced: str
    retries: int

    @property
    def is_under_way(self) -> bool:
        return self.phase in {"Running", "Terminating"}

    @property
    def identity(self) -> str:
        """Tells this operation from the one before and after it, across reads."""
        started = self.started_at.isoformat() if self.started_at else ""
        return f"{started} {self.asked.key or self.asked.actor}"


@dataclass(frozen=True)
class HistoryEntry:
    id: int
    revision: str
    deployed_at: datetime
    actor: str


@dataclass(frozen=True)
class ResourceStatus:
    """One object of the application. `health` is empty where Argo CD keeps it elsewhere (the default since 3.0)."""

    group: str
    kind: str
    namespace: str
    name: str
    sync: str
    health: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class JournalEntry:
    """One operation of the bot. `before` and `history` say how things stood when it was asked for."""

    key: str
    revision: str
    actor: str
    before: str
    history: int
    healthy: bool = False


@dataclass(frozen=True)
class ArgoApplication:
    """An Application object, as far as the bot looks at it."""

    name: str
    namespace: str
    uid: str
    resource_version: str
    project: str
    service: str
    environment: str
    team: str
    managed_by: str
    request_id: str | None
    is_deleting: bool
    is_refreshing: bool
    finalizers: tuple[str, ...]
    is_here: bool
    """Whether it runs in the cluster that Argo CD itself runs in."""
    destination_namespace: str
    destination_clusters: tuple[str, ...]
    """Name and address, as far as it says them."""
    is_automated: bool
    target_revision: str
    sync_options: tuple[str, ...]
    retry: Json | None
    pending: Asked | None
    last: OperationState | None
    sync_status: str
    sync_revision: str
    health: str
    health_message: str
    health_since: datetime | None
    reconciled_at: datetime | None
    errors: tuple[str, ...]
    """Conditions that end in Error, `type: message`."""
    history: tuple[HistoryEntry, ...]
    """Oldest first, as Argo CD keeps it."""
    resources: tuple[ResourceStatus, ...]
    external_urls: tuple[str, ...]
    journal: tuple[JournalEntry, ...]

    @property
    def under_way(self) -> Asked | None:
        """What Argo CD is busy with, or is about to be."""
        if self.pending is not None:
            return self.pending
        return self.last.asked if self.last is not None and self.last.is_under_way else None

    @property
    def live_revision(self) -> str | None:
        return self.history[-1].revision if self.history else None

    @property
    def rollouts(self) -> tuple[ResourceStatus, ...]:
        return tuple(each for each in self.resources if (each.group, each.kind) == ("argoproj.io", "Rollout"))

    def remembered(self, key: str) -> JournalEntry | None:
        return next((each for each in reversed(self.journal) if each.key == key), None)

    @property
    def place(self) -> str:
        return f"{self.namespace}/{self.name}"

    def is_of(self, service: str, environment: str) -> bool:
        """Whether it is the bot's for this service: two services may add up to one name (`a`, `b-c` and `a-b`, `c`)."""
        ours = (MANAGED_BY, service, environment)
        return (self.managed_by, self.service, self.environment) == ours


# ---------------------------------------------------------------- parsing


def parse_application(body: Any) -> ArgoApplication:
    """Raises TemporaryBackendError for anything that is no Application: then nothing is known."""
    try:
        return _application(body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unreadable(BACKEND, f"no Application ({type(error).__name__}: {str(error)[:60]})") from error


def _application(body: Json) -> ArgoApplication:
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    policy, source = spec.get("syncPolicy") or {}, spec.get("source") or {}
    sync, health = status.get("sync") or {}, status.get("health") or {}
    destination = spec.get("destination") or {}
    return ArgoApplication(
        name=str(metadata["name"]),
        namespace=str(metadata.get("namespace", "")),
        uid=str(metadata.get("uid", "")),
        resource_version=str(metadata.get("resourceVersion", "")),
        project=str(spec["project"]),
        service=str(labels.get(SERVICE_LABEL, "")),
        environment=str(labels.get(ENVIRONMENT_LABEL, "")),
        team=str(labels.get(TEAM_LABEL, "")),
        managed_by=str(labels.get(MANAGED_BY_LABEL, "")),
        request_id=annotations.get(REQUEST_ANNOTATION),
        is_deleting=bool(metadata.get("deletionTimestamp")),
        is_refreshing=REFRESH_ANNOTATION in annotations,
        finalizers=tuple(metadata.get("finalizers") or ()),
        is_here=_is_here(destination),
        destination_namespace=str(destination.get("namespace") or ""),
        destination_clusters=tuple(
            str(destination[each]) for each in ("name", "server") if destination.get(each)
        ),
        is_automated=_is_automated(policy),
        target_revision=str(source.get("targetRevision", "")),
        sync_options=tuple(policy.get("syncOptions") or ()),
        retry=policy.get("retry"),
        pending=_asked(body["operation"]) if body.get("operation") else None,
        last=_operation_state(status["operationState"]) if status.get("operationState") else None,
        sync_status=str(sync.get("status", "")),
        sync_revision=str(sync.get("revision", "")),
        health=str(health.get("status", "")),
        health_message=str(health.get("message", "")),
        health_since=parse_time(health.get("lastTransitionTime")),
        reconciled_at=parse_time(status.get("reconciledAt")),
        errors=tuple(
            f"{each['type']}: {each.get('message', '')}"
            for each in status.get("conditions") or ()
            if str(each.get("type", "")).endswith("Error")
        ),
        history=tuple(_history_entry(each) for each in status.get("history") or ()),
        resources=tuple(_resource(each) for each in status.get("resources") or ()),
        external_urls=tuple((status.get("summary") or {}).get("externalURLs") or ()),
        journal=parse_journal(annotations.get(JOURNAL_ANNOTATION, "")),
    )


def _is_here(destination: Json) -> bool:
    return destination.get("server") == IN_CLUSTER or destination.get("name") == "in-cluster"


def _is_automated(policy: Json) -> bool:
    """`automated` without `enabled` is on; `enabled: false` keeps the block and is manual."""
    automated = policy.get("automated")
    return automated is not None and automated.get("enabled") is not False


def _asked(operation: Json) -> Asked:
    info = {str(each["name"]): str(each["value"]) for each in operation.get("info") or ()}
    by = operation.get("initiatedBy") or {}
    return Asked(
        key=info.get(OPERATION_INFO, ""),
        request_id=info.get(REQUEST_INFO, ""),
        revision=str((operation.get("sync") or {}).get("revision", "")),
        actor=AUTO_SYNC if by.get("automated") else str(by.get("username", "")),
    )


def _operation_state(state: Json) -> OperationState:
    return OperationState(
        asked=_asked(state["operation"]),
        phase=str(state["phase"]),
        message=str(state.get("message", "")),
        started_at=parse_time(state.get("startedAt")),
        finished_at=parse_time(state.get("finishedAt")),
        synced=str((state.get("syncResult") or {}).get("revision", "")),
        retries=int(state.get("retryCount", 0)),
    )


def _history_entry(entry: Json) -> HistoryEntry:
    by = entry.get("initiatedBy") or {}
    deployed_at = parse_time(entry["deployedAt"])
    if deployed_at is None:
        raise ValueError("deployedAt is empty")
    actor = AUTO_SYNC if by.get("automated") else str(by.get("username", ""))
    return HistoryEntry(int(entry.get("id", 0)), str(entry["revision"]), deployed_at, actor)


def _resource(resource: Json) -> ResourceStatus:
    health = resource.get("health") or {}
    return ResourceStatus(
        group=str(resource.get("group", "")),
        kind=str(resource["kind"]),
        namespace=str(resource.get("namespace", "")),
        name=str(resource["name"]),
        sync=str(resource.get("status", "")),
        health=str(health.get("status", "")),
        message=str(health.get("message", "")),
    )


def parse_time(text: str | None) -> datetime | None:
    """RFC 3339 as Kubernetes writes it. Raises ValueError."""
    if not text:
        return None
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at.astimezone(UTC)


def parse_generator(body: Any, name: str) -> str:
    """What an ApplicationSet says is wrong with it; empty where it says nothing. None for `body`: there is none."""
    if body is None:
        return f"there is no ApplicationSet {name}"
    try:
        conditions = (body.get("status") or {}).get("conditions") or ()
        wrong = [each for each in conditions if (each["type"], each["status"]) == ("ErrorOccurred", "True")]
        return str(wrong[0].get("message") or "an error occurred") if wrong else ""
    except (KeyError, TypeError, AttributeError) as error:
        raise unreadable(BACKEND, f"no ApplicationSet ({type(error).__name__})") from error


# ---------------------------------------------------------------- the journal


def parse_journal(text: str) -> tuple[JournalEntry, ...]:
    """Raises ValueError: with a journal that cannot be read, no operation may be started, or it might be started twice."""
    entries = json.loads(text) if text else []
    return tuple(
        JournalEntry(
            key=each["key"],
            revision=each["revision"],
            actor=each["actor"],
            before=each["before"],
            history=each["history"],
            healthy=each.get("healthy", False),
        )
        for each in entries
    )


def journal_text(entries: Sequence[JournalEntry]) -> str:
    kept = [
        {
            "key": each.key,
            "revision": each.revision,
            "actor": each.actor,
            "before": each.before,
            "history": each.history,
            "healthy": each.healthy,
        }
        for each in entries[-JOURNAL_LENGTH:]
    ]
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False)


def with_asked(app: ArgoApplication, asked: Asked) -> tuple[JournalEntry, ...]:
    """The journal with this operation as its newest entry, and how the application stands just before it."""
    entry = JournalEntry(
        key=asked.key,
        revision=asked.revision,
        actor=asked.actor,
        before=app.last.identity if app.last else "",
        history=app.history[-1].id if app.history else -1,
    )
    return (*without(app, asked.key), entry)


def without(app: ArgoApplication, key: str) -> tuple[JournalEntry, ...]:
    return tuple(each for each in app.journal if each.key != key)


def with_healthy(app: ArgoApplication, key: str) -> tuple[JournalEntry, ...]:
    return tuple(replace(each, healthy=each.healthy or each.key == key) for each in app.journal)
