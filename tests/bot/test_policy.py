"""May this plan run now: every rule, by values."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import people_made as made
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import access, policy
from bot.domain import (
    Actor,
    Approval,
    ApprovalRule,
    Decision,
    EvidenceRule,
    Gate,
    Plan,
    PlannedCommit,
    Platform,
    Verdict,
)

PLATFORM = made.example_platform()
SHA, OLD = "a" * 40, "b" * 40


def promotion(*, facts: dict[str, str] | None = None, **changes: object) -> Plan:
    """A promotion that every rule likes; a fact of None in `facts` is left out."""
    usual = {
        "source_environment": "staging",
        "source_revision": SHA,
        "source_health": "healthy",
        "target_revision": OLD,
    }
    values = {
        "command": "promote",
        "title": "Promote orders to production",
        "summary": "",
        "service": "orders",
        "team": "orders",
        "environment": "production",
        "facts": {**usual, **(facts or {})},
        "commits": (commit("Omar@Example.com"), commit("alice@example.com")),
        **changes,
    }
    return Plan.model_validate(values)


def rollback(*, known_good: str = "true", **changes: object) -> Plan:
    facts = {"target_revision": SHA, "goal_revision": OLD, "rollback_known_good": known_good}
    return promotion(command="rollback").model_copy(update={"facts": facts, **changes})


def creation(name: str = "orders-api", **changes: object) -> Plan:
    values = {
        "command": "create-service",
        "title": "Create",
        "summary": "",
        "service": name,
        "team": "orders",
        "environment": "staging",
        "facts": {"template": "python-service", "template_revision": "c0ffee"},
        **changes,
    }
    return Plan.model_validate(values)


def commit(email: str) -> PlannedCommit:
    return PlannedCommit(sha=SHA, subject="Change", author_name="Somebody", author_email=email)


def without(plan: Plan, *facts: str) -> Plan:
    return plan.model_copy(update={"facts": {k: v for k, v in plan.facts.items() if k not in facts}})


def gates(plan: Plan, *, by: Actor | None = None, platform: Platform = PLATFORM) -> tuple[Gate, ...]:
    return policy.evaluate(plan, policy.Facts(by or made.alice(), platform, made.NOW))


def blocked(plan: Plan, **others: object) -> tuple[str, Verdict] | None:
    gate = policy.blocking(gates(plan, **others))  # type: ignore[arg-type]
    return (gate.rule, gate.verdict) if gate else None


# ---------------------------------------------------------------- promote


def test_a_healthy_new_revision_waits_for_a_lead_only() -> None:
    found = gates(promotion())
    assert policy.blocking(found) is None
    (asked,) = (gate for gate in found if gate.verdict is Verdict.NEEDS_APPROVAL)
    assert asked.rule == "production-approval"
    assert asked.reason == "A change in production needs approval by the leads of Orders."
    assert asked.who == "the leads of Orders (@orders-leads)"
    assert (asked.group, asked.needed) == ("leads:orders", 1)
    assert asked.excluded == ("UALICE0001",)
    assert asked.excluded_emails == ("alice@example.com", "omar@example.com")
    assert asked.exception == ""


@pytest.mark.parametrize(
    ("facts", "rule", "verdict"),
    [
        ({"target_revision": SHA}, "something-new", Verdict.DENY),
        ({"source_revision": ""}, "something-new", Verdict.DENY),
        ({"source_health": "degraded"}, "healthy-before", Verdict.DENY),
        ({"source_health": "progressing"}, "healthy-before", Verdict.DENY),
        ({"source_health": "missing"}, "healthy-before", Verdict.DENY),
        ({"source_health": "suspended"}, "healthy-before", Verdict.DENY),
        ({"source_health": "unknown"}, "healthy-before", Verdict.UNKNOWN),
        ({"source_health": "a word nobody knows"}, "healthy-before", Verdict.DENY),
        ({"target_health": "progressing"}, "settled-target", Verdict.DENY),
        ({"target_health": "suspended"}, "settled-target", Verdict.DENY),
        ({"target_health": "unknown"}, "settled-target", Verdict.UNKNOWN),
        ({"source_environment": "laptop"}, "promotion-order", Verdict.DENY),
        ({"commits_complete": "false"}, "known-authors", Verdict.DENY),
        ({"closed_window": "closed for the weekend"}, "open-window", Verdict.DENY),
    ],
)
def test_a_promotion_is_stopped_by_what_is_wrong(facts: dict[str, str], rule: str, verdict: Verdict) -> None:
    assert blocked(promotion(facts=facts)) == (rule, verdict)


@pytest.mark.parametrize(
    "facts", [{"target_revision": ""}, {"target_health": "degraded"}, {"target_health": ""}]
)
def test_a_first_promotion_and_a_repair_pass(facts: dict[str, str]) -> None:
    assert blocked(promotion(facts=facts)) is None


@pytest.mark.parametrize("fact", ["source_health", "source_revision", "target_revision"])
def test_what_nobody_asked_never_passes(fact: str) -> None:
    found = blocked(without(promotion(), fact))
    assert found is not None
    assert found[1] is Verdict.UNKNOWN


@given(health=st.text(max_size=12))
def test_only_healthy_is_healthy(health: str) -> None:
    assert (blocked(promotion(facts={"source_health": health})) is None) is (health == "healthy")


def test_nothing_is_promoted_to_the_first_environment() -> None:
    assert blocked(promotion(environment="staging")) == ("promotion-order", Verdict.DENY)


def test_a_cut_list_of_commits_hides_authors() -> None:
    assert blocked(promotion(truncated=True)) == ("known-authors", Verdict.DENY)


@pytest.mark.parametrize(
    ("plan", "rule"),
    [
        (promotion(team="ghosts"), "known-team"),
        (promotion(environment="moon"), "known-environment"),
    ],
)
def test_what_platform_yml_does_not_know_is_refused(plan: Plan, rule: str) -> None:
    assert blocked(plan) == (rule, Verdict.DENY)


def test_every_stop_says_the_way_out() -> None:
    plans = [
        promotion(facts={"target_revision": SHA}),
        promotion(facts={"source_health": "degraded"}),
        without(promotion(), "source_health"),
        promotion(truncated=True),
        promotion(team="ghosts"),
        creation("www"),
        creation("Not A Name"),
    ]
    for plan in plans:
        stop = policy.blocking(gates(plan))
        assert stop is not None
        assert stop.reason.endswith(".")
        assert stop.fix.endswith(".")


def test_a_denial_is_told_before_a_question_nobody_could_answer() -> None:
    plan = promotion(facts={"source_health": "unknown", "target_revision": SHA})
    assert blocked(plan) == ("something-new", Verdict.DENY)


# ---------------------------------------------------------------- admission and reports


def limited(**limits: int) -> Platform:
    """The platform with limits on what may go to production."""
    environments = tuple(
        replace(one, evidence=EvidenceRule(**limits)) if one.name == "production" else one
        for one in PLATFORM.environments
    )
    return replace(PLATFORM, environments=environments)


def only(rule: str, plan: Plan, *, platform: Platform = PLATFORM) -> Gate | None:
    return next((gate for gate in gates(plan, platform=platform) if gate.rule == rule), None)


@pytest.mark.parametrize("plan", [promotion(), rollback(), creation()], ids=lambda plan: plan.command)
def test_what_admission_would_refuse_is_refused_in_its_own_words_whatever_the_command(plan: Plan) -> None:
    denials = "\n".join(f"Deployment orders: policy-{number}: no" for number in range(5))
    facts = {**plan.facts, "admission_denials": denials, "admission_unknown": "who knows"}
    gate = only("admission", plan.model_copy(update={"facts": facts}))
    assert gate is not None
    assert gate.verdict is Verdict.DENY
    assert gate.reason == (
        f"{plan.environment} would refuse it: Deployment orders: policy-0: no; Deployment orders: policy-1: no; "
        "Deployment orders: policy-2: no; and 2 more."
    )
    assert gate.fix == "Change what the policy names, or ask the platform team what it wants."


def test_admission_that_could_not_be_asked_is_no_refusal_and_no_pass() -> None:
    gate = only("admission", promotion(facts={"admission_unknown": "the webhook timed out"}))
    assert gate is not None
    assert gate.verdict is Verdict.UNKNOWN
    assert gate.reason == "Admission in production could not be asked: the webhook timed out."
    assert "This is no refusal" in gate.fix


@pytest.mark.parametrize(("shown", "words"), [("1", "1 object"), ("7", "7 objects")])
def test_what_was_shown_to_admission_and_passed_is_said(shown: str, words: str) -> None:
    gate = only("admission", promotion(facts={"admission_objects": shown}))
    assert gate is not None
    assert (gate.verdict, gate.reason) == (Verdict.PASS, f"Admission in production lets {words} pass.")


def test_where_nobody_was_asked_and_nothing_is_limited_no_gate_speaks_of_it() -> None:
    rules = {gate.rule for gate in gates(promotion())}
    assert rules.isdisjoint({"admission", "vulnerabilities", "policy-reports"})


COUNTED = {"critical_vulnerabilities": "1", "high_vulnerabilities": "5", "failed_policies": "2"}


@pytest.mark.parametrize(
    ("limits", "rule", "verdict", "reason"),
    [
        ({"critical_vulnerabilities": 1}, "vulnerabilities", Verdict.PASS,
         "Vulnerabilities of aaaaaaa: 1 critical, within the limit."),
        ({"critical_vulnerabilities": 0}, "vulnerabilities", Verdict.DENY,
         "aaaaaaa has too many vulnerabilities for production: 1 critical (at most 0). CVE-1; CVE-2."),
        ({"critical_vulnerabilities": 0, "high_vulnerabilities": 4}, "vulnerabilities", Verdict.DENY,
         "aaaaaaa has too many vulnerabilities for production: 1 critical (at most 0) and 5 high (at most 4). CVE-1; CVE-2."),
        ({"critical_vulnerabilities": 9, "high_vulnerabilities": 9}, "vulnerabilities", Verdict.PASS,
         "Vulnerabilities of aaaaaaa: 1 critical and 5 high, within the limit."),
        ({"failed_policies": 2}, "policy-reports", Verdict.PASS, "2 policy results are bad for aaaaaaa, within the limit."),
        ({"failed_policies": 1}, "policy-reports", Verdict.DENY,
         "2 policy results are bad for aaaaaaa, and production takes at most 1. labels."),
    ],
)  # fmt: skip
def test_findings_are_held_against_the_limits_of_the_environment(
    limits: dict[str, int], rule: str, verdict: Verdict, reason: str
) -> None:
    plan = promotion(facts={**COUNTED, "vulnerabilities_worst": "CVE-1\nCVE-2", "policies_worst": "labels"})
    gate = only(rule, plan, platform=limited(**limits))
    assert gate is not None
    assert (gate.verdict, gate.reason) == (verdict, reason)
    if verdict is Verdict.DENY:
        assert gate.fix.startswith("Mend them and promote the revision that does.")


@pytest.mark.parametrize(
    ("limit", "rule", "section"),
    [
        ("critical_vulnerabilities", "vulnerabilities", "vulnerabilities"),
        ("high_vulnerabilities", "vulnerabilities", "vulnerabilities"),
        ("failed_policies", "policy-reports", "policies"),
    ],
)
def test_a_limit_without_a_report_lets_nothing_pass_and_says_what_is_missing(
    limit: str, rule: str, section: str
) -> None:
    missing = promotion(facts={f"{section}_unknown": "no report on ReplicaSet orders-1"})
    gate = only(rule, missing, platform=limited(**{limit: 99}))
    assert gate is not None
    assert gate.verdict is Verdict.UNKNOWN
    assert gate.reason.startswith("It is not known which ")
    assert gate.reason.endswith(": no report on ReplicaSet orders-1.")
    assert gate.fix.startswith("A report that is missing is not a clean one.")
    nobody = only(rule, promotion(), platform=limited(**{limit: 99}))
    assert nobody is not None
    assert (nobody.verdict, nobody.reason.rsplit(": ", 1)[1]) == (Verdict.UNKNOWN, "nobody was asked.")


@given(value=st.text(max_size=6))
def test_a_number_that_cannot_be_read_is_not_zero(value: str) -> None:
    gate = only(
        "policy-reports", promotion(facts={"failed_policies": value}), platform=limited(failed_policies=0)
    )
    assert gate is not None
    if not (value.isascii() and value.isdecimal() and int(value) == 0):
        assert gate.verdict is not Verdict.PASS


def test_limits_hold_up_no_way_back_and_no_new_service() -> None:
    strict = limited(critical_vulnerabilities=0, failed_policies=0)
    for plan in (rollback(), creation()):
        assert blocked(plan, platform=strict) is None


# ---------------------------------------------------------------- approval


def with_approval(rule: ApprovalRule | None) -> Platform:
    first, last = PLATFORM.environments
    return replace(PLATFORM, environments=(first, replace(last, approval=rule)))


def approval_gate(rule: ApprovalRule | None) -> Gate:
    return next(
        gate
        for gate in gates(promotion(), platform=with_approval(rule))
        if gate.rule == "production-approval"
    )


@pytest.mark.parametrize(
    ("source", "group"),
    [
        ("team_leads", "leads:orders"),
        ("platform_admins", "platform_admins"),
        ("senior_developer", "role:senior_developer,team_lead:orders"),
        ("team_lead", "role:team_lead:orders"),
    ],
)
def test_a_role_that_may_more_stands_in_for_the_one_that_is_asked(source: str, group: str) -> None:
    assert approval_gate(ApprovalRule(group=source)).group == group


def test_an_environment_without_rule_asks_nobody() -> None:
    assert approval_gate(None).verdict is Verdict.PASS


def test_letting_the_requester_approve_is_a_named_policy() -> None:
    gate = approval_gate(ApprovalRule(exclude_requester=False, exclude_commit_authors=False))
    assert gate.exception == "requester-may-approve"
    assert (gate.excluded, gate.excluded_emails) == ((), ())


def test_more_than_one_approval_is_spelled_out() -> None:
    gate = approval_gate(ApprovalRule(count=2))
    assert gate.needed == 2
    assert gate.reason == "A change in production needs 2 approvals by the leads of Orders."


def test_other_verbs_that_change_an_environment_ask_the_same_people() -> None:
    found = gates(promotion(command="restart"))
    assert [gate.rule for gate in found if gate.verdict is Verdict.NEEDS_APPROVAL] == ["production-approval"]


# ---------------------------------------------------------------- rollback


@pytest.mark.parametrize(
    ("by", "known_good", "verdict"),
    [
        (made.alice(), "true", Verdict.NEEDS_APPROVAL),
        (made.omar(), "true", Verdict.PASS),
        (made.lena(), "true", Verdict.PASS),
        (made.sam(), "true", Verdict.PASS),
        (made.lena(), "false", Verdict.NEEDS_APPROVAL),
        (made.lena(), "", Verdict.NEEDS_APPROVAL),
        (made.priya(), "true", Verdict.NEEDS_APPROVAL),
    ],
)
def test_an_emergency_rollback_waits_for_nobody_and_says_by_which_policy(
    by: Actor, known_good: str, verdict: Verdict
) -> None:
    gate = next(
        one for one in gates(rollback(known_good=known_good), by=by) if one.rule == "production-approval"
    )
    assert gate.verdict is verdict
    assert gate.exception == (policy.EMERGENCY_ROLLBACK if verdict is Verdict.PASS else "")


def test_an_emergency_needs_no_complete_list_of_authors() -> None:
    assert blocked(rollback(truncated=True), by=made.lena()) is None
    assert blocked(rollback(truncated=True), by=made.alice()) == ("known-authors", Verdict.DENY)


def test_a_rollback_to_what_runs_is_no_rollback() -> None:
    plan = rollback(facts={"target_revision": SHA, "goal_revision": SHA, "rollback_known_good": "true"})
    assert blocked(plan, by=made.lena()) == ("something-new", Verdict.DENY)


# ---------------------------------------------------------------- create-service


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (creation(), None),
        (creation("www"), ("reserved-name", Verdict.DENY)),
        (creation("kube-system"), ("reserved-name", Verdict.DENY)),
        (creation("Orders"), ("service-name", Verdict.DENY)),
        (creation("orders-"), ("service-name", Verdict.DENY)),
        (creation("1orders"), ("service-name", Verdict.DENY)),
        (creation("orders\n"), ("service-name", Verdict.DENY)),
        (creation(""), ("service-name", Verdict.DENY)),
        (creation("x" * 52), None),
        (creation("x" * 53), ("service-name", Verdict.DENY)),
        (creation(facts={"template": "cobol-service"}), ("golden-path", Verdict.DENY)),
        (creation(facts={"template": "python-service"}), ("golden-path", Verdict.UNKNOWN)),
    ],
)
def test_a_new_service_needs_a_good_name_and_a_golden_path(
    plan: Plan, expected: tuple[str, Verdict] | None
) -> None:
    assert blocked(plan) == expected


def test_a_taken_name_names_its_owner() -> None:
    plan = creation()
    taken = plan.model_copy(update={"facts": {**plan.facts, "name_taken_by": "team payments"}})
    stop = policy.blocking(gates(taken))
    assert stop is not None
    assert stop.reason == "The name orders-api is taken by team payments."


@given(name=st.text(alphabet="abcXYZ019-._/ é", max_size=70))
def test_a_name_that_passes_is_a_dns_label_with_every_environment_behind_it(name: str) -> None:
    if blocked(creation(name)) is None:
        for environment in PLATFORM.environments:
            label = f"{name}-{environment.name}"
            assert len(label) <= 63
            assert label.isascii()
            assert label == label.lower()
            assert not {"_", ".", "/", " "} & set(label)


def test_new_services_wait_for_approval_where_the_rules_say_so() -> None:
    platform = replace(PLATFORM, create_needs_approval=ApprovalRule(group="platform_admins"))
    gate = next(one for one in gates(creation(), platform=platform) if one.rule == "create-approval")
    assert (gate.verdict, gate.group) == (Verdict.NEEDS_APPROVAL, "platform_admins")


# ---------------------------------------------------------------- what still waits


PEOPLE = ["UALICE0001", "ULENA00001", "UOMAR00001", "UPAUL00001"]


def asking(rule: str, needed: int = 1, **changes: object) -> Gate:
    return Gate.model_validate(
        {"rule": rule, "verdict": Verdict.NEEDS_APPROVAL, "reason": rule, "needed": needed, **changes}
    )


def approved(user_id: str, rule: str, *, at: int = 0, **changes: object) -> Approval:
    one = Approval("r-1", user_id, Decision.APPROVE, rule, "hash", "", made.NOW + timedelta(seconds=at))
    return replace(one, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("approvals", "missing"),
    [
        ((), {"one": 1, "two": 2}),
        ((approved("ULENA00001", "one"),), {"two": 2}),
        ((approved("ULENA00001", "two"), approved("ULENA00001", "two", at=1)), {"one": 1, "two": 1}),
        ((approved("ULENA00001", "one"), approved("ULENA00001", "two", at=1)), {"two": 2}),
        ((approved("ULENA00001", "one", plan_hash="older"),), {"one": 1, "two": 2}),
        ((approved("ULENA00001", "one", decision=Decision.DENY),), {"one": 1, "two": 2}),
        ((approved("UALICE0001", "one"),), {"one": 1, "two": 2}),
        (
            (approved("ULENA00001", "one"), approved("UOMAR00001", "two"), approved("UPAUL00001", "two")),
            {},
        ),
    ],
)
def test_gates_wait_until_enough_different_people_said_yes_to_this_plan(
    approvals: tuple[Approval, ...], missing: dict[str, int]
) -> None:
    waiting = (
        asking("one", excluded=("UALICE0001",)),
        asking("two", 2),
        asking("free", verdict=Verdict.PASS),
    )
    left = policy.pending(waiting, approvals, "hash")
    assert {gate.rule: gate.needed for gate in left} == missing


@given(
    votes=st.lists(
        st.tuples(st.sampled_from(PEOPLE), st.sampled_from(["one", "two"]), st.integers(0, 9)), max_size=12
    )
)
def test_one_person_never_fills_two_gates(votes: list[tuple[str, str, int]]) -> None:
    approvals = [approved(person, rule, at=at) for person, rule, at in votes]
    waiting = (asking("one", 2), asking("two", 2))
    filled = 4 - sum(gate.needed for gate in policy.pending(waiting, approvals, "hash"))
    assert filled <= len({person for person, _, _ in votes})


def test_a_gate_without_a_number_still_needs_somebody() -> None:
    assert policy.pending((asking("one", 0),), (), "hash")[0].needed == 1


def test_the_same_question_has_the_same_answer_whatever_the_time() -> None:
    later = policy.Facts(made.alice(), PLATFORM, made.NOW + timedelta(days=30))
    assert policy.evaluate(promotion(), later) == gates(promotion())


def test_who_approves_in_the_example_may_approve() -> None:
    for environment in PLATFORM.environments:
        if environment.approval:
            group = policy.approval_group(environment.approval.group, "orders", PLATFORM)
            assert access.holds(made.lena(), group)
