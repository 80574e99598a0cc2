"""The life of a request up to the moment it runs: one function per transaction, each with its audit event.

Every function reads, checks and writes under the writers' lock of its `Transaction`; where it lost against somebody it
raises ConflictError with a sentence for the person, and nothing is written. Runs are `bot.ledger`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, select
from sqlmodel import col

from bot.audit import Fact
from bot.domain import (
    DECIDABLE_STATES,
    JSON,
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
from bot.rows import from_gates, to_gates
from bot.tables import ApprovalRow, RequestRow
from bot.transaction import SYSTEM, Transaction

_LOOK = "Look at the card for what is true now."


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
    repeated = await _find(tx, col(RequestRow.dedupe_key) == new.dedupe_key)
    if repeated is not None:
        return Opened(await tx.request(repeated), created=False, duplicate="delivery")
    if new.active_key:
        active = await _find(tx, col(RequestRow.active_key) == new.active_key)
        if active is not None and not await _expire_if_due(tx, active):
            return Opened(await tx.request(active), created=False, duplicate="active")
    row = RequestRow(**first_columns(new, tx.now))
    tx.session.add(row)
    await tx.record(opened(new))
    return Opened(await tx.request(row), created=True)


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


async def _find(tx: Transaction, condition: ColumnElement[bool]) -> RequestRow | None:
    return (await tx.session.scalars(select(RequestRow).where(condition))).one_or_none()


# ---------------------------------------------------------------- planning


async def propose(tx: Transaction, request_id: str, proposal: Proposal, *, version: int) -> Request:
    row = await _current(tx, request_id, version, states={RequestState.PLANNING})
    row.due_at = proposal.due_at
    await put_plan(tx, row, proposal, event="request.planned", actor=row.requester)
    await _go_on(tx, row, proposal.state)
    await add_cards(tx, row.id, [(card.kind, card.channel_id) for card in proposal.cards])
    return await tx.request(row)


async def put_plan(tx: Transaction, row: RequestRow, proposal: Proposal, *, event: str, actor: str) -> None:
    """Freeze the plan into the request. Approvals of another plan stay on record but no longer count."""
    row.plan = proposal.plan.model_dump(mode="json")
    row.gates = from_gates(proposal.gates)
    row.plan_hash = proposal.plan_hash
    row.plan_changes = list(proposal.plan_changes)
    row.service = row.service or proposal.plan.service
    row.team = row.team or proposal.plan.team
    row.environment = row.environment or proposal.plan.environment
    verdicts = [{"rule": gate.rule, "verdict": gate.verdict.value} for gate in proposal.gates]
    data: JSON = {"plan_hash": proposal.plan_hash, "gates": verdicts}
    if proposal.plan_changes:
        data["changes"] = list(proposal.plan_changes)
    await tx.record_for(row, event, actor=actor, data=data)


async def refuse(tx: Transaction, request_id: str, *, version: int, reason: str, rule: str) -> Request:
    row = await _current(tx, request_id, version, states={RequestState.PLANNING, *DECIDABLE_STATES})
    await record_refusal(tx, row, reason=reason, rule=rule)
    return await tx.request(row)


async def record_refusal(tx: Transaction, row: RequestRow, *, reason: str, rule: str) -> None:
    """A rule ends the request, before or when it would have run."""
    row.outcome = reason
    row.due_at = None
    await tx.change(row, RequestState.REFUSED)
    await tx.record_for(row, "request.refused", actor=SYSTEM, data={"rule": rule, "reason": reason})


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
    row.due_at = due_at
    await tx.record_for(row, "request.confirmed", actor=actor, data={"plan_hash": row.plan_hash})
    await _go_on(tx, row, state)
    await add_cards(tx, row.id, [(card.kind, card.channel_id) for card in cards])
    return await tx.request(row)


async def _go_on(tx: Transaction, row: RequestRow, state: RequestState) -> None:
    if state is RequestState.QUEUED:
        await tx.start_run(row, state)
    elif state in DECIDABLE_STATES:
        await tx.change(row, state)
    else:
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
    vote = ApprovalRow(
        request_id=row.id,
        user_id=ballot.actor,
        decision=ballot.decision,
        rule=ballot.rule,
        plan_hash=ballot.plan_hash,
        reason=ballot.reason,
        decided_at=tx.now,
    )
    tx.session.add(vote)
    await _record_ballot(tx, row, ballot)
    if ballot.decision is Decision.DENY:
        row.outcome, row.due_at = ballot.reason, None
        await tx.change(row, RequestState.DENIED)
    elif not any(missing(to_gates(row), [*approvals, vote]).values()):
        await tx.start_run(row, RequestState.QUEUED)
    else:
        # The plan is the same, so another approver's view of it stays current: no new version.
        await tx.change(row, new_version=False)
    return await tx.request(row)


async def _record_ballot(tx: Transaction, row: RequestRow, ballot: Ballot) -> None:
    event = "request.approved" if ballot.decision is Decision.APPROVE else "request.denied"
    data = {"rule": ballot.rule, "plan_hash": ballot.plan_hash, "reason": ballot.reason}
    await tx.record_for(row, event, actor=ballot.actor, data=data)


async def _approvals(tx: Transaction, row: RequestRow) -> list[ApprovalRow]:
    """The decisions about the request's present plan."""
    statement = select(ApprovalRow).where(
        col(ApprovalRow.request_id) == row.id, col(ApprovalRow.plan_hash) == row.plan_hash
    )
    return list(await tx.session.scalars(statement))


def missing(gates: Sequence[Gate], approvals: Sequence[ApprovalRow]) -> dict[str, int]:
    """How many approvals each gate still needs."""
    given = [one.rule for one in approvals if one.decision == Decision.APPROVE]
    return {
        gate.rule: max(0, gate.needed - given.count(gate.rule))
        for gate in gates
        if gate.verdict is Verdict.NEEDS_APPROVAL
    }


async def cancel(tx: Transaction, request_id: str, *, actor: str, version: int, reason: str) -> Request:
    row = await _current(tx, request_id, version, states={RequestState.PLANNING, *DECIDABLE_STATES})
    row.outcome, row.due_at = reason, None
    await tx.change(row, RequestState.CANCELLED)
    await tx.record_for(row, "request.cancelled", actor=actor, data={"reason": reason})
    return await tx.request(row)


async def stop_choice(
    tx: Transaction, request_id: str, *, actor: str, choice: Literal["retry", "undo"], version: int
) -> Request:
    row = await _current(tx, request_id, version, states={RequestState.STOPPED})
    row.outcome = ""
    retry = choice == "retry"
    await tx.record_for(
        row,
        "request.retried" if retry else "request.undo_requested",
        actor=actor,
        data={"run": row.run + 1},
    )
    await tx.start_run(row, RequestState.QUEUED if retry else RequestState.UNDOING)
    return await tx.request(row)


# ---------------------------------------------------------------- time


async def expire_due(tx: Transaction, *, limit: int) -> list[Request]:
    """Close what nobody decided in time. Only proposals and what waits for approval has a deadline."""
    statement = (
        select(RequestRow)
        .where(col(RequestRow.due_at) <= tx.now)
        .order_by(col(RequestRow.due_at), col(RequestRow.id))
        .limit(limit)
    )
    return [
        await tx.request(row)
        for row in (await tx.session.scalars(statement)).all()
        if await _expire_if_due(tx, row)
    ]


async def _expire_if_due(tx: Transaction, row: RequestRow) -> bool:
    if row.state not in DECIDABLE_STATES or row.due_at is None or row.due_at > tx.now:
        return False
    data = {"due_at": row.due_at.isoformat(), "state": str(row.state)}
    row.due_at = None
    await tx.change(row, RequestState.EXPIRED)
    await tx.record_for(row, "request.expired", actor=SYSTEM, data=data)
    return True


# ---------------------------------------------------------------- who lost, and against what


async def _current(
    tx: Transaction, request_id: str, version: int, *, states: set[RequestState]
) -> RequestRow:
    row = await tx.request_row(request_id)
    _refuse_unless(row, states)
    if row.version != version:
        raise ConflictError(
            f"Request {row.id} has changed since you looked at it; nothing was done.", fix=_LOOK
        )
    return row


def _refuse_unless(row: RequestRow, states: set[RequestState]) -> None:
    if row.state not in states:
        raise ConflictError(f"Request {row.id} is {RequestState(row.state).value} already.", fix=_LOOK)


async def _refuse_late(tx: Transaction, row: RequestRow) -> None:
    """The deadline holds at the instant of the click, whether or not the sweep has come round."""
    if row.due_at is not None and row.due_at <= tx.now:
        raise ConflictError(
            f"Request {row.id} expired at {row.due_at:%Y-%m-%d %H:%M} UTC.",
            fix="Type the command again to make a new request.",
        )
