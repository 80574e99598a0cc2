"""Sample requests, plans and people for tests of the store and of what stands on it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from bot.domain import (
    CardKind,
    Decision,
    Gate,
    Plan,
    PlannedStep,
    Request,
    RequestState,
    Verdict,
    plan_hash,
)
from bot.store import Ballot, CardTarget, NewRequest, Proposal, Store
from bot.transaction import LatestRun

ALICE, LENA, OMAR = "UALICE", "ULENA", "UOMAR"
SUBJECT = LatestRun(id="r0", run=1, replica="", service="", environment="")
"""What facts are added for, where no request is needed."""


def new_request(request_id: str = "r1", **changes: Any) -> NewRequest:
    values: dict[str, Any] = {
        "id": request_id,
        "dedupe_key": f"delivery-{request_id}",
        "active_key": f"promote:{request_id}",
        "command": "promote",
        "requester": ALICE,
        "requester_name": "Alice",
        "team_id": "T1",
        "channel_id": "C1",
        "team": "orders",
        "service": "orders",
        "environment": "production",
        "arguments": {"service": "orders"},
    }
    return NewRequest(**{**values, **changes})


def approval_gate(rule: str = "production-approval", needed: int = 1) -> Gate:
    return Gate(
        rule=rule, verdict=Verdict.NEEDS_APPROVAL, reason="production", group="leads:orders", needed=needed
    )


def plan(*, revision: str = "a" * 40, steps: tuple[str, ...] = ("move", "deploy")) -> Plan:
    return Plan(
        command="promote",
        title="Promote orders",
        summary="orders goes to production",
        service="orders",
        team="orders",
        environment="production",
        steps=tuple(PlannedStep(key=key, title=key.title()) for key in steps),
        facts={"revision": revision},
    )


def proposal(
    *,
    state: RequestState = RequestState.AWAITING,
    due_at: datetime | None = None,
    gates: tuple[Gate, ...] | None = None,
    planned: Plan | None = None,
    channels: tuple[str, ...] = ("C1",),
) -> Proposal:
    made, answers = planned or plan(), (approval_gate(),) if gates is None else gates
    return Proposal(
        plan=made,
        gates=answers,
        plan_hash=plan_hash(made, answers),
        state=state,
        due_at=due_at,
        cards=[CardTarget(CardKind.REQUEST, channel) for channel in channels],
    )


async def awaiting(store: Store, request_id: str = "r1", *, hours: float = 24, **changes: Any) -> Request:
    """A request that waits for approval."""
    opened = await store.open_request(new_request(request_id))
    due_at = opened.request.created_at + timedelta(hours=hours)
    return await store.propose(request_id, proposal(due_at=due_at, **changes), version=opened.request.version)


async def queued(store: Store, request_id: str = "r1", **changes: Any) -> Request:
    """A request that is decided and waits for its run."""
    opened = await store.open_request(new_request(request_id))
    wanted = proposal(state=RequestState.QUEUED, gates=(), **changes)
    return await store.propose(request_id, wanted, version=opened.request.version)


def ballot(
    request: Request,
    actor: str = LENA,
    decision: Decision = Decision.APPROVE,
    *,
    rule: str = "production-approval",
    reason: str = "",
) -> Ballot:
    return Ballot(
        actor=actor,
        decision=decision,
        rule=rule,
        plan_hash=request.plan_hash,
        version=request.version,
        reason=reason,
    )
