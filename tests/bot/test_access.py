"""Who may do what, and what everybody else is told."""

from __future__ import annotations

from dataclasses import replace

import people_made as made
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import access
from bot.domain import (
    Actor,
    Approval,
    Decision,
    Gate,
    PersonEntry,
    PersonKind,
    Plan,
    Request,
    Role,
    Verdict,
)
from bot.errors import NotAuthorizedError

PLATFORM = made.example_platform()
NO_MEMBER = [kind for kind in PersonKind if kind is not PersonKind.MEMBER]
PLAN = Plan(
    command="promote",
    title="Promote orders",
    summary="",
    service="orders",
    team="orders",
    environment="production",
)


def gate(**changes: object) -> Gate:
    values = {
        "rule": "production-approval",
        "verdict": Verdict.NEEDS_APPROVAL,
        "reason": "A change in production needs approval.",
        "group": "leads:orders",
        "needed": 1,
        "excluded": ("UALICE0001",),
        **changes,
    }
    return Gate.model_validate(values)


def waiting(*gates: Gate, **changes: object) -> Request:
    return made.request_for(PLAN, gates or (gate(),), **changes)


def decision(actor: Actor, request: Request, one: Gate | None = None) -> access.Refusal | None:
    return access.may_decide(actor, request, one or request.gates[0], platform=PLATFORM)


# ---------------------------------------------------------------- permissions


@pytest.mark.parametrize(
    ("held", "wanted", "granted"),
    [
        ("promote:production", "promote:production", True),
        ("promote:production", "promote:staging", False),
        ("promote:*", "promote:production", True),
        ("promote:*", "promote", True),
        ("promote", "promote", True),
        ("promote", "promote:production", False),
        ("promote:*", "promote-all:production", False),
        ("*", "anything:anywhere", True),
        ("create-service", "create-service", True),
        ("create-service", "create", False),
    ],
)
def test_a_pattern_covers_its_verb_and_no_other(held: str, wanted: str, granted: bool) -> None:
    assert access.covers(held, wanted) is granted


@pytest.mark.parametrize(
    ("actor", "permission", "team", "allowed"),
    [
        (made.alice(), "promote:production", "orders", True),
        (made.alice(), "approve:production", "orders", False),
        (made.alice(), "promote:production", "payments", False),
        (made.alice(), "emergency-rollback:production", "orders", False),
        (made.omar(), "emergency-rollback:production", "orders", True),
        (made.lena(), "approve:production", "orders", True),
        (made.lena(), "approve:production", "payments", False),
        (made.lena(), "promote:production", "orders", True),
        (made.sam(), "promote:production", "payments", True),
        (made.noel(), "promote:production", "orders", False),
        (made.noel(), "look", "", True),
        (made.noel(), "status", "orders", True),
        (made.noel(), "audit", "", False),
        (made.alice(), "audit", "", True),
        (made.alice(), "promote:production", "nowhere", False),
    ],
)
def test_rights_come_from_the_role_in_the_team_that_owns_it(
    actor: Actor, permission: str, team: str, allowed: bool
) -> None:
    assert (access.may(actor, permission, team=team, platform=PLATFORM) is None) is allowed


@given(
    kind=st.sampled_from(NO_MEMBER),
    role=st.sampled_from(sorted(PLATFORM.roles)),
    permission=st.sampled_from(["look", "status", "promote:production", "approve:production", "*"]),
    admin=st.booleans(),
)
def test_nobody_but_full_members_holds_anything(
    kind: PersonKind, role: str, permission: str, admin: bool
) -> None:
    actor = made.person(
        "UX0000001",
        role=role,
        kind=kind,
        leads=frozenset({"orders"}),
        platform_roles=frozenset({access.PLATFORM_ADMIN} if admin else ()),
    )
    assert access.permissions(actor, PLATFORM, "orders") == frozenset()
    assert access.may(actor, permission, team="orders", platform=PLATFORM) is not None
    assert not any(access.holds(actor, group) for group in ("leads:orders", "platform_admins"))
    request = waiting(gate(excluded=(), exception="requester-may-approve"))
    assert decision(actor, request) is not None
    own = replace(request, requester=actor.user_id)
    assert access.may_cancel(actor, own, platform=PLATFORM) is not None
    assert access.may_choose(actor, own, platform=PLATFORM) is not None


@given(team=st.sampled_from(sorted(PLATFORM.teams)), role=st.sampled_from(sorted(PLATFORM.roles)))
def test_rights_in_one_team_are_none_in_another(team: str, role: str) -> None:
    (other,) = set(PLATFORM.teams) - {team}
    actor = made.person("UX0000001", role=role, team=team)
    assert access.permissions(actor, PLATFORM, other) == access.OPEN_TO_MEMBERS


# ---------------------------------------------------------------- sentences


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (PersonKind.GUEST, "You are a guest"),
        (PersonKind.EXTERNAL, "another workspace"),
        (PersonKind.DEACTIVATED, "deactivated"),
        (PersonKind.BOT, "Apps and bots"),
        (
            PersonKind.UNKNOWN,
            "Slack could not be asked who you are; nothing was done. Try again in a moment.",
        ),
    ],
)
def test_each_kind_of_stranger_gets_a_sentence_of_its_own(kind: PersonKind, words: str) -> None:
    with pytest.raises(NotAuthorizedError) as caught:
        access.require_person(made.alice(kind=kind))
    assert words in caught.value.sentence
    assert caught.value.rule == f"person-{kind.value}"


@pytest.mark.parametrize(
    ("actor", "permission", "team", "sentence"),
    [
        (
            made.alice(),
            "approve:production",
            "orders",
            (
                "As developer of Orders you may not approve changes in production. "
                "Ask the leads of Orders (@orders-leads)."
            ),
        ),
        (
            made.alice(),
            "promote:production",
            "payments",
            (
                "You may not promote to production for team Payments: you are in Orders, and rights in one team are "
                "none in another. Ask the developers and leads of Payments (@payments, <@UPRIYA0001>)."
            ),
        ),
        (
            made.noel(),
            "create-service",
            "orders",
            (
                "You belong to no team of Acme Platform, so you may look but not create a service. "
                "The platform admins (@platform-admins) can add you to a team."
            ),
        ),
        (
            made.alice(),
            "promote:production",
            "nowhere",
            (
                "There is no team `nowhere`, so nobody may promote to production there. "
                "Ask the platform admins (@platform-admins)."
            ),
        ),
    ],
)
def test_a_refusal_says_why_and_who_could_help(
    actor: Actor, permission: str, team: str, sentence: str
) -> None:
    refusal = access.may(actor, permission, team=team, platform=PLATFORM)
    assert refusal is not None
    assert refusal.sentence == sentence


def test_a_crowd_is_not_listed_to_the_end() -> None:
    crowd = tuple(PersonEntry(user_id=f"UMANY000{number}") for number in range(9))
    platform = replace(PLATFORM, platform_admins=crowd)
    assert access.who_administers(platform).endswith("<@UMANY0004>, 4 more)")


# ---------------------------------------------------------------- decisions


def test_a_lead_of_the_owning_team_may_decide() -> None:
    assert decision(made.lena(), waiting()) is None


@pytest.mark.parametrize(
    ("actor", "rule", "words"),
    [
        (made.alice(), "not-the-requester", "nobody decides about their own request"),
        (made.omar(), "approver-group", "decided by the leads of Orders, and you are not among them"),
        (made.priya(), "approver-group", "the leads of Orders"),
        (made.sam(), "approver-group", "the leads of Orders"),
        (made.noel(), "approver-group", "the leads of Orders"),
        (made.lena(kind=PersonKind.UNKNOWN), "person-unknown", "could not be asked"),
    ],
)
def test_everybody_else_learns_why_they_may_not_decide(actor: Actor, rule: str, words: str) -> None:
    refusal = decision(actor, waiting())
    assert refusal is not None
    assert refusal.rule == rule
    assert words in refusal.reason
    assert "Nothing was" in refusal.reason or "nothing was" in refusal.reason


@given(named=st.booleans(), role=st.sampled_from(sorted(PLATFORM.roles)))
def test_the_requester_decides_only_by_a_named_policy(named: bool, role: str) -> None:
    actor = made.person("UALICE0001", role=role)
    exception = "requester-may-approve" if named else ""
    refusal = decision(actor, waiting(gate(exception=exception)))
    assert (refusal is None) is (named and role == access.TEAM_LEAD)


@pytest.mark.parametrize(
    "actor",
    [
        made.lena(email="Lena@Example.com"),
        made.lena(emails=frozenset({"lena@example.com"})),
    ],
)
def test_a_commit_author_may_not_approve_whatever_the_case_of_the_address(actor: Actor) -> None:
    refusal = decision(actor, waiting(gate(excluded_emails=("LENA@example.com",))))
    assert refusal is not None
    assert refusal.rule == "not-an-author"


def test_a_commit_author_is_known_by_an_alias_from_platform_yml() -> None:
    platform = replace(PLATFORM, aliases={"ULENA00001": frozenset({"lena@users.example.com"})})
    request = waiting(gate(excluded_emails=("lena@users.example.com",)))
    refusal = access.may_decide(made.lena(), request, request.gates[0], platform=platform)
    assert refusal is not None
    assert refusal.rule == "not-an-author"


def approved_by(request: Request, user_id: str, rule: str, plan_hash: str | None = None) -> Request:
    one = Approval(request.id, user_id, Decision.APPROVE, rule, plan_hash or request.plan_hash, "", made.NOW)
    return replace(request, approvals=(*request.approvals, one))


def test_one_person_fills_one_gate() -> None:
    second = gate(rule="second", group="leads:orders")
    request = waiting(gate(), second)
    assert decision(made.lena(), request, second) is None
    refusal = decision(made.lena(), approved_by(request, "ULENA00001", "production-approval"), second)
    assert refusal is not None
    assert refusal.rule == "one-person-one-gate"
    assert "`production-approval`" in refusal.reason


def test_a_word_on_an_earlier_plan_is_no_word_on_this_one() -> None:
    request = approved_by(waiting(), "ULENA00001", "production-approval", plan_hash="another")
    assert decision(made.lena(), request) is None


def test_being_in_the_group_is_not_enough_without_the_permission_to_approve() -> None:
    lead = Role("team_lead", "Team lead", frozenset({"promote:*"}))
    platform = replace(PLATFORM, roles={**PLATFORM.roles, "team_lead": lead})
    request = waiting()
    assert access.may_decide(made.lena(), request, request.gates[0], platform=platform) is not None


@pytest.mark.parametrize(
    ("actor", "group", "held"),
    [
        (made.lena(), "leads:orders", True),
        (made.lena(), "leads:payments", False),
        (made.lena(), "leads:", False),
        (made.sam(), "platform_admins", True),
        (made.sam(), "leads:orders", False),
        (made.omar(), "role:senior_developer:orders", True),
        (made.omar(), "role:senior_developer,team_lead:orders", True),
        (made.lena(), "role:senior_developer,team_lead:orders", True),
        (made.lena(), "role:senior_developer,team_lead:payments", False),
        (made.alice(), "role:senior_developer:orders", False),
        (made.noel(), "role::", False),
        (made.lena(), "anything", False),
        (made.lena(), "", False),
    ],
)
def test_groups_are_held_exactly(actor: Actor, group: str, held: bool) -> None:
    assert access.holds(actor, group) is held


def test_a_gate_that_asks_for_nothing_takes_no_decision() -> None:
    assert decision(made.lena(), waiting(gate(verdict=Verdict.PASS))) is not None


@pytest.mark.parametrize(
    ("actor", "allowed"),
    [
        (made.alice(), True),
        (made.lena(), True),
        (made.sam(), True),
        (made.omar(), False),
        (made.priya(), False),
    ],
)
def test_requester_leads_and_admins_cancel_and_choose(actor: Actor, allowed: bool) -> None:
    for question in (access.may_cancel, access.may_choose):
        refusal = question(actor, waiting(), platform=PLATFORM)
        assert (refusal is None) is allowed
        if refusal:
            assert "<@UALICE0001>" in refusal.sentence
            assert "the leads of Orders" in refusal.sentence
