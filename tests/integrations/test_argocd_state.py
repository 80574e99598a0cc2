"""What an Application's state means, by tables: no Argo CD is asked."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import BackendErrorKind, TemporaryBackendError
from integrations import _argocd_shapes as shapes
from integrations import _argocd_state as state
from integrations._argocd_api import refusal
from integrations._argocd_rollouts import parse_rollout
from integrations._http import Answer
from integrations.ports import Deployment, Health, Phase, SyncStatus

SHA, OLD = "a" * 40, "b" * 40
KEY = "r1.1.deploy"
T1, T2, T3, T4, T5 = (f"2026-01-01T10:00:{second:02}Z" for second in (0, 10, 20, 30, 40))
NOW = datetime(2026, 1, 1, 10, 1, tzinfo=UTC)
GRACE = timedelta(seconds=30)

GOOD: dict[str, Any] = {
    "metadata": {"name": "orders-production", "namespace": "argocd", "generation": 3, "resourceVersion": "7"},
    "spec": {
        "project": "orders",
        "source": {"repoURL": "https://git.test/orders.git", "targetRevision": SHA},
    },
    "status": {
        "sync": {"status": "Synced", "revision": SHA},
        "health": {"status": "Healthy", "lastTransitionTime": T2},
        "reconciledAt": T4,
        "operationState": {
            "phase": "Succeeded",
            "startedAt": T1,
            "finishedAt": T3,
            "message": "successfully synced (all tasks run)",
            "operation": {
                "info": [{"name": "request-id", "value": "r1"}, {"name": "operation", "value": KEY}],
                "initiatedBy": {"username": "slack:U1"},
                "sync": {"revision": SHA},
            },
            "syncResult": {"revision": SHA, "resources": []},
        },
        "history": [{"id": 7, "revision": SHA, "deployedAt": T3, "source": {}}],
        "summary": {"images": ["registry.test/x@sha256:1"]},
    },
}


def changed(**changes: Any) -> dict[str, Any]:
    """The good one, changed at dotted places below `status` (double underscores for dots); None takes away."""
    body = copy.deepcopy(GOOD)
    for place, value in changes.items():
        *way, last = place.split("__")
        node = body["status"]
        for each in way:
            node = node[each]
        if value is None:
            node.pop(last, None)
        else:
            node[last] = value
    return body


def judge(
    body: dict[str, Any], *, key: str = KEY, canary: Any = None, now: datetime = NOW
) -> Deployment | None:
    app = shapes.parse_application(body)
    return state.describe_deployment(app, key, canary=canary, now=now, grace=GRACE)


CASES: list[tuple[str, dict[str, Any], Phase, str]] = [
    ("all conditions hold", {}, Phase.READY, ""),
    ("the health is from before the end", {"reconciledAt": T2}, Phase.RUNNING, "look again"),
    ("looked at within the second it ended", {"reconciledAt": T3}, Phase.RUNNING, "look again"),
    ("never looked at", {"reconciledAt": None}, Phase.RUNNING, "look again"),
    ("stale and degraded", {"reconciledAt": T2, "health__status": "Degraded"}, Phase.RUNNING, "look again"),
    ("progressing", {"health__status": "Progressing"}, Phase.RUNNING, "progressing"),
    ("missing", {"health__status": "Missing"}, Phase.RUNNING, "missing"),
    ("degraded since long", {"health__status": "Degraded"}, Phase.FAILED, "degraded"),
    (
        "degraded just now",
        {"health": {"status": "Degraded", "lastTransitionTime": T5, "message": "no replicas"}},
        Phase.RUNNING,
        "no replicas",
    ),
    ("paused", {"health__status": "Suspended"}, Phase.WAITING_HUMAN, "waiting"),
    ("health unknown", {"health__status": "Unknown"}, Phase.UNKNOWN, "does not know"),
    ("no health at all", {"health": None}, Phase.UNKNOWN, "does not know"),
    ("a health nobody knows", {"health__status": "Splendid"}, Phase.UNKNOWN, "does not know"),
    ("out of sync", {"sync__status": "OutOfSync"}, Phase.RUNNING, "out of sync"),
    ("sync unknown", {"sync__status": "Unknown"}, Phase.UNKNOWN, "cannot tell"),
    ("compared with another revision", {"sync__revision": OLD}, Phase.RUNNING, "compares with bbbbbbb"),
    ("another revision was synced", {"operationState__syncResult__revision": OLD}, Phase.FAILED, "bbbbbbb"),
    ("nothing was synced", {"operationState__syncResult": None}, Phase.FAILED, "no revision"),
    (
        "an error condition",
        {"conditions": [{"type": "ComparisonError", "message": "repository not found"}]},
        Phase.UNKNOWN,
        "repository not found",
    ),
    (
        "a warning is no error",
        {"conditions": [{"type": "OrphanedResourceWarning", "message": "x"}]},
        Phase.READY,
        "",
    ),
    (
        "running",
        {"operationState__phase": "Running", "operationState__finishedAt": None},
        Phase.RUNNING,
        "synced",
    ),
    ("running, but finished", {"operationState__phase": "Running"}, Phase.RUNNING, "retry 1"),
    ("terminating", {"operationState__phase": "Terminating"}, Phase.RUNNING, "being stopped"),
    (
        "blocked",
        {
            "operationState__phase": "Running",
            "operationState__finishedAt": None,
            "operationState__message": "Sync operation blocked by sync window",
        },
        Phase.PENDING,
        "sync window",
    ),
    ("failed", {"operationState__phase": "Failed", "operationState__message": "no"}, Phase.FAILED, "no"),
    ("error", {"operationState__phase": "Error", "operationState__message": ""}, Phase.FAILED, "Error"),
    ("a phase nobody knows", {"operationState__phase": "Dreaming"}, Phase.UNKNOWN, "Dreaming"),
]


@pytest.mark.parametrize(
    ("changes", "phase", "said"), [each[1:] for each in CASES], ids=[c[0] for c in CASES]
)
def test_what_becomes_of_an_operation(changes: dict[str, Any], phase: Phase, said: str) -> None:
    found = judge(changed(**changes))
    assert found is not None
    assert found.phase is phase
    assert said in found.message


def test_the_stale_health_of_the_old_revision_never_counts() -> None:
    """Succeeded with the old one's health, then progressing, then degraded: at no moment was it ready."""
    seen = [
        changed(reconciledAt=T2),
        changed(health={"status": "Progressing", "lastTransitionTime": T4}),
        changed(reconciledAt=T5, health={"status": "Degraded", "lastTransitionTime": T5}),
    ]
    late = NOW + timedelta(minutes=1)
    phases = [found.phase for each in seen if (found := judge(each, now=late)) is not None]
    assert phases == [Phase.RUNNING, Phase.RUNNING, Phase.FAILED]


@given(
    health=st.sampled_from(["Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown", ""]),
    sync=st.sampled_from(["Synced", "OutOfSync", "Unknown", ""]),
    phase=st.sampled_from(["Running", "Terminating", "Succeeded", "Failed", "Error", ""]),
    revisions=st.lists(st.sampled_from([SHA, OLD, ""]), min_size=2, max_size=2),
    looked=st.sampled_from([T1, T3, T4, None]),
    blind=st.booleans(),
)
def test_ready_needs_every_condition(
    health: str, sync: str, phase: str, revisions: list[str], looked: str | None, blind: bool
) -> None:
    body = changed(
        health={"status": health},
        sync={"status": sync, "revision": revisions[0]},
        operationState__phase=phase,
        operationState__syncResult={"revision": revisions[1]},
        reconciledAt=looked,
        conditions=[{"type": "ComparisonError", "message": "x"}] if blind else [],
    )
    found = judge(body)
    assert found is not None
    everything = (health, sync, phase, revisions, looked, blind) == (
        *("Healthy", "Synced", "Succeeded", [SHA, SHA], T4),
        False,
    )
    assert (found.phase is Phase.READY) == everything


# ---------------------------------------------------------------- whose operation


def test_an_operation_is_told_by_its_key_never_by_its_time() -> None:
    assert judge(GOOD, key="r2.1.deploy") is None
    assert judge(changed(operationState__operation={"sync": {"revision": SHA}})) is None


def test_an_operation_that_was_not_begun_is_pending_and_an_old_outcome_is_not_its_own() -> None:
    body = changed()
    body["operation"] = {"info": [{"name": "operation", "value": "r2.1.deploy"}], "sync": {"revision": OLD}}
    found = judge(body, key="r2.1.deploy")
    assert found is not None
    assert (found.phase, found.revision, found.started_at) == (Phase.PENDING, OLD, None)
    assert judge(body) is not None


def journal(*entries: shapes.JournalEntry) -> dict[str, Any]:
    body = changed()
    body["metadata"]["annotations"] = {shapes.JOURNAL_ANNOTATION: shapes.journal_text(entries)}
    return body


def test_a_noted_operation_that_never_began_may_be_asked_for_again() -> None:
    app = shapes.parse_application(GOOD)
    asked = shapes.Asked(key="r2.1.deploy", request_id="r2", revision=OLD, actor="Alice")
    (entry,) = shapes.with_asked(app, asked)
    assert judge(journal(entry), key="r2.1.deploy") is None


def test_a_noted_operation_that_was_replaced_is_never_asked_for_again() -> None:
    entry = shapes.JournalEntry("r0.1.deploy", OLD, "Alice", before="something else", history=3)
    found = judge(journal(entry), key="r0.1.deploy")
    assert found is not None
    assert (found.phase, found.revision) == (Phase.FAILED, OLD)


def test_the_journal_keeps_the_newest() -> None:
    entries = [
        shapes.JournalEntry(f"r{n}.1.deploy", SHA, "Ünal", "", n, healthy=n % 2 == 0) for n in range(30)
    ]
    assert list(shapes.parse_journal(shapes.journal_text(entries))) == entries[-shapes.JOURNAL_LENGTH :]


def test_a_journal_that_cannot_be_read_stops_everything() -> None:
    body = changed()
    body["metadata"]["annotations"] = {shapes.JOURNAL_ANNOTATION: "{"}
    with pytest.raises(TemporaryBackendError, match="cannot be read"):
        shapes.parse_application(body)


# ---------------------------------------------------------------- the application


@pytest.mark.parametrize(
    ("changes", "health"),
    [
        ({}, Health.HEALTHY),
        ({"reconciledAt": T2}, Health.PROGRESSING),
        ({"history": []}, Health.MISSING),
        ({"conditions": [{"type": "ComparisonError", "message": "x"}]}, Health.UNKNOWN),
        ({"conditions": [{"type": "SyncError", "message": "x"}]}, Health.HEALTHY),
        ({"health__status": "Degraded"}, Health.DEGRADED),
        ({"health__status": "Suspended"}, Health.SUSPENDED),
        ({"health": None}, Health.UNKNOWN),
        ({"health__status": "Splendid"}, Health.UNKNOWN),
    ],
)
def test_healthy_is_said_only_on_a_fresh_and_seeing_look(changes: dict[str, Any], health: Health) -> None:
    assert state.observed_health(shapes.parse_application(changed(**changes))) is health


@pytest.mark.parametrize(
    ("said", "sync"),
    [("Synced", SyncStatus.SYNCED), ("OutOfSync", SyncStatus.OUT_OF_SYNC), ("Unknown", SyncStatus.UNKNOWN)],
)
def test_sync_in_the_ports_words(said: str, sync: SyncStatus) -> None:
    assert state.observed_sync(shapes.parse_application(changed(sync__status=said))) is sync


def test_what_is_unhealthy_is_said_line_by_line() -> None:
    resources = [
        {"kind": "Deployment", "name": "orders", "health": {"status": "Degraded", "message": "no image"}},
        {"kind": "Service", "name": "orders", "health": {"status": "Healthy"}},
        {"kind": "ConfigMap", "name": "orders"},
        {"kind": "Job", "name": "migrate", "health": {"status": "Missing"}},
    ]
    app = shapes.parse_application(changed(resources=resources))
    assert state.unhealthy_resources(app) == ("Deployment orders: no image", "Job migrate: missing")


@pytest.mark.parametrize(
    ("body", "automated"),
    [({}, False), ({"automated": {}}, True), ({"automated": {"enabled": False}}, False)],
)
def test_whether_a_branch_decides(body: dict[str, Any], automated: bool) -> None:
    whole = changed()
    whole["spec"]["syncPolicy"] = body
    assert shapes.parse_application(whole).is_automated is automated


@pytest.mark.parametrize(
    "body", [None, [], "x", {}, {"metadata": {"name": "x"}}, changed(reconciledAt="soon")]
)
def test_what_is_no_application_is_no_answer(body: Any) -> None:
    with pytest.raises(TemporaryBackendError, match="cannot be read"):
        shapes.parse_application(body)


# ---------------------------------------------------------------- with a canary

ROLLOUT: dict[str, Any] = {
    "metadata": {"name": "orders", "namespace": "orders-production", "generation": 4, "resourceVersion": "9"},
    "spec": {
        "strategy": {
            "canary": {
                "steps": [{"setWeight": 10}, {"pause": {}}, {"setWeight": 50}, {"pause": {"duration": 60}}]
            }
        }
    },
    "status": {
        "observedGeneration": "4",
        "phase": "Paused",
        "message": "CanaryPauseStep",
        "currentStepIndex": 1,
        "controllerPause": True,
        "pauseConditions": [{"reason": "CanaryPauseStep", "startTime": T1}],
        "stableRS": "aaa",
        "currentPodHash": "bbb",
        "canary": {
            "weights": {
                "canary": {"weight": 12, "podTemplateHash": "bbb"},
                "stable": {"weight": 88, "podTemplateHash": "aaa"},
            }
        },
    },
}


def test_a_paused_canary_waits_for_somebody_and_says_where_it_is() -> None:
    found = judge(changed(health__status="Suspended"), canary=parse_rollout(ROLLOUT))
    assert found is not None
    assert (found.phase, found.health, found.step, found.weight_percent, found.message) == (
        *(Phase.WAITING_HUMAN, Health.SUSPENDED, "2/4", 12),
        "",
    )
    assert found.paused
    # The canary is ahead of Argo CD's look at it.
    early = judge(GOOD, canary=parse_rollout(ROLLOUT))
    assert early is not None
    assert (early.phase, early.paused) == (Phase.WAITING_HUMAN, True)


def test_one_that_was_stopped_by_hand_is_not_the_bots_to_continue() -> None:
    held = copy.deepcopy(ROLLOUT)
    held["spec"]["paused"] = True
    found = judge(changed(health__status="Suspended"), canary=parse_rollout(held))
    assert found is not None
    assert (found.phase, found.paused) == (Phase.WAITING_HUMAN, False)
    assert found.message == "stopped by hand in the cluster (spec.paused); who did that has to let it go"


def test_healthy_with_a_canary_that_is_not_through_is_not_ready() -> None:
    rolling = copy.deepcopy(ROLLOUT)
    rolling["status"] |= {"phase": "Progressing", "pauseConditions": None, "controllerPause": False}
    found = judge(GOOD, canary=parse_rollout(rolling))
    assert found is not None
    assert found.phase is Phase.RUNNING
    through = copy.deepcopy(ROLLOUT)
    through["status"] |= {
        "phase": "Healthy",
        "stableRS": "bbb",
        "currentStepIndex": 4,
        "pauseConditions": None,
    }
    through["status"]["controllerPause"] = False
    ready = judge(GOOD, canary=parse_rollout(through))
    assert ready is not None
    assert (ready.phase, ready.step, ready.weight_percent) == (Phase.READY, "", None)


# ---------------------------------------------------------------- Argo CD's own refusals


@pytest.mark.parametrize(
    ("status", "message", "kind", "temporary"),
    [
        (400, "another operation is already in progress", BackendErrorKind.NOT_READY, True),
        (400, f"Cannot sync to {SHA}: auto-sync currently set to main", BackendErrorKind.CONFLICT, False),
        (400, "application is deleting", BackendErrorKind.CONFLICT, False),
        (
            400,
            "existing application spec is different, use upsert flag",
            BackendErrorKind.ALREADY_EXISTS,
            False,
        ),
        (400, "application spec is invalid", BackendErrorKind.INVALID, False),
        (401, "invalid session: token has expired", BackendErrorKind.DENIED, False),
        (403, "permission denied", BackendErrorKind.DENIED, False),
        (403, "cannot sync: blocked by sync window", BackendErrorKind.NOT_READY, True),
        (404, 'applications.argoproj.io "x" not found', BackendErrorKind.NOT_FOUND, False),
        (409, "Operation cannot be fulfilled: the object has been modified", BackendErrorKind.CONFLICT, True),
        (429, "slow down", BackendErrorKind.RATE_LIMITED, True),
        (500, "rpc error: code = Unknown", BackendErrorKind.UNAVAILABLE, True),
        (504, "", BackendErrorKind.UNAVAILABLE, True),
    ],
)
def test_what_argo_cds_server_means(
    status: int, message: str, kind: BackendErrorKind, temporary: bool
) -> None:
    content = json.dumps({"error": message, "code": 9, "message": message}).encode() if message else b"<html>"
    error = refusal(Answer(status, httpx.Headers({"retry-after": "7"}), content), NOW)
    assert (error.kind, error.temporary) == (kind, temporary)
    if isinstance(error, TemporaryBackendError) and kind in {
        BackendErrorKind.RATE_LIMITED,
        BackendErrorKind.UNAVAILABLE,
    }:
        assert error.retry_after_seconds == 7
