"""What a run writes down: begun, each step started, done or failed, undone, finished. It is what a run goes on from.

Every function joins an open transaction, so that what ends one step and what begins the next are one commit. Every function
may be repeated, because a commit whose answer was lost is made again: a state that is reached stays, without another event.
Whoever calls one holds the run (`bot.replicas`); for a run that was overtaken all the same it changes nothing, or raises ConflictError.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bot import moves
from bot.domain import (
    JSON,
    OPEN_STATES,
    WORKING_STATES,
    Gate,
    Link,
    Plan,
    Record,
    Request,
    RequestState,
    StepRecord,
    StepState,
)
from bot.errors import ConflictError
from bot.halts import standing
from bot.lifecycle import Proposal, plan_columns, record_plan, record_refusal
from bot.moves import StepOfRun
from bot.rows import from_links
from bot.transaction import SYSTEM, Transaction

_SHOWN_AT_WORK = frozenset({StepState.WAITING, StepState.RUNNING, StepState.UNDOING})
_FINISHED = {
    RequestState.SUCCEEDED: "request.succeeded",
    RequestState.UNDONE: "request.undone",
    RequestState.STOPPED: "request.stopped",
}


class StepOutcome(Protocol):
    """What a finished step hands over; `bot.command.Done` is one."""

    @property
    def detail(self) -> str: ...
    @property
    def external_id(self) -> str: ...
    @property
    def output(self) -> JSON: ...
    @property
    def links(self) -> tuple[Link, ...]: ...
    @property
    def record(self) -> Record | None: ...


@dataclass(frozen=True)
class BeginResult:
    """`go`: this run is the request's latest and there is something to do."""

    request: Request
    go: bool


# ------------------------------------------------------------ the run


async def begin(tx: Transaction, request_id: str, *, run: int) -> BeginResult:
    """QUEUED -> RUNNING, with the plan's steps WAITING; UNDOING stays. Anything else: not for this run."""
    row = await tx.request_row(request_id)
    if row.run != run or row.state not in WORKING_STATES:
        return BeginResult(await tx.request(row), go=False)
    undo = row.state == RequestState.UNDOING
    started = f"run:{run}:started"
    if not await tx.recorded(row, started):
        await tx.record_for(row, "run.started", actor=SYSTEM, data={"run": run, "undo": undo}, key=started)
        row = await tx.change(row, None if undo else RequestState.RUNNING)
    if row.plan is not None:
        await moves.add_missing(tx, row.id, Plan.model_validate(row.plan).steps)
    return BeginResult(await tx.request(row), go=True)


async def replan(
    tx: Transaction,
    request_id: str,
    *,
    version: int,
    plan: Plan,
    gates: tuple[Gate, ...],
    plan_hash: str,
    plan_changes: Sequence[str],
    due_at: datetime | None,
) -> Request:
    """The plan's facts changed before anything ran: ask again. Raises ConflictError for an old `version`."""
    row = await tx.request_row(request_id)
    if row.state == RequestState.AWAITING and row.plan_hash == plan_hash:
        return await tx.request(row)
    if row.version != version or row.state not in {RequestState.QUEUED, RequestState.RUNNING}:
        raise ConflictError(f"Request {row.id} has changed; its plan was not made anew.")
    await moves.forget(tx, row.id)
    proposal = Proposal(
        plan=plan,
        gates=gates,
        plan_hash=plan_hash,
        state=RequestState.AWAITING,
        due_at=due_at,
        plan_changes=tuple(plan_changes),
    )
    row = await tx.change(row, RequestState.AWAITING, **plan_columns(row, proposal))
    await record_plan(tx, row, proposal, event="request.plan_changed", actor=SYSTEM)
    return await tx.request(row)


async def refuse(tx: Transaction, request_id: str, *, reason: str, rule: str) -> Request:
    """A rule or a lost permission ends the request at the moment it would have run."""
    row = await tx.request_row(request_id)
    if row.state in OPEN_STATES:
        row = await record_refusal(tx, row, reason=reason, rule=rule)
    return await tx.request(row)


async def finish(
    tx: Transaction,
    request_id: str,
    *,
    run: int,
    state: RequestState,
    outcome: str,
) -> Request:
    """SUCCEEDED, UNDONE or STOPPED; a run that ended already stays as it ended.

    A step that was under way when its run ended has an unknown outcome, and is undone as if it had happened.
    """
    row = await tx.request_row(request_id)
    if row.run == run and row.state in WORKING_STATES:
        interrupted = await _interrupt_steps(tx, request_id, outcome)
        row = await tx.change(row, state, outcome=outcome)
        data: JSON = {"run": run, "outcome": outcome}
        if interrupted:
            data["interrupted"] = interrupted
        await tx.record_for(row, _FINISHED[state], actor=SYSTEM, data=data, key=f"run:{run}:finished")
    return await tx.request(row)


# ------------------------------------------------------------ doing


async def step_started(
    tx: Transaction,
    request_id: str,
    key: str,
    *,
    run: int,
    due_at: datetime | None,
) -> StepRecord:
    """The step as it now stands: `due_at` is the first one of this run, however often the step is started."""
    values = {
        "started_at": tx.now,
        "finished_at": None,
        "due_at": due_at,
        "detail": "",
        "error": "",
        "unsure": False,
        "halt": None,
    }
    return await moves.make(tx, moves.STEP_STARTED, StepOfRun(request_id, key, run), values)


async def step_progress(
    tx: Transaction,
    request_id: str,
    key: str,
    *,
    detail: str,
    halted_at: str | None = None,
) -> None:
    """What the step waits for, for the card, and where it halts (None: as before). No event; the cards are dirty only if
    it is something else."""
    step = await moves.read(tx, request_id, key)
    halt = step.halt if halted_at is None else standing(step.halt, halted_at)
    if (step.detail, step.halt) != (detail, halt) and step.state in _SHOWN_AT_WORK:
        await moves.put(tx, request_id, key, {"detail": detail, "halt": halt})
        await tx.dirty(request_id)


async def step_done(
    tx: Transaction,
    request_id: str,
    key: str,
    *,
    run: int,
    done: StepOutcome,
) -> StepRecord:
    """The step's outcome and the facts it adds. Raises ConflictError when its service's name was taken meanwhile."""
    values = {
        "finished_at": tx.now,
        "detail": done.detail,
        "error": "",
        "unsure": False,
        "halt": None,
        "external_id": done.external_id,
        "output": done.output,
        "links": from_links(done.links),
    }
    step = StepOfRun(request_id, key, run)
    return await moves.make(tx, moves.STEP_DONE, step, values, record=done.record)


async def step_failed(
    tx: Transaction,
    request_id: str,
    key: str,
    *,
    run: int,
    error: str,
    unsure: bool,
) -> StepRecord:
    """`unsure`: it may have happened all the same, and is undone as if it had."""
    values = {"finished_at": tx.now, "error": error, "unsure": unsure}
    return await moves.make(tx, moves.STEP_FAILED, StepOfRun(request_id, key, run), values)


# ------------------------------------------------------------ undoing


async def turn_back(tx: Transaction, request_id: str, *, run: int, why: str) -> Request:
    """From here on the run only goes back; should it be started again, it goes on undoing, and still knows why."""
    row = await tx.request_row(request_id)
    if row.run == run and row.state == RequestState.RUNNING:
        row = await tx.change(row, RequestState.UNDOING, outcome=why)
    return await tx.request(row)


async def undo_started(
    tx: Transaction,
    request_id: str,
    key: str,
    *,
    run: int,
    due_at: datetime | None,
) -> StepRecord:
    values = {"due_at": due_at, "detail": "", "halt": None}
    return await moves.make(tx, moves.UNDO_STARTED, StepOfRun(request_id, key, run), values)


async def undo_done(
    tx: Transaction,
    request_id: str,
    key: str,
    *,
    run: int,
    done: StepOutcome,
) -> StepRecord:
    """What the step left is kept (`output`, `external_id`): it says what was there."""
    step, values = StepOfRun(request_id, key, run), {"finished_at": tx.now, "detail": done.detail}
    return await moves.make(tx, moves.UNDO_DONE, step, values, record=done.record)


async def undo_failed(tx: Transaction, request_id: str, key: str, *, run: int, error: str) -> StepRecord:
    values = {"finished_at": tx.now, "error": error}
    return await moves.make(tx, moves.UNDO_FAILED, StepOfRun(request_id, key, run), values)


async def _interrupt_steps(tx: Transaction, request_id: str, why: str) -> list[str]:
    steps = await moves.under_way(tx, request_id)
    for key, state in steps:
        cut_off = StepState.FAILED if state is StepState.RUNNING else StepState.UNDO_FAILED
        values = {"state": cut_off, "error": why, "unsure": True, "finished_at": tx.now}
        await moves.put(tx, request_id, key, values)
    return [key for key, _ in steps]
