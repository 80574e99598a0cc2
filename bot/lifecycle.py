"""The life of a request up to the moment it runs: one function per transaction, each with its audit event.

Every function reads, checks and writes under the writers' lock of its `Transaction`; where it lost against somebody it
raises ConflictError with a sentence for the person, and nothing is written. Runs are `bot.ledger`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from bot.audit import Fact
from bot.domain import (
    DECIDABLE_STATES,
    JSON,
    Approval,
    CardKind,
    Decision,
    Gate,
    Plan,
    Request,
    RequestState,
    Verdict,
)
from bot.errors import ConflictError
from bot.outbox import add_cards
from bot.rows import from_gates, to_approval, to_gates, to_request
from bot.tables import APPROVALS, REQUESTS
from bot.transaction import SYSTEM, Transaction

_LOOK = "Look at the card for what is true now."
_SAME_DELIVERY = sa.select(REQUESTS).where(REQUESTS.c.dedupe_key == sa.bindparam("delivery"))
_SAME_SUBJECT = sa.select(REQUESTS).where(REQUESTS.c.active_key == sa.bindparam("subject"))
_OPEN = sa.insert(REQUESTS).returning(*REQUESTS.c)
_VOTE = sa.insert(APPROVALS)
_VOTES = sa.select(APPROVALS).where(
    APPROVALS.c.request_id == sa.bindparam("request"), APPROVALS.c.plan_hash == sa.bindparam("plan")
)
_DUE = (
    sa.select(REQUESTS)
    .where(REQUESTS.c.due_at <= sa.bindparam("now"))
    .order_by(REQUESTS.c.due_at, REQUESTS.c.id)
    .limit(sa.bindparam("most", type_=sa.Integer))
)


@dataclass(frozen=True)
class NewRequest:
    """A request as it arrives. `active_key` names what it is about, so that a second one finds the first; empty: none."""

    id: str
    dedupe_key: str
    active_key: str
    command: str
    requester: str
    requester_name: str
    team_id: str
    channel_id: str
    team: str
    service: str
    environment: str
    arguments: JSON


@dataclass(frozen=True)
class Opened:
    """What became of a new request: recorded, or the earlier one it repeats (same delivery, or same thing while open)."""

    request: Request
    created: bool
    duplicate: Literal["", "delivery", "active"] = ""


@dataclass(frozen=True)
class CardTarget:
    """Where a card shall stand: a channel id, or a user id for a direct message."""

    kind: CardKind
    channel_id: str


@dataclass(frozen=True)
class Proposal:
    """A plan with the rules' answers, and where that leaves the request."""

    plan: Plan
    gates: tuple[Gate, ...]
    plan_hash: str
    state: RequestState
    """PROPOSED, AWAITING or QUEUED."""
    due_at: datetime | None
    cards: Sequence[CardTarget] = ()
    plan_changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ballot:
    """One person's decision about one version of a plan, for one gate (`rule`)."""

    actor: str
    decision: Decision
    rule: str
    plan_hash: str
    version: int
    reason: str = ""


# ---------------------------------------------------------------- arriving


async def open_request(tx: Transaction, new: NewRequest) -> Opened:
    repeated = (await tx.connection.execute(_SAME_DELIVERY, {"delivery": new.dedupe_key})).one_or_none()
    if repeated is not None:
        return Opened(await tx.request(repeated), created=False, duplicate="delivery")
    if new.active_key:
        active = (await tx.connection.execute(_SAME_SUBJECT, {"subject": new.active_key})).one_or_none()
        if active is not None and await _expire_if_due(tx, active) is None:
            return Opened(await tx.request(active), created=False, duplicate="active")
    row = (await tx.connection.execute(_OPEN, first_columns(new, tx.now))).one()
    await tx.record(opened(new))
    return Opened(to_request(row, (), ()), created=True)


def opened(new: NewRequest) -> Fact:
    return Fact(
        event="request.opened",
        actor=new.requester,
        request_id=new.id,
        service=new.service,
        environment=new.environment,
        data={"command": new.command, "arguments": new.arguments, "team": new.team},
    )


def first_columns(new: NewRequest, now: datetime) -> dict[str, Any]:
    """Every column of the row of a request that has just arrived."""
    return {
        **vars(new),
        "active_key": new.active_key or None,
        "state": RequestState.PLANNING.value,
        "version": 1,
        "run": 0,
        "replica": "",
        "deaths": 0,
        "created_at": now,
        "updated_at": now,
        "due_at": None,
        "plan": None,
        "gates": [],
        "plan_hash": "",
        "plan_changes": [],
        "outcome": "",
    }


# ---------------------------------------------------------------- planning


async def propose(tx: Transaction, request_id: str, proposal: Proposal, *, version: int) -> Request:
    row = await _current(tx, request_id, version, states={RequestState.PLANNING})
    row = await _go_on(tx, row, proposal.state, **plan_columns(row, proposal))
    await record_plan(tx, row, proposal, event="request.planned", actor=row.requester)
    await add_cards(tx, row.id, [(card.kind, card.channel_id) for card in proposal.cards])
    # This is its first plan, so nobody has decided about it and nothing of it was done.
    return to_request(row, (), ())


def plan_columns(row: sa.Row[Any], proposal: Proposal) -> JSON:
    """The plan, to be frozen into the request. Approvals of another plan stay on record but no longer count."""
    return {
        "plan": proposal.plan.model_dump(mode="json"),
        "gates": from_gates(proposal.gates),
        "plan_hash": proposal.plan_hash,
        "plan_changes": list(proposal.plan_changes),
        "due_at": proposal.due_at,
        "service": row.service or proposal.plan.service,
        "team": row.team or proposal.plan.team,
        "environment": row.environment or proposal.plan.environment,
    }


async def record_plan(
    tx: Transaction, row: sa.Row[Any], proposal: Proposal, *, event: str, actor: str
) -> None:
    verdicts = [{"rule": gate.rule, "verdict": gate.verdict.value} for gate in proposal.gates]
    data: JSON = {"plan_hash": proposal.plan_hash, "gates": verdicts}
    if proposal.plan_changes:
        data["changes"] = list(proposal.plan_changes)
    await tx.record_for(row, event, actor=actor, data=data)


async def refuse(tx: Transaction, request_id: str, *, version: int, reason: str, rule: str) -> Request:
    row = await _current(tx, request_id, version, states={RequestState.PLANNING, *DECIDABLE_STATES})
    return await tx.request(await record_refusal(tx, row, reason=reason, rule=rule))


async def record_refusal(tx: Transaction, row: sa.Row[Any], *, reason: str, rule: str) -> sa.Row[Any]:
    """A rule ends the request, before or when it would have run."""
    await tx.record_for(row, "request.refused", actor=SYSTEM, data={"rule": rule, "reason": reason})
    return await tx.change(row, RequestState.REFUSED, outcome=reason, due_at=None)


async def confirm(
    tx: Transaction,
    request_id: str,
    *,
    actor: str,
    version: int,
    state: RequestState,
    due_at: datetime | None,
    cards: Sequence[CardTarget],
) -> Request:
    row = await _current(tx, request_id, version, states={RequestState.PROPOSED})
    await _refuse_late(tx, row)
    await tx.record_for(row, "request.confirmed", actor=actor, data={"plan_hash": row.plan_hash})
    row = await _go_on(tx, row, state, due_at=due_at)
    await add_cards(tx, row.id, [(card.kind, card.channel_id) for card in cards])
    return await tx.request(row)


async def _go_on(tx: Transaction, row: sa.Row[Any], state: RequestState, **columns: Any) -> sa.Row[Any]:
    if state is RequestState.QUEUED:
        return await tx.start_run(row, state, **columns)
    if state in DECIDABLE_STATES:
        return await tx.change(row, state, **columns)
    raise ValueError(f"a plan leads to proposed, awaiting or queued, not to {state}")


# ---------------------------------------------------------------- deciding


async def decide(tx: Transaction, request_id: str, ballot: Ballot) -> Request:
    row = await tx.request_row(request_id)
    _refuse_unless(row, {RequestState.AWAITING})
    await _refuse_late(tx, row)
    if row.plan_hash != ballot.plan_hash or row.version != ballot.version:
        raise ConflictError(
            f"The plan of request {row.id} has changed since you looked at it; nothing was decided.",
            fix="Read the new plan on the card and decide again.",
        )
    approvals = await _approvals(tx, row)
    if any(one.user_id == ballot.actor for one in approvals):
        raise ConflictError(f"You have decided about request {row.id} already.", fix=_LOOK)
    if missing(to_gates(row), approvals).get(ballot.rule, 0) == 0:
        raise ConflictError(
            f"The gate {ballot.rule} of request {row.id} does not wait for an approval any more.", fix=_LOOK
        )
    vote = Approval(
        request_id=row.id,
        user_id=ballot.actor,
        decision=ballot.decision,
        rule=ballot.rule,
        plan_hash=ballot.plan_hash,
        reason=ballot.reason,
        decided_at=tx.now,
    )
    await tx.connection.execute(_VOTE, vars(vote))
    await _record_ballot(tx, row, ballot)
    if ballot.decision is Decision.DENY:
        row = await tx.change(row, RequestState.DENIED, outcome=ballot.reason, due_at=None)
    elif not any(missing(to_gates(row), [*approvals, vote]).values()):
        row = await tx.start_run(row, RequestState.QUEUED)
    else:
        # The plan is the same, so another approver's view of it stays current: no new version.
        row = await tx.change(row, new_version=False)
    return await tx.request(row)


async def _record_ballot(tx: Transaction, row: sa.Row[Any], ballot: Ballot) -> None:
    event = "request.approved" if ballot.decision is Decision.APPROVE else "request.denied"
    data = {"rule": ballot.rule, "plan_hash": ballot.plan_hash, "reason": ballot.reason}
    await tx.record_for(row, event, actor=ballot.actor, data=data)


async def _approvals(tx: Transaction, row: sa.Row[Any]) -> list[Approval]:
    """The decisions about the request's present plan."""
    votes = await tx.connection.execute(_VOTES, {"request": row.id, "plan": row.plan_hash})
    return [to_approval(vote) for vote in votes]


def missing(gates: Sequence[Gate], approvals: Sequence[Approval]) -> dict[str, int]:
    """How many approvals each gate still needs."""
    given = [one.rule for one in approvals if one.decision is Decision.APPROVE]
    return {
        gate.rule: max(0, gate.needed - given.count(gate.rule))
        for gate in gates
        if gate.verdict is Verdict.NEEDS_APPROVAL
    }


async def cancel(tx: Transaction, request_id: str, *, actor: str, version: int, reason: str) -> Request:
    row = await _current(tx, request_id, version, states={RequestState.PLANNING, *DECIDABLE_STATES})
    await tx.record_for(row, "request.cancelled", actor=actor, data={"reason": reason})
    return await tx.request(await tx.change(row, RequestState.CANCELLED, outcome=reason, due_at=None))


async def stop_choice(
    tx: Transaction, request_id: str, *, actor: str, choice: Literal["retry", "undo"], version: int
) -> Request:
    row = await _current(tx, request_id, version, states={RequestState.STOPPED})
    retry = choice == "retry"
    await tx.record_for(
        row,
        "request.retried" if retry else "request.undo_requested",
        actor=actor,
        data={"run": row.run + 1},
    )
    state = RequestState.QUEUED if retry else RequestState.UNDOING
    return await tx.request(await tx.start_run(row, state, outcome=""))


# ---------------------------------------------------------------- time


async def expire_due(tx: Transaction, *, limit: int) -> list[Request]:
    """Close what nobody decided in time. Only proposals and what waits for approval has a deadline."""
    due = await tx.connection.execute(_DUE, {"now": tx.now, "most": limit})
    closed = [await _expire_if_due(tx, row) for row in due]
    return [await tx.request(row) for row in closed if row is not None]


async def _expire_if_due(tx: Transaction, row: sa.Row[Any]) -> sa.Row[Any] | None:
    """None where it goes on."""
    if row.state not in DECIDABLE_STATES or row.due_at is None or row.due_at > tx.now:
        return None
    data = {"due_at": row.due_at.isoformat(), "state": row.state}
    await tx.record_for(row, "request.expired", actor=SYSTEM, data=data)
    return await tx.change(row, RequestState.EXPIRED, due_at=None)


# ---------------------------------------------------------------- who lost, and against what


async def _current(
    tx: Transaction, request_id: str, version: int, *, states: set[RequestState]
) -> sa.Row[Any]:
    row = await tx.request_row(request_id)
    _refuse_unless(row, states)
    if row.version != version:
        raise ConflictError(
            f"Request {row.id} has changed since you looked at it; nothing was done.", fix=_LOOK
        )
    return row


def _refuse_unless(row: sa.Row[Any], states: set[RequestState]) -> None:
    if row.state not in states:
        raise ConflictError(f"Request {row.id} is {RequestState(row.state).value} already.", fix=_LOOK)


async def _refuse_late(tx: Transaction, row: sa.Row[Any]) -> None:
    """The deadline holds at the instant of the click, whether or not the sweep has come round."""
    if row.due_at is not None and row.due_at <= tx.now:
        raise ConflictError(
            f"Request {row.id} expired at {row.due_at:%Y-%m-%d %H:%M} UTC.",
            fix="Type the command again to make a new request.",
        )
