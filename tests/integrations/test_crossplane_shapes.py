"""What Crossplane's objects mean, without a server: conditions, definitions, secrets, namespaces."""

from __future__ import annotations

from typing import Any

import pytest
from composing import DATABASES, NAMESPACED_CACHES, condition, definition
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import BackendErrorKind, PermanentBackendError
from integrations import _crossplane as shapes
from integrations._crossplane import Style
from integrations._kubernetes import Object
from integrations.ports import ClaimSpec, Phase

READY = condition("Ready", "True", "Available")
SYNCED = condition("Synced", "True", "ReconcileSuccess")
PAUSED = condition("Synced", "False", "ReconcilePaused", "paused by an annotation")
ERROR = condition("Synced", "False", "ReconcileError", "cannot compose: denied by the provider")
CREATING = condition("Ready", "False", "Creating", "Unready resources: instance, subnet-group, and 3 more")
UNKNOWN = condition("Ready", "Unknown", "")
TRIPPED = condition("Responsive", "False", "WatchCircuitOpen", "too many events")


def claim(*conditions: Object, generation: int = 1, **metadata: Any) -> Object:
    return {
        "metadata": {"name": "orders-db", "generation": generation, **metadata},
        "status": {"conditions": list(conditions)},
    }


@pytest.mark.parametrize(
    ("item", "phase", "says"),
    [
        (claim(), Phase.PENDING, "not looked at"),
        ({"metadata": {"name": "orders-db"}}, Phase.PENDING, "not looked at"),
        (claim(SYNCED, CREATING), Phase.RUNNING, "Creating: Unready resources: instance"),
        (claim(ERROR), Phase.RUNNING, "denied by the provider"),
        # A database that was ready and can no longer be reconciled is not told as ready.
        (claim(ERROR, READY), Phase.RUNNING, "denied by the provider"),
        (claim(PAUSED, READY), Phase.WAITING_HUMAN, "crossplane.io/paused"),
        (claim(SYNCED, READY), Phase.READY, ""),
        (claim(SYNCED, READY, TRIPPED), Phase.READY, ""),
        (claim(READY), Phase.RUNNING, ""),
        (claim(SYNCED), Phase.RUNNING, ""),
        (claim(SYNCED, UNKNOWN), Phase.UNKNOWN, ""),
        (claim(SYNCED, READY, deletionTimestamp="2026-11-21T03:00:00Z"), Phase.RUNNING, "being deleted"),
    ],
)
def test_conditions_are_told_as_a_phase_and_a_sentence(item: Object, phase: Phase, says: str) -> None:
    told, message = shapes.readiness(item)
    assert told is phase
    assert says in message


def test_ready_about_an_earlier_generation_is_not_ready() -> None:
    synced, ready = (
        condition(kind, "True", "Whatever", observedGeneration=1) for kind in ("Synced", "Ready")
    )
    assert shapes.readiness(claim(synced, ready, generation=1))[0] is Phase.READY
    assert shapes.readiness(claim(synced, ready, generation=2))[0] is Phase.PENDING


def test_a_secret_in_a_message_of_the_provider_is_removed() -> None:
    leaking = condition("Synced", "False", "ReconcileError", "login failed: password=hunter2 rejected")
    assert "hunter2" not in shapes.readiness(claim(leaking))[1]


@pytest.mark.parametrize(
    ("item", "holds"),
    [
        (claim(), False),
        (claim(SYNCED, CREATING), False),
        (claim(ERROR), False),
        (claim(SYNCED, READY), True),
        (claim(ERROR, READY), True),
        (claim(UNKNOWN), True),
        (claim(condition("Ready", "True", "Available", observedGeneration=1), generation=2), True),
        (claim(SYNCED, CREATING, annotations={shapes.WAS_READY: "true"}), True),
        (
            {"metadata": {"name": "x"}, "status": {"connectionDetails": {"lastPublishedTime": "2026-11-21"}}},
            True,
        ),
    ],
)
def test_only_what_provably_never_was_ready_holds_no_data(item: Object, holds: bool) -> None:
    assert shapes.may_hold_data(item) is holds


# ---------------------------------------------------------------- definitions


def test_a_claim_is_offered_in_its_own_names_and_in_the_version_that_is_referenceable() -> None:
    offer = shapes.parse_offer(DATABASES)
    assert (offer.style, str(offer.resource), offer.resource.version) == (
        Style.CLAIM,
        "databaseclaims.platform.company.com",
        "v1alpha1",
    )


def test_a_definition_of_crossplane_1_has_no_scope_and_means_a_claim() -> None:
    spec = {key: value for key, value in DATABASES["spec"].items() if key != "scope"}
    assert shapes.parse_offer({**DATABASES, "spec": spec}).style is Style.CLAIM


def test_a_namespaced_resource_is_offered_itself() -> None:
    offer = shapes.parse_offer(NAMESPACED_CACHES)
    assert (offer.style, offer.resource.kind, offer.resource.version) == (Style.NAMESPACED, "Cache", "v1")


@pytest.mark.parametrize(
    "xrd",
    [
        definition("xthings", "XThing", scope="Cluster"),
        definition("xthings", "XThing", scope="LegacyCluster"),
        definition("things", "Thing", scope="Namespaced", versions=[]),
    ],
    ids=["cluster-scoped", "without a claim", "without a version"],
)
def test_a_definition_that_no_namespace_separates_or_nobody_serves_is_refused(xrd: Object) -> None:
    with pytest.raises(PermanentBackendError) as refused:
        shapes.parse_offer(xrd)
    assert refused.value.kind is BackendErrorKind.INVALID


def test_why_a_definition_is_not_established_is_told() -> None:
    broken = condition("Established", "False", "Invalid", "schema is not structural")
    offer = shapes.parse_offer({**NAMESPACED_CACHES, "status": {"conditions": [broken]}})
    assert offer.problem == "caches.platform.company.com is not Established: schema is not structural"


# ---------------------------------------------------------------- connection secrets


@pytest.mark.parametrize(
    ("status", "style", "field", "secret"),
    [
        ({}, Style.CLAIM, "", ""),
        (
            {"connectionDetails": {"lastPublishedTime": "2026-11-21T03:00:00Z"}},
            Style.CLAIM,
            "",
            "orders-connection",
        ),
        ({}, Style.NAMESPACED, "", "orders-connection"),
        ({}, Style.NAMESPACED, "secret.name", ""),
        ({"secret": {"name": "orders-x7k2p"}}, Style.NAMESPACED, "secret.name", "orders-x7k2p"),
        ({"secret": "text"}, Style.NAMESPACED, "secret.name", ""),
        ({"secret": {"name": 7}}, Style.NAMESPACED, "secret.name", ""),
    ],
)
def test_a_secret_is_named_only_on_evidence(status: Object, style: Style, field: str, secret: str) -> None:
    found = shapes.published_secret(
        {"metadata": {}, "status": status}, style=style, name="orders-connection", status_field=field
    )
    assert found == secret


# ---------------------------------------------------------------- our objects


def spec(team: str = "orders", environment: str = "staging") -> ClaimSpec:
    return ClaimSpec("orders-db", kind="postgresql", service="orders", environment=environment, team=team)


def test_a_namespaced_resource_gets_no_field_that_only_a_claim_has() -> None:
    offer = shapes.parse_offer(NAMESPACED_CACHES)
    made = shapes.intent(
        offer, spec(), namespace="orders-staging", parameters={"engine": "redis"}, secret="s", request_id="r1"
    )
    assert made["spec"] == {"engine": "redis"}


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
MAPPINGS = st.dictionaries(st.text(max_size=3), JSONS, max_size=3)


@given(MAPPINGS, MAPPINGS)
def test_whatever_is_laid_over_is_held_afterwards(first: Object, second: Object) -> None:
    assert shapes.holds(shapes.merged(first, second), second)


@given(MAPPINGS)
def test_what_others_add_does_not_count_and_what_is_missing_does(wanted: Object) -> None:
    assert shapes.holds({**wanted, "added by others": 1}, wanted)
    assert not shapes.holds(wanted, {**wanted, "added by us": 1})
