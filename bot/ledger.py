"""What a run writes down: begun, each step started, done or failed, undone, finished. One method per transaction.

Every method takes the session of the engine's open transaction first, so that the fact and the engine's checkpoint are one
commit. Every method may be repeated: an event's key makes it one event, and a state that is reached stays. A method called
for a run that is not the request's latest raises ConflictError: whoever calls it has been overtaken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from bot.domain import (
    JSON,
    OPEN_STATES,
    Gate,
    Link,
    Plan,
    Record,
    Request,
    RequestState,
    StepRecord,
    StepState,
)
from bot.errors import ConflictError, NotFoundError
from bot.halts import standing
from bot.lifecycle import Proposal, put_plan, record_refusal
from bot.records import apply_record
from bot.rows import from_links, to_step
from bot.tables import RequestRow, StepRow
from bot.transaction import SYSTEM, Signals, Transaction

_RUNNABLE = frozenset({RequestState.QUEUED, RequestState.RUNNING, RequestState.UNDOING})
_UNDO_STATES = frozenset({StepState.UNDOING, StepState.UNDONE, StepState.UNDO_FAILED})
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


class Ledger:
    """The run's side of the store; `store.ledger` is the one there is."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    async def _join(self, session: AsyncSession, now: datetime) -> Transaction:
        return await Transaction.join(session, now, signals=self._signals)

    # ------------------------------------------------------------ the run

    async def begin(self, session: AsyncSession, request_id: str, *, run: int, now: datetime) -> BeginResult:
        """QUEUED -> RUNNING, with the plan's steps WAITING; UNDOING stays. Anything else: not for this run."""
        tx = await self._join(session, now)
        row = await tx.request_row(request_id)
        if row.run != run or row.state not in _RUNNABLE:
            return BeginResult(await tx.request(row), go=False)
        undo = row.state == RequestState.UNDOING
        if await tx.record_for(
            row, "run.started", actor=SYSTEM, data={"run": run, "undo": undo}, key=f"run:{run}:started"
        ):
            await tx.change(row, None if undo else RequestState.RUNNING)
        await _add_steps(tx, row)
        return BeginResult(await tx.request(row), go=True)

    async def replan(
        self,
        session: AsyncSession,
        request_id: str,
        *,
        version: int,
        plan: Plan,
        gates: tuple[Gate, ...],
        plan_hash: str,
        plan_changes: Sequence[str],
        due_at: datetime | None,
        now: datetime,
    ) -> Request:
        """The plan's facts changed before anything ran: ask again. Raises ConflictError for an old `version`."""
        tx = await self._join(session, now)
        row = await tx.request_row(request_id)
        if row.state == RequestState.AWAITING and row.plan_hash == plan_hash:
            return await tx.request(row)
        if row.version != version or row.state not in {RequestState.QUEUED, RequestState.RUNNING}:
            raise ConflictError(f"Request {row.id} has changed; its plan was not made anew.")
        await session.execute(delete(StepRow).where(col(StepRow.request_id) == row.id))
        row.due_at = due_at
        proposal = Proposal(
            plan=plan,
            gates=gates,
            plan_hash=plan_hash,
            state=RequestState.AWAITING,
            due_at=due_at,
            plan_changes=tuple(plan_changes),
        )
        await put_plan(tx, row, proposal, event="request.plan_changed", actor=SYSTEM)
        await tx.change(row, RequestState.AWAITING)
        return await tx.request(row)

    async def refuse(
        self, session: AsyncSession, request_id: str, *, reason: str, rule: str, now: datetime
    ) -> Request:
        """A rule or a lost permission ends the request at the moment it would have run."""
        tx = await self._join(session, now)
        row = await tx.request_row(request_id)
        if row.state in OPEN_STATES:
            await record_refusal(tx, row, reason=reason, rule=rule)
        return await tx.request(row)

    async def finish(
        self,
        session: AsyncSession,
        request_id: str,
        *,
        run: int,
        state: RequestState,
        outcome: str,
        now: datetime,
    ) -> Request:
        """SUCCEEDED, UNDONE or STOPPED; a run that ended already stays as it ended.

        A step that was under way when its run ended has an unknown outcome, and is undone as if it had happened.
        """
        tx = await self._join(session, now)
        row = await tx.request_row(request_id)
        if row.run == run and row.state in _RUNNABLE:
            row.outcome = outcome
            interrupted = await _interrupt_steps(tx, row, outcome)
            await tx.change(row, state)
            data: JSON = {"run": run, "outcome": outcome}
            if interrupted:
                data["interrupted"] = interrupted
            await tx.record_for(row, _FINISHED[state], actor=SYSTEM, data=data, key=f"run:{run}:finished")
        return await tx.request(row)

    # ------------------------------------------------------------ doing

    async def step_started(
        self,
        session: AsyncSession,
        request_id: str,
        key: str,
        *,
        run: int,
        due_at: datetime | None,
        now: datetime,
    ) -> StepRecord:
        """The step as it now stands: `due_at` is the first one of this run, however often the step is started."""
        tx = await self._join(session, now)
        row, step = await _step(tx, request_id, key, run=run)
        if step.run == run and step.state in {StepState.RUNNING, StepState.DONE, StepState.FAILED}:
            return to_step(step)
        step.state, step.run, step.due_at = StepState.RUNNING, run, due_at
        step.started_at, step.finished_at = now, None
        step.error, step.detail, step.unsure, step.halt = "", "", False, None
        await self._record_step(tx, row, step, "step.started")
        return to_step(step)

    async def step_progress(
        self,
        session: AsyncSession,
        request_id: str,
        key: str,
        *,
        detail: str,
        halted_at: str | None = None,
        now: datetime,
    ) -> None:
        """What the step waits for, for the card, and where it halts (None: as before). No event; the cards are dirty only if
        it is something else."""
        tx = await self._join(session, now)
        step = await _step_row(tx, request_id, key)
        halt = step.halt if halted_at is None else standing(step.halt, halted_at)
        if (step.detail, step.halt) != (detail, halt) and step.state in _SHOWN_AT_WORK:
            step.detail, step.halt = detail, halt
            await tx.dirty(request_id)

    async def step_done(
        self,
        session: AsyncSession,
        request_id: str,
        key: str,
        *,
        run: int,
        done: StepOutcome,
        now: datetime,
    ) -> StepRecord:
        """The step's outcome and the facts it adds. Raises ConflictError when its service's name was taken meanwhile."""
        tx = await self._join(session, now)
        row, step = await _step(tx, request_id, key, run=run)
        if step.state == StepState.DONE:
            return to_step(step)
        step.state, step.finished_at = StepState.DONE, now
        step.detail, step.error, step.unsure, step.halt = done.detail, "", False, None
        step.external_id, step.output, step.links = done.external_id, done.output, from_links(done.links)
        await self._record_step(tx, row, step, "step.done", external_id=done.external_id, detail=done.detail)
        await apply_record(tx, row, done.record)
        return to_step(step)

    async def step_failed(
        self,
        session: AsyncSession,
        request_id: str,
        key: str,
        *,
        run: int,
        error: str,
        unsure: bool,
        now: datetime,
    ) -> StepRecord:
        """`unsure`: it may have happened all the same, and is undone as if it had."""
        tx = await self._join(session, now)
        row, step = await _step(tx, request_id, key, run=run)
        if step.state != StepState.FAILED:
            step.state, step.finished_at = StepState.FAILED, now
            step.error, step.unsure = error, unsure
            await self._record_step(tx, row, step, "step.failed", error=error, unsure=unsure)
        return to_step(step)

    # ------------------------------------------------------------ undoing

    async def undo_started(
        self,
        session: AsyncSession,
        request_id: str,
        key: str,
        *,
        run: int,
        due_at: datetime | None,
        now: datetime,
    ) -> StepRecord:
        tx = await self._join(session, now)
        row, step = await _step(tx, request_id, key, run=run)
        if step.run == run and step.state in _UNDO_STATES:
            return to_step(step)
        if row.state == RequestState.RUNNING:
            # From here on the run only goes back; should it be started again, it must go on undoing.
            await tx.change(row, RequestState.UNDOING)
        step.state, step.run, step.due_at, step.detail = StepState.UNDOING, run, due_at, ""
        step.halt = None
        await self._record_step(tx, row, step, "undo.started")
        return to_step(step)

    async def undo_done(
        self,
        session: AsyncSession,
        request_id: str,
        key: str,
        *,
        run: int,
        done: StepOutcome,
        now: datetime,
    ) -> StepRecord:
        """What the step left is kept (`output`, `external_id`): it says what was there."""
        tx = await self._join(session, now)
        row, step = await _step(tx, request_id, key, run=run)
        if step.state != StepState.UNDONE:
            step.state, step.finished_at, step.detail = StepState.UNDONE, now, done.detail
            await self._record_step(tx, row, step, "undo.done", detail=done.detail)
            await apply_record(tx, row, done.record)
        return to_step(step)

    async def undo_failed(
        self, session: AsyncSession, request_id: str, key: str, *, run: int, error: str, now: datetime
    ) -> StepRecord:
        tx = await self._join(session, now)
        row, step = await _step(tx, request_id, key, run=run)
        if step.state != StepState.UNDO_FAILED:
            step.state, step.finished_at, step.error = StepState.UNDO_FAILED, now, error
            await self._record_step(tx, row, step, "undo.failed", error=error)
        return to_step(step)

    async def _record_step(
        self, tx: Transaction, row: RequestRow, step: StepRow, event: str, **data: str | bool
    ) -> None:
        kept = {name: value for name, value in data.items() if value != ""}
        await tx.record_for(
            row,
            event,
            actor=SYSTEM,
            data={"step": step.key, "run": step.run, **kept},
            key=f"run:{step.run}:{step.key}:{event}",
        )
        await tx.dirty(row.id)


async def _add_steps(tx: Transaction, row: RequestRow) -> None:
    present = set(await tx.session.scalars(select(col(StepRow.key)).where(col(StepRow.request_id) == row.id)))
    plan = None if row.plan is None else Plan.model_validate(row.plan)
    for position, planned in enumerate(plan.steps if plan else ()):
        if planned.key not in present:
            tx.session.add(
                StepRow(
                    request_id=row.id,
                    key=planned.key,
                    position=position,
                    title=planned.title,
                    state=StepState.WAITING,
                    output={},
                    links=[],
                )
            )


async def _interrupt_steps(tx: Transaction, row: RequestRow, why: str) -> list[str]:
    under_way = select(StepRow).where(
        col(StepRow.request_id) == row.id,
        col(StepRow.state).in_([StepState.RUNNING, StepState.UNDOING]),
    )
    steps = (await tx.session.scalars(under_way.order_by(col(StepRow.position)))).all()
    for step in steps:
        step.state = StepState.FAILED if step.state == StepState.RUNNING else StepState.UNDO_FAILED
        step.error, step.unsure, step.finished_at = why, True, tx.now
    return [step.key for step in steps]


async def _step(tx: Transaction, request_id: str, key: str, *, run: int) -> tuple[RequestRow, StepRow]:
    row = await tx.request_row(request_id)
    if row.run != run:
        raise ConflictError(f"Run {run} of request {request_id} was overtaken by run {row.run}.")
    return row, await _step_row(tx, request_id, key)


async def _step_row(tx: Transaction, request_id: str, key: str) -> StepRow:
    row = await tx.session.get(StepRow, (request_id, key))
    if row is None:
        raise NotFoundError(f"Request {request_id} has no step {key}.")
    return row
