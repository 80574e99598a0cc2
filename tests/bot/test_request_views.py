"""Cards of every kind in every state: Slack accepts them, foreign text stays text, buttons stand where they mean something."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import people_made as made
import pytest
from fake_context import make_plan
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from requests_drawn import FORGED, in_state, requests
from shown import assert_acceptable, assert_only_our_markup, buttons, markup, texts

from bot import request_buttons, request_views
from bot.domain import (
    Approval,
    CardKind,
    Change,
    Choice,
    Cost,
    Decision,
    Gate,
    Halt,
    Link,
    PlannedCommit,
    PlannedFile,
    PlannedStep,
    Request,
    RequestState,
    StepRecord,
    StepState,
    Verdict,
    plan_hash,
)
from bot.request_buttons import decide_block, halted_at, is_current
from bot.request_views import Rendered, render

SEEN = tuple(product(CardKind, RequestState))
GATE = Gate(
    rule="production-approval",
    verdict=Verdict.NEEDS_APPROVAL,
    reason="Production needs a lead.",
    group="leads:orders",
)


def drawn_card(request: Request, kind: CardKind) -> Rendered | None:
    return render(request, kind, confirm_label="Promote")


def shown(request: Request, kind: CardKind = CardKind.REQUEST) -> str:
    rendered = drawn_card(request, kind)
    assert rendered is not None
    return "\n".join(texts(rendered.blocks))


def approval(user_id: str = "ULENA00001", **changes: object) -> Approval:
    values: dict[str, object] = {
        "request_id": "r-7k2m9x",
        "user_id": user_id,
        "decision": Decision.APPROVE,
        "rule": GATE.rule,
        "plan_hash": plan_hash(make_plan(), (GATE,)),
        "reason": "",
        "decided_at": made.NOW,
    }
    return Approval(**{**values, **changes})  # type: ignore[arg-type]


def step(state: StepState, **changes: object) -> StepRecord:
    values: dict[str, object] = {
        "request_id": "r-7k2m9x",
        "position": 0,
        "key": "deploy",
        "title": "Deploy it",
    }
    return StepRecord(**{**values, "state": state, **changes})  # type: ignore[arg-type]


# ---------------------------------------------------------------- whatever comes


@given(request=requests(), seen=st.sampled_from(SEEN))
@settings(max_examples=150)
def test_every_card_is_one_that_slack_accepts(request: Request, seen: tuple[CardKind, RequestState]) -> None:
    kind, state = seen
    rendered = drawn_card(in_state(request, state), kind)
    assume(rendered is not None)
    assert rendered is not None
    assert_acceptable(rendered.text, rendered.blocks)


@given(request=requests(planned=True), seen=st.sampled_from(SEEN))
@settings(max_examples=150)
def test_no_foreign_text_makes_a_mention_a_link_or_a_line(
    request: Request, seen: tuple[CardKind, RequestState]
) -> None:
    kind, state = seen
    rendered = drawn_card(in_state(request, state), kind)
    assume(rendered is not None)
    assert rendered is not None
    readings = [rendered.text, *markup(rendered.blocks)]
    assert_only_our_markup(*readings)
    for reading in readings:
        for line in reading.splitlines():
            assert not line.lstrip().startswith(FORGED), f"a forged line in {reading!r}"
        assert "<https://evil.example|" not in reading, "a link whose label hides where it leads"


@given(request=requests(planned=True))
@settings(max_examples=40)
def test_whatever_is_left_out_the_buttons_and_the_request_id_stay(request: Request) -> None:
    for state in (RequestState.AWAITING, RequestState.PROPOSED, RequestState.STOPPED):
        rendered = drawn_card(in_state(request, state), CardKind.REQUEST)
        assert rendered is not None
        assert buttons(rendered.blocks)
        assert f"`{request.id}`" in "\n".join(markup(rendered.blocks))


@given(request=requests(), state=st.sampled_from(RequestState))
@settings(max_examples=40)
def test_a_line_of_a_list_is_one_line(request: Request, state: RequestState) -> None:
    row = request_views.row(in_state(request, state))
    assert len(row.splitlines()) == 1
    assert_only_our_markup(row)


@pytest.mark.parametrize(("kind", "state"), SEEN)
def test_what_a_request_says_in_each_state(kind: CardKind, state: RequestState) -> None:
    """Which kinds of message exist in which state; None means: not posted, or left as it was."""
    denied = (approval(decision=Decision.DENY, reason="no"),) if state is RequestState.DENIED else ()
    request = made.request_for(make_plan(announce="orders → production"), (), state=state, approvals=denied)
    before = {RequestState.PLANNING, RequestState.PROPOSED, RequestState.AWAITING}
    ended_unrun = {RequestState.REFUSED, RequestState.DENIED, RequestState.CANCELLED, RequestState.EXPIRED}
    expected = {
        CardKind.REQUEST: set(RequestState),
        CardKind.DEPLOY: set(RequestState) - before - ended_unrun,
        CardKind.DEPLOY_FAILURE: {RequestState.STOPPED, RequestState.UNDOING, RequestState.UNDONE},
        CardKind.NOTICE: {
            RequestState.DENIED,
            RequestState.EXPIRED,
            RequestState.REFUSED,
            RequestState.UNDONE,
            RequestState.STOPPED,
        },
    }
    assert (drawn_card(request, kind) is not None) is (state in expected[kind])


def test_a_request_without_a_plan_has_no_card_yet() -> None:
    request = replace(made.request_for(make_plan(), ()), plan=None, state=RequestState.PLANNING)
    assert [drawn_card(request, kind) for kind in CardKind] == [None] * len(CardKind)
    assert request_views.title(request) == "promote orders"


# ---------------------------------------------------------------- buttons

BUTTONS = {
    RequestState.PROPOSED: ["confirm", "cancel"],
    RequestState.AWAITING: ["approve", "deny", "cancel"],
    RequestState.STOPPED: ["retry", "undo"],
}


@pytest.mark.parametrize("state", RequestState)
def test_buttons_stand_only_where_they_are_offered_and_carry_the_id_and_nothing_else(
    state: RequestState,
) -> None:
    rendered = drawn_card(made.request_for(make_plan(), (GATE,), state=state), CardKind.REQUEST)
    assert rendered is not None
    assert buttons(rendered.blocks) == [(action, "r-7k2m9x") for action in BUTTONS.get(state, [])]


def test_the_confirm_button_says_what_the_command_calls_it() -> None:
    request = made.request_for(make_plan(), (), state=RequestState.PROPOSED)
    assert "Promote" in shown(request).splitlines()


def test_undoing_asks_once_more() -> None:
    rendered = drawn_card(made.request_for(make_plan(), (), state=RequestState.STOPPED), CardKind.REQUEST)
    assert rendered is not None
    undo = rendered.blocks[-1]["elements"][1]
    assert undo["confirm"]["title"]["text"] == "Undo what was done?"


@given(first=requests(planned=True), second=requests(planned=True))
@settings(max_examples=30)
def test_buttons_drawn_for_one_plan_are_not_current_for_another(first: Request, second: Request) -> None:
    assert is_current(decide_block(first.plan_hash), first)
    assert is_current(decide_block(first.plan_hash), second) is (first.plan_hash == second.plan_hash)
    assert not is_current("", first)


def test_the_block_of_the_buttons_is_named_after_the_plan() -> None:
    request = made.request_for(make_plan(), (GATE,))
    rendered = drawn_card(request, CardKind.REQUEST)
    assert rendered is not None
    assert rendered.blocks[-1]["block_id"] == f"decide:{request.plan_hash[:16]}"
    assert is_current(rendered.blocks[-1]["block_id"], request)


# ---------------------------------------------------------------- what a card says


def test_a_waiting_card_says_exactly_what_will_happen() -> None:
    plan = make_plan(
        changes=(Change(kind="ref", action="move", name="release", detail="to abc1234"),),
        commits=tuple(
            PlannedCommit(
                sha=f"{n}" * 40, subject=f"Commit {n}", author_name=f"Author {n % 2}", author_email="a@b"
            )
            for n in range(10)
        ),
        files=tuple(PlannedFile(path=f"src/{n}.py", status="modified") for n in range(8)),
        notes=("Manifests change.",),
        cost=Cost(currency="EUR", monthly=21, lines=(("service:production", 12), ("postgresql:small", 9))),
    )
    request = made.request_for(plan, (GATE,), due_at=made.NOW)
    lines = shown(request).splitlines()
    assert "Promote orders to production" in lines
    assert "*:raised_hand: waiting for approval*" in lines
    assert "→ move ref `release` · to abc1234" in lines
    assert "*10 commits*" in lines
    assert "`0000000` Commit 0 · Author 0" in lines
    assert "and 2 more, by Author 0, Author 1" in lines
    assert (
        "8 files: `src/0.py`, `src/1.py`, `src/2.py`, `src/3.py`, `src/4.py`, `src/5.py` and 2 more" in lines
    )
    assert "Manifests change." in lines
    assert ":moneybag: about *21 EUR a month* (service:production 12, postgresql:small 9)" in lines
    assert ":raised_hand: Production needs a lead." in lines
    footer = next(line for line in lines if line.startswith("`r-7k2m9x`"))
    assert f"plan `{request.plan_hash[:12]}`" in footer
    assert "expires <!date^" in footer


def test_the_notification_is_a_sentence_with_what_decides() -> None:
    rendered = drawn_card(made.request_for(make_plan(), (GATE,)), CardKind.REQUEST)
    assert rendered is not None
    assert rendered.text == (
        "Promote orders to production by <@UALICE0001>: waiting for approval. abc1234 from staging."
    )


def test_a_changed_plan_says_what_changed_and_that_earlier_approvals_do_not_count() -> None:
    request = made.request_for(make_plan(), (GATE,), plan_changes=("source revision: b (before: a)",))
    assert (
        ":warning: *The plan changed, so it was not run. Earlier approvals no longer count.*\n"
        "• source revision: b (before: a)"
    ) in shown(request)
    assert "The plan changed" not in shown(in_state(request, RequestState.RUNNING))


def test_only_an_approval_of_this_plan_is_shown_at_its_gate() -> None:
    request = made.request_for(
        make_plan(), (GATE,), approvals=(approval(), approval("UOMAR00001", plan_hash="0" * 64))
    )
    assert ":raised_hand: Production needs a lead. · <@ULENA00001> approved" in shown(request)
    assert "UOMAR00001" not in shown(request)
    running = shown(in_state(request, RequestState.RUNNING))
    assert "<@ULENA00001> approved <!date^" in running
    assert "<@UOMAR00001> approved (an earlier plan) <!date^" in running


def test_a_policy_that_lets_the_requester_approve_is_named() -> None:
    gate = GATE.model_copy(update={"exception": "solo-team"})
    assert "by the policy `solo-team`" in shown(made.request_for(make_plan(), (gate,)))


def test_steps_show_how_far_they_are() -> None:
    plan = make_plan(steps=(PlannedStep(key="deploy", title="Deploy it", undo_title="Roll it back"),))
    later = made.NOW.replace(minute=made.NOW.minute + 1)
    rows = {
        ":white_circle: Deploy it": step(StepState.WAITING),
        ":large_blue_circle: Deploy it · _20 % of the traffic_": step(
            StepState.RUNNING, detail="20 % of the traffic"
        ),
        ":white_check_mark: Deploy it · 60 s": step(StepState.DONE, started_at=made.NOW, finished_at=later),
        ":x: Deploy it\n> crash loop": step(StepState.FAILED, error="crash loop", detail="not this"),
        ":rewind: Roll it back\n> crash loop": step(StepState.UNDOING, error="crash loop"),
    }
    request = made.request_for(plan, (), state=RequestState.RUNNING, steps=tuple(rows.values()))
    assert "\n".join(rows) in shown(request)


def test_the_end_links_to_what_was_made() -> None:
    links = (Link("Repository", "https://git.example.com/orders"), Link("Odd", "javascript:alert(1)"))
    request = made.request_for(
        make_plan(command="create-service"),
        (),
        state=RequestState.SUCCEEDED,
        steps=(step(StepState.DONE, links=links),),
    )
    said = shown(request)
    assert "<https://git.example.com/orders|Repository> · Odd: `javascript:alert(1)`" in said
    assert "Owner: orders. Next: `/platform status orders`, then `/platform promote orders`" in said
    assert "Repository" not in shown(in_state(request, RequestState.RUNNING))


# ---------------------------------------------------------------- deploy notifications and notices


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (RequestState.QUEUED, ":gear: deploying"),
        (RequestState.RUNNING, ":gear: deploying"),
        (RequestState.SUCCEEDED, ":white_check_mark: deployed"),
        (RequestState.STOPPED, ":octagonal_sign: stopped, a choice is needed"),
        (RequestState.UNDONE, ":warning: rolled back"),
    ],
)
def test_the_deploy_notification_says_what_where_who_and_who_approved(
    state: RequestState, words: str
) -> None:
    plan = make_plan(announce="orders → production", facts={"source_revision": "abc1234" + "0" * 33})
    request = made.request_for(plan, (GATE,), state=state)
    request = replace(request, approvals=(approval(plan_hash=request.plan_hash),))
    said = shown(request, CardKind.DEPLOY)
    assert f"{words} · *orders → production* · `abc1234`" in said
    assert "by <@UALICE0001>, approved by <@ULENA00001> · `r-7k2m9x`" in said


def test_a_failure_says_why_and_what_runs_now() -> None:
    plan = make_plan(announce="orders → production")
    request = made.request_for(
        plan, (), state=RequestState.UNDONE, steps=(step(StepState.FAILED, error="crash loop"),)
    )
    said = shown(request, CardKind.DEPLOY_FAILURE)
    assert said.startswith(":rotating_light: *orders → production failed*: crash loop")


def test_a_denial_reaches_the_requester_with_its_author_and_reason() -> None:
    denial = approval(decision=Decision.DENY, reason="wait\n:white_check_mark: approved")
    request = made.request_for(make_plan(), (GATE,), state=RequestState.DENIED, approvals=(denial,))
    said = shown(request, CardKind.NOTICE)
    assert said == (
        ":no_entry: <@ULENA00001> denied *Promote orders to production* (`r-7k2m9x`):\n"
        "> wait\n> :white_check_mark: approved"
    )


def test_only_an_end_that_somebody_approved_is_told_again() -> None:
    done = made.request_for(make_plan(), (), state=RequestState.SUCCEEDED)
    assert drawn_card(done, CardKind.NOTICE) is None
    assert "is done" in shown(replace(done, approvals=(approval(),)), CardKind.NOTICE)


# ---------------------------------------------------------------- a rollout that halts


def halted(halt: Halt | None, state: StepState = StepState.RUNNING) -> Request:
    return made.request_for(make_plan(), (), state=RequestState.RUNNING, steps=(step(state, halt=halt),))


@pytest.mark.parametrize(
    ("request_", "labels"),
    [
        (halted(Halt("2/5")), ["Continue", "Abort"]),
        (halted(Halt("2/5"), StepState.UNDOING), ["Continue", "Abort"]),
        (halted(Halt("2/5", Choice.CONTINUE, "UOMAR00001", "Omar")), ["Abort"]),
        (halted(Halt("2/5", Choice.ABORT, "UOMAR00001", "Omar")), []),
        (halted(Halt("2/5"), StepState.FAILED), []),
        (halted(None), []),
    ],
)
def test_what_halts_offers_the_words_that_are_still_wanted(request_: Request, labels: list[str]) -> None:
    offered = request_buttons.buttons(request_, "Confirm")
    elements = [element for block in offered for element in block["elements"]]
    assert [one["text"]["text"] for one in elements] == labels
    assert {one["value"] for one in elements} <= {request_.id}


def test_the_block_of_a_halt_is_named_after_the_place_it_was_drawn_for() -> None:
    block = request_buttons.buttons(halted(Halt("2/5")), "Confirm")[0]
    assert halted_at(block["block_id"]) == "2/5"
    assert [halted_at(other) for other in ("", "decide:abc", "halt")] == ["", "", ""]


def test_the_row_says_who_gave_the_word() -> None:
    chosen = halted(Halt("2/5", Choice.CONTINUE, "UOMAR00001", "Omar"))
    assert "continue chosen by <@UOMAR00001>" in shown(chosen)
