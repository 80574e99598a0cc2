"""What somebody is told who clicks when it is not possible any more, or not yet."""

from __future__ import annotations

import people_made as made
import pytest
from fake_context import make_plan

from bot.decisions import how_it_stands
from bot.domain import WORKING_STATES, Approval, Decision, Request, RequestState

DECIDED = WORKING_STATES | {RequestState.STOPPED, RequestState.SUCCEEDED, RequestState.UNDONE}


def request(state: RequestState, *decisions: Decision, plan_hash: str = "now") -> Request:
    approvals = tuple(
        Approval("r-7k2m9x", "ULENA00001", one, "production", plan_hash, "", made.NOW) for one in decisions
    )
    return made.request_for(make_plan(), (), state=state, approvals=approvals, plan_hash="now")


@pytest.mark.parametrize("state", RequestState)
def test_decided_already_is_said_of_what_is_decided_and_of_nothing_else(state: RequestState) -> None:
    said = how_it_stands(request(state))
    assert said.count("`r-7k2m9x`") == 1
    assert ("is decided already" in said) is (state in DECIDED)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (RequestState.PLANNING, "is still being planned. Try again in a moment."),
        (RequestState.PROPOSED, "is not confirmed by its requester yet."),
        (RequestState.AWAITING, "is confirmed and waits for approval."),
        (RequestState.CANCELLED, "was cancelled."),
        (RequestState.REFUSED, "was refused by a rule."),
    ],
)
def test_what_nobody_has_decided_is_said_as_it_is(state: RequestState, words: str) -> None:
    said = how_it_stands(request(state))
    assert said.startswith("Nothing was changed: `r-7k2m9x` (")
    assert said.endswith(f") {words}")


def test_who_approved_is_named_but_not_for_a_plan_that_is_not_in_force() -> None:
    assert "Approved by <@ULENA00001>" in how_it_stands(request(RequestState.QUEUED, Decision.APPROVE))
    former = request(RequestState.AWAITING, Decision.APPROVE, plan_hash="former")
    assert "Approved" not in how_it_stands(former)
    assert "was denied already by <@ULENA00001>" in how_it_stands(request(RequestState.DENIED, Decision.DENY))
