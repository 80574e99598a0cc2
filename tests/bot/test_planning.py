"""Planning twice and comparing: what an approved request finds right before it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import people_made as made
import pytest
from fake_backends import FakeBackends
from fake_context import FakeKnowledge, make_plan, make_service

from bot.command import Args, Command, Context, Done, Knowledge, Reply, Run, Scope, StepKind, argument
from bot.domain import (
    JSON,
    Actor,
    Approval,
    Change,
    Decision,
    Gate,
    PersonKind,
    Plan,
    PlannedCommit,
    PlannedStep,
    Platform,
    Request,
    RequestState,
    Verdict,
    plan_hash,
)
from bot.errors import BackendErrorKind as Kind
from bot.errors import NotFoundError, PermanentBackendError, PolicyDeniedError, TemporaryBackendError
from bot.planning import Planner, after_confirmation, differences
from bot.replanned import Changed, CouldNotAsk, Refused, Same


class Move(Args):
    service: str = argument("Service", "What to move.", positional=True)


async def scope(args: Move, _actor: Actor, _platform: Platform, knowledge: Knowledge) -> Scope:
    service = await knowledge.find_service(args.service)
    if service is None:
        raise NotFoundError(f"There is no service {args.service}.")
    return Scope(
        permission="promote:production", team=service.team, service=service.name, environment="production"
    )


async def plan(ctx: Context, args: Move) -> Plan:
    running = await ctx.backends.delivery.get_application(args.service, "staging")
    revision = (running.revision if running else None) or ""
    if not revision:
        raise PolicyDeniedError("Nothing runs in staging.", rule="healthy-before", fix="Push something.")
    return make_plan(
        command="move",
        facts={"source_revision": revision},
        steps=(PlannedStep(key="go", title="Go", arguments={"by": ctx.request_id}),),
    )


async def go(_run: Run, _arguments: JSON) -> Done:
    return Done()


MOVE = Command(
    name="move", summary="Move", example="/platform move x", args=Move, scope=scope, plan=plan,
    steps={"go": StepKind(go)},
)  # fmt: skip


async def say(_ctx: Context, _args: Move) -> Reply:
    return Reply("said")


SAY = Command(name="say", summary="Say", example="/platform say", args=Move, scope=scope, answer=say)
BEFORE, AFTER = "a" * 40, "b" * 40


@dataclass
class FakePeople:
    """Who people are now, and how often they were asked afresh."""

    known: dict[str, Actor] = field(
        default_factory=lambda: {one.user_id: one for one in (made.alice(), made.lena(), made.omar())}
    )
    fresh: list[str] = field(default_factory=list)

    async def actor(self, user_id: str, *, fresh: bool = False) -> Actor:
        if fresh:
            self.fresh.append(user_id)
        return self.known[user_id]


@dataclass
class House:
    """A planner with everything it asks, and one approved request."""

    people: FakePeople = field(default_factory=FakePeople)
    backends: FakeBackends = field(default_factory=FakeBackends)
    knowledge: FakeKnowledge = field(default_factory=lambda: FakeKnowledge(services=[make_service()]))
    platform: Platform = field(default_factory=made.example_platform)
    command: Command = MOVE

    @property
    def planner(self) -> Planner:
        return Planner(
            platform=self.platform, commands={"move": self.command, "say": SAY}, backends=self.backends,
            knowledge=self.knowledge, people=self.people, clock=lambda: made.NOW,
        )  # fmt: skip

    async def approved(self, *, by: str = "ULENA00001") -> Request:
        """Planned by alice, approved by a lead."""
        asked = replace(
            made.request_for(make_plan(command="move"), (), command="move", arguments={"service": "orders"}),
            plan=None,
            plan_hash="",
        )
        planned = await self.planner.plan(asked, made.alice())
        rule = next(gate.rule for gate in planned.gates if gate.verdict is Verdict.NEEDS_APPROVAL)
        approval = Approval(asked.id, by, Decision.APPROVE, rule, planned.hash, "", made.NOW)
        return replace(
            asked, plan=planned.plan, gates=planned.gates, plan_hash=planned.hash, approvals=(approval,),
            state=RequestState.QUEUED,
        )  # fmt: skip


@pytest.fixture
def house() -> House:
    house = House()
    house.backends.delivery.runs("orders", "staging", BEFORE)
    return house


# ---------------------------------------------------------------- making a plan


async def test_a_plan_comes_with_the_rules_answers_and_where_the_request_goes(house: House) -> None:
    request = await house.approved()
    planned = await house.planner.plan(request, made.alice())
    assert planned.state is RequestState.AWAITING
    assert planned.hash == plan_hash(planned.plan, planned.gates)
    assert [gate.rule for gate in planned.gates] == ["production-approval"]
    assert planned.plan.steps[0].arguments == {"by": request.id}


async def test_a_command_that_asks_for_confirmation_is_proposed_first(house: House) -> None:
    house.command = replace(MOVE, confirm=True)
    assert (await house.planner.plan(await house.approved(), made.alice())).state is RequestState.PROPOSED


NEEDS = Gate(rule="a", verdict=Verdict.NEEDS_APPROVAL, reason="")
PASSES = Gate(rule="b", verdict=Verdict.PASS, reason="")


@pytest.mark.parametrize(
    ("gates", "state"),
    [
        ((), RequestState.QUEUED),
        ((PASSES,), RequestState.QUEUED),
        ((PASSES, NEEDS), RequestState.AWAITING),
    ],
)
def test_what_needs_no_approval_runs_at_once(gates: tuple[Gate, ...], state: RequestState) -> None:
    assert after_confirmation(gates) is state


async def test_a_plan_decides_nothing(house: House) -> None:
    conversation = house.planner.conversation(made.lena(), decider=None)
    with pytest.raises(TypeError, match="A plan cannot decide"):
        await conversation.decide("r-1", Decision.APPROVE, reason="")
    with pytest.raises(TypeError, match="A plan cannot cancel"):
        await conversation.cancel("r-1")


async def test_a_conversation_knows_what_its_person_may(house: House) -> None:
    request = await house.approved()
    lena = house.planner.conversation(made.lena(), decider=None)
    alice = house.planner.conversation(made.alice(), decider=None)
    undecided = replace(request, approvals=())
    assert (
        lena.may("approve:production", team="orders"),
        alice.may("approve:production", team="orders"),
    ) == (
        True,
        False,
    )
    assert (lena.may_decide(undecided), alice.may_decide(undecided)) == (True, False)
    assert await lena.find_person("UOMAR00001") == made.omar()
    house.people.known["UGONE"] = made.person("UGONE", kind=PersonKind.UNKNOWN)
    assert await lena.find_person("UGONE") is None


async def test_an_answering_verb_has_no_plan(house: House) -> None:
    request = replace(await house.approved(), command="say")
    with pytest.raises(TypeError, match="say does not plan"):
        await house.planner.plan(request, made.alice())


# ---------------------------------------------------------------- looking again


async def test_nothing_changed_and_everybody_is_asked_afresh(house: House) -> None:
    assert await house.planner.replan(await house.approved()) == Same()
    assert house.people.fresh == ["UALICE0001", "ULENA00001"]


async def test_another_revision_is_another_plan_with_the_difference_in_words(house: House) -> None:
    request = await house.approved()
    house.backends.delivery.runs("orders", "staging", AFTER)
    found = await house.planner.replan(request)
    assert isinstance(found, Changed)
    assert found.changes == ("source revision: bbbbbbb (before: aaaaaaa)",)
    assert found.plan_hash == plan_hash(found.plan, found.gates) != request.plan_hash
    assert found.due_at is not None
    assert (found.due_at - made.NOW).total_seconds() == house.platform.request_ttl_seconds


def requester(**changes: Any) -> Callable[[House], None]:
    return lambda house: house.people.known.update(UALICE0001=made.alice(**changes))


def approver(actor: Actor) -> Callable[[House], None]:
    return lambda house: house.people.known.update(ULENA00001=actor)


def fault(error: Exception) -> Callable[[House], None]:
    return lambda house: house.backends.delivery.faults.update(get_application=error)


AWAY = TemporaryBackendError("no route", backend="delivery", retry_after_seconds=7)
DENIED = PermanentBackendError("bad token", backend="delivery", kind=Kind.DENIED)

COULD_NOT_ASK: dict[str, tuple[Callable[[House], None], CouldNotAsk]] = {
    "slack about the requester": (
        requester(kind=PersonKind.UNKNOWN),
        CouldNotAsk("Slack could not be asked who the requester is now."),
    ),
    "slack about the approver": (
        approver(made.lena(kind=PersonKind.UNKNOWN)),
        CouldNotAsk("Slack could not be asked who the approver is now."),
    ),
    "a backend": (fault(AWAY), CouldNotAsk("delivery: no route", 7)),
}


@pytest.mark.parametrize(("change", "expected"), COULD_NOT_ASK.values(), ids=COULD_NOT_ASK.keys())
async def test_could_not_ask_is_no_refusal(
    house: House, change: Callable[[House], None], expected: CouldNotAsk
) -> None:
    request = await house.approved()
    change(house)
    assert await house.planner.replan(request) == expected


def leave_the_team(house: House) -> None:
    house.people.known["UALICE0001"] = made.person("UALICE0001")


def remove_the_service(house: House) -> None:
    house.knowledge.services.clear()


def stop_staging(house: House) -> None:
    house.backends.delivery.applications.clear()


REFUSED: dict[str, tuple[Callable[[House], None], str, str]] = {
    "the requester left the team": (leave_the_team, "team-membership", "belong to no team"),
    "the requester was deactivated": (
        requester(kind=PersonKind.DEACTIVATED), "person-deactivated", "deactivated",
    ),
    "the service is gone": (remove_the_service, "plan", "There is no service orders."),
    "nothing is left to move": (stop_staging, "healthy-before", "Nothing runs in staging. Push something."),
    "a backend refuses": (fault(DENIED), "plan", "bad token"),
    "the approver is no lead any more": (
        approver(made.person("ULENA00001", role="developer")), "approver", "may no longer approve this",
    ),
    "the approver left": (approver(made.lena(kind=PersonKind.DEACTIVATED)), "approver", "may no longer approve"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "rule", "words"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_right_or_a_thing_that_is_gone_refuses(
    house: House, change: Callable[[House], None], rule: str, words: str
) -> None:
    request = await house.approved()
    change(house)
    found = await house.planner.replan(request)
    assert isinstance(found, Refused)
    assert found.rule == rule
    assert words in found.reason


async def test_approvals_of_an_earlier_plan_and_denials_are_not_looked_at(house: House) -> None:
    request = await house.approved()
    old = replace(request.approvals[0], user_id="UOLD", plan_hash="0" * 64)
    assert await house.planner.replan(replace(request, approvals=(*request.approvals, old))) == Same()
    assert "UOLD" not in house.people.fresh


async def test_a_request_without_a_plan_runs_nothing(house: House) -> None:
    request = replace(await house.approved(), plan=None)
    assert await house.planner.replan(request) == Refused("This request has no plan.", "plan")


async def test_a_rule_that_says_no_now_refuses_with_its_way_out(house: House) -> None:
    request = await house.approved()
    environments = tuple(one for one in house.platform.environments if one.name != "production")
    house.platform = replace(house.platform, environments=environments)
    found = await house.planner.replan(request)
    assert found == Refused(
        "There is no environment production. Choose one of: staging.", "known-environment"
    )


async def test_a_rule_that_asks_for_more_approvals_is_another_plan(house: House) -> None:
    request = await house.approved()
    first, second = house.platform.environments
    assert second.approval is not None
    stricter = replace(second, approval=replace(second.approval, count=2))
    house.platform = replace(house.platform, environments=(first, stricter))
    found = await house.planner.replan(request)
    assert isinstance(found, Changed)
    assert len(found.changes) == 1
    assert found.changes[0].startswith(
        "rule production-approval: A change in production needs 2 approvals by"
    )
    assert found.changes[0].endswith(
        "(before: A change in production needs approval by the leads of Orders.)"
    )


# ---------------------------------------------------------------- differences

PLAN = make_plan(
    facts={"source_revision": BEFORE, "source_health": "healthy"},
    changes=(Change(kind="ref", action="move", name="release", detail="to aaaaaaa"),),
    commits=(PlannedCommit(sha=BEFORE, subject="s", author_name="a", author_email="a@b"),),
)
DIFFERENCES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "a revision": (
        {"facts": {"source_revision": AFTER, "source_health": "healthy"}},
        ("source revision: bbbbbbb (before: aaaaaaa)",),
    ),
    "a fact more and one fewer": (
        {"facts": {"source_revision": BEFORE, "freeze": "on"}},
        ("source health: nothing (before: healthy)", "freeze: on (before: nothing)"),
    ),
    "other objects": (
        {"changes": (Change(kind="claim", action="create", name="db"),)},
        ("now also: create claim db", "no longer: move ref release (to aaaaaaa)"),
    ),
    "other commits": (
        {"commits": ()},
        ("commits: 1 before, 0 now",),
    ),
    "something only a step knows": (
        {"steps": (PlannedStep(key="go", title="Go"),)},
        ("the details of a step",),
    ),
}


@pytest.mark.parametrize(("changes", "lines"), DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_a_difference_is_said_in_words_a_card_can_show(
    changes: dict[str, Any], lines: tuple[str, ...]
) -> None:
    assert differences(PLAN, (), PLAN.model_copy(update=changes), ()) == lines


def test_rules_that_came_went_or_changed_their_mind() -> None:
    changed = NEEDS.model_copy(update={"reason": "two of them"})
    lines = differences(
        PLAN, (NEEDS, PASSES), PLAN, (changed, Gate(rule="c", verdict=Verdict.PASS, reason="calm"))
    )
    assert lines == ("rule a: two of them (before: )", "new rule: calm", "rule b no longer applies")
