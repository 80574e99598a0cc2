"""The hash an approval binds to: the same for the same plan however it was made or stored, another for any other plan."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_context import make_plan
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from requests_drawn import gates, plans

from bot.domain import (
    Change,
    Cost,
    Gate,
    OnFailure,
    Plan,
    PlannedCommit,
    PlannedFile,
    PlannedStep,
    Verdict,
    canonical_json,
    plan_hash,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
gate_sets = st.lists(gates, max_size=3).map(tuple)

FULL = make_plan(
    arguments={"service": "orders", "to": "production"},
    changes=(Change(kind="ref", action="move", name="release", environment="production", detail="to abc"),),
    steps=(
        PlannedStep(key="deploy", title="Deploy", arguments={"revision": "a" * 40, "nested": {"x": [1, 2]}}),
    ),
    commits=(
        PlannedCommit(sha="a" * 40, subject="First", author_name="Omar", author_email="omar@example.com"),
    ),
    files=(PlannedFile(path="a.py", status="modified", additions=1, deletions=2),),
    facts={"source_revision": "a" * 40, "target_revision": "b" * 40},
    notes=("Mind the gap.",),
    cost=Cost(currency="EUR", monthly=21.0, lines=(("service", 12.0), ("database", 9.0))),
    announce="orders → production",
)
GATES = (Gate(rule="approval", verdict=Verdict.NEEDS_APPROVAL, reason="why", group="leads:orders", needed=1),)


@given(json_values)
def test_one_value_has_one_text(value: Any) -> None:
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text
    assert "\n" not in text


@given(st.dictionaries(st.text(), json_values, min_size=2, max_size=5))
def test_the_order_of_keys_is_irrelevant(value: dict[str, Any]) -> None:
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_json_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json({"x": number})


@given(plan=plans, answers=gate_sets)
@settings(max_examples=60)
def test_a_plan_read_back_from_the_database_has_the_hash_that_was_approved(
    plan: Plan, answers: tuple[Gate, ...]
) -> None:
    stored = json.loads(json.dumps(plan.model_dump(mode="json"), sort_keys=True))
    stored_gates = tuple(Gate.model_validate(json.loads(gate.model_dump_json())) for gate in answers)
    assert plan_hash(Plan.model_validate(stored), stored_gates) == plan_hash(plan, answers)
    assert plan_hash(Plan.model_validate_json(plan.model_dump_json()), answers) == plan_hash(plan, answers)


@given(first=plans, second=plans)
@settings(max_examples=60)
def test_two_plans_share_a_hash_only_when_they_are_equal(first: Plan, second: Plan) -> None:
    assert (plan_hash(first, ()) == plan_hash(second, ())) is (first == second)


@given(first=gate_sets, second=gate_sets)
def test_other_answers_of_the_rules_are_another_plan(
    first: tuple[Gate, ...], second: tuple[Gate, ...]
) -> None:
    assume(first != second)
    assert plan_hash(FULL, first) != plan_hash(FULL, second)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every scalar of a JSON value."""
    if isinstance(value, dict):
        return [leaf for key, part in value.items() for leaf in leaves(part, (*path, key))]
    if isinstance(value, list):
        return [leaf for index, part in enumerate(value) for leaf in leaves(part, (*path, index))]
    return [path]


def other(value: Any) -> Any:
    """A different value of the same kind; closed sets of words give their other word."""
    if value == OnFailure.UNDO.value:
        return OnFailure.STOP.value
    if value == Verdict.NEEDS_APPROVAL.value:
        return Verdict.PASS.value
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int | float) else f"{value}x"


def changed(value: Any, path: tuple[Any, ...]) -> Any:
    copy = json.loads(json.dumps(value))
    node = copy
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = other(node[path[-1]])
    return copy


@pytest.mark.parametrize(
    "path", leaves(FULL.model_dump(mode="json")), ids=lambda path: ".".join(map(str, path))
)
def test_every_single_value_of_a_plan_is_bound(path: tuple[Any, ...]) -> None:
    tampered = Plan.model_validate(changed(FULL.model_dump(mode="json"), path))
    assert plan_hash(tampered, GATES) != plan_hash(FULL, GATES)


@pytest.mark.parametrize(
    "path", leaves(GATES[0].model_dump(mode="json")), ids=lambda path: ".".join(map(str, path))
)
def test_every_single_value_of_a_gate_is_bound(path: tuple[Any, ...]) -> None:
    tampered = Gate.model_validate(changed(GATES[0].model_dump(mode="json"), path))
    assert plan_hash(FULL, (tampered,)) != plan_hash(FULL, GATES)


def test_a_step_a_change_or_a_gate_more_or_fewer_or_in_another_order_is_another_plan() -> None:
    whole = plan_hash(FULL, GATES)
    second = PlannedStep(key="watch", title="Watch")
    longer = FULL.model_copy(update={"steps": (*FULL.steps, second)})
    turned = FULL.model_copy(update={"steps": (second, *FULL.steps)})
    fewer = FULL.model_copy(update={"changes": ()})
    assert len({whole, *(plan_hash(one, GATES) for one in (longer, turned, fewer)), plan_hash(FULL, ())}) == 5
