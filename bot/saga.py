"""The order of one run: begin, look again, do the steps, undo them in reverse, finish. Which process does it is not its matter.

Where a run stands is what `bot.ledger` has written and nothing else: whoever takes it up again, after a crash or in another
process, reads the request and goes on with the first step that is not done. So every commit leaves something to go on from: the
one that ends a step also begins the next, turns back, or finishes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol, TypeVar

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError

from bot import ledger
from bot.attempt import Failure, attempt, extended_deadline, next_delay, unknown_failure
from bot.command import Done, Pending, StepKind
from bot.domain import OnFailure, PlannedStep, Request, RequestState, StepRecord, StepState
from bot.errors import ConflictError
from bot.replanned import Changed, CouldNotAsk, Refused, Same
from bot.step_run import StepRun, World
from bot.transaction import Transaction

REPLAN_TIMEOUT_SECONDS = 900.0
"""How long a run waits for those who must be asked before it starts; then a person chooses."""
UNTOUCHED = frozenset({StepState.WAITING, StepState.UNDONE})

_DONE = TypeAdapter(Done)
T = TypeVar("T")


class Write(Protocol):
    """One transaction, made again until the database takes it: what is written may be written twice."""

    async def __call__(self, change: Callable[[Transaction], Awaitable[T]], /) -> T: ...


@dataclass(frozen=True)
class Turn:
    """The step whose turn it is: recorded as begun, and not yet carried out. `request` is as that commit left it."""

    request: Request
    step: StepRecord
    undo: bool

    @property
    def planned(self) -> PlannedStep:
        return next(one for one in _steps(self.request) if one.key == self.step.key)


def _steps(request: Request) -> tuple[PlannedStep, ...]:
    return request.plan.steps if request.plan else ()


def _with(request: Request, record: StepRecord) -> Request:
    return replace(request, steps=tuple(record if step.key == record.key else step for step in request.steps))


class Saga:
    """One run of one request."""

    def __init__(self, request_id: str, run: int, *, world: World, write: Write) -> None:
        self._request_id = request_id
        self._run = run
        self._world = world
        self._write = write

    async def execute(self) -> None:
        begun = await self._write(lambda tx: ledger.begin(tx, self._request_id, run=self._run))
        if not begun.go or not await self._may_go_on(begun.request):
            return
        turn = await self._write(lambda tx: self._next(tx, begun.request))
        while turn is not None:
            turn = await self._take(turn)

    async def _take(self, turn: Turn) -> Turn | None:
        result = await self._perform(turn)
        return await self._write(lambda tx: self._record(tx, turn, result))

    # ---------------------------------------------------------------- look again

    async def _may_go_on(self, request: Request) -> bool:
        """As long as nothing has been done, everything is asked again; after that only a person turns back."""
        if request.state is RequestState.UNDOING:
            return True
        if any(step.state not in UNTOUCHED for step in request.steps):
            return True
        found = await self._look_again(request)
        if isinstance(found, Same):
            return True
        await self._write(lambda tx: self._apply(tx, found, request.version))
        return False

    async def _look_again(self, request: Request) -> Same | Changed | Refused | Failure:
        """`updated_at` is when the run began: nothing but progress has been written since."""
        failures = 0
        due_at = extended_deadline(
            request.updated_at + timedelta(seconds=REPLAN_TIMEOUT_SECONDS),
            now=self._world.clock(),
            timeout_seconds=REPLAN_TIMEOUT_SECONDS,
        )
        while True:
            try:
                found = await self._world.replan(request)
            except Exception as error:  # noqa: BLE001
                # Commands of third parties plan, too: their mistake must stop the run, not strand the request.
                return unknown_failure(error, f"{request.id}: look again")
            if not isinstance(found, CouldNotAsk):
                return found
            failures += 1
            remaining = (due_at - self._world.clock()).total_seconds()
            delay = next_delay(failures, remaining, found.retry_after_seconds)
            if delay is None:
                why = f"The plan could not be checked again: {found.reason}"
                return Failure(why, temporary=True, unsure=False)
            await self._progress(
                _steps(request)[0].key, f"Waiting to check the plan again: {found.reason}", None
            )
            await asyncio.sleep(delay)

    async def _apply(self, tx: Transaction, found: Changed | Refused | Failure, version: int) -> None:
        match found:
            case Failure():
                await self._finish(tx, RequestState.STOPPED, found.message)
            case Refused():
                await ledger.refuse(tx, self._request_id, reason=found.reason, rule=found.rule)
            case Changed():
                await ledger.replan(
                    tx,
                    self._request_id,
                    version=version,
                    plan=found.plan,
                    gates=found.gates,
                    plan_hash=found.plan_hash,
                    plan_changes=found.changes,
                    due_at=found.due_at,
                )

    # ---------------------------------------------------------------- what comes next

    async def _next(self, tx: Transaction, request: Request) -> Turn | None:
        """Begin the step whose turn it is, or finish. Forwards: the first that is not done. Back: the last that was touched."""
        undo = request.state is RequestState.UNDOING
        planned = self._next_to_undo(request) if undo else _next_to_do(request)
        if planned is None:
            await self._finish(
                tx, RequestState.UNDONE if undo else RequestState.SUCCEEDED, request.outcome if undo else ""
            )
            return None
        record = await (ledger.undo_started if undo else ledger.step_started)(
            tx,
            request.id,
            planned.key,
            run=self._run,
            due_at=tx.now + timedelta(seconds=planned.timeout_seconds),
        )
        return Turn(_with(request, record), record, undo)

    def _next_to_undo(self, request: Request) -> PlannedStep | None:
        """Everything that was begun, also what failed: it may have happened in part.

        What this version does not know is no exception: whether it can be undone is not known either, so its turn fails.
        """
        states = {step.key: step.state for step in request.steps}
        command = self._world.commands.get(request.command)
        kinds = command.steps if command else {}
        for planned in reversed(_steps(request)):
            kind = kinds.get(planned.key)
            touched = states.get(planned.key, StepState.WAITING) not in UNTOUCHED
            if touched and (kind is None or kind.undo is not None):
                return planned
        return None

    async def _record(self, tx: Transaction, turn: Turn, result: Done | Failure) -> Turn | None:
        """How the step ended, and what follows from it. A step whose facts the database refuses has failed, although its
        effect happened."""
        if isinstance(result, Done):
            try:
                record = await self._record_done(tx, turn, result)
            except ConflictError as error:
                result = Failure(error.sentence, temporary=False, unsure=True)
            else:
                return await self._next(tx, _with(turn.request, record))
        why = f"{turn.step.title}: {result.message}"
        key, run = turn.step.key, self._run
        if turn.undo:
            await ledger.undo_failed(tx, self._request_id, key, run=run, error=result.message)
            await self._finish(
                tx, RequestState.STOPPED, f"{turn.request.outcome} Undo failed at {why}".strip()
            )
            return None
        await ledger.step_failed(
            tx, self._request_id, key, run=run, error=result.message, unsure=result.unsure
        )
        plan = turn.request.plan
        if result.temporary or plan is None or plan.on_failure == OnFailure.STOP:
            # Out of time is a person's choice; a refusal is undone at once, where the plan says so.
            await self._finish(tx, RequestState.STOPPED, why)
            return None
        return await self._next(tx, await ledger.turn_back(tx, self._request_id, run=run, why=why))

    async def _record_done(self, tx: Transaction, turn: Turn, done: Done) -> StepRecord:
        record = ledger.undo_done if turn.undo else ledger.step_done
        if done.record is None:
            return await record(tx, self._request_id, turn.step.key, run=self._run, done=done)
        async with tx.savepoint():
            return await record(tx, self._request_id, turn.step.key, run=self._run, done=done)

    async def _finish(self, tx: Transaction, state: RequestState, outcome: str) -> None:
        await ledger.finish(tx, self._request_id, run=self._run, state=state, outcome=outcome)

    # ---------------------------------------------------------------- effects

    async def _perform(self, turn: Turn) -> Done | Failure:
        request, key, planned = turn.request, turn.step.key, turn.planned
        command = self._world.commands.get(request.command)
        kind = command.steps.get(key) if command else None
        if kind is None:
            unknown = f"This version of the bot does not know the step {key} of {request.command}."
            return Failure(unknown, temporary=True, unsure=False)
        with self._world.waking.sleeper(request_id=request.id, service=request.service) as sleeper:
            result = await attempt(
                self._call(kind, turn),
                lambda text, halted_at: self._progress(key, text, halted_at),
                what=f"{request.id}: {'undo of ' if turn.undo else ''}{key}",
                due_at=extended_deadline(
                    turn.step.due_at or self._world.clock(),
                    now=self._world.clock(),
                    timeout_seconds=planned.timeout_seconds,
                ),
                timeout_seconds=planned.timeout_seconds,
                slots=self._world.slots,
                clock=self._world.clock,
                pause=sleeper.pause,
            )
        if isinstance(result, Failure):
            return result
        try:
            return _DONE.validate_python(_DONE.dump_python(result, mode="json"))
        except PydanticSerializationError as error:
            return unknown_failure(error, f"{request.id}: what {key} returned")

    def _call(self, kind: StepKind, turn: Turn) -> Callable[[], Awaitable[Done | Pending]]:
        context, arguments = StepRun(turn.request, self._run, self._world), turn.planned.arguments

        async def call() -> Done | Pending:
            if not turn.undo:
                return await kind.do(context, arguments)
            assert kind.undo is not None, "only steps that can be undone are undone"
            return await kind.undo(context, arguments, turn.step)

        return call

    async def _progress(self, key: str, text: str, halted_at: str | None) -> None:
        await self._write(
            lambda tx: ledger.step_progress(tx, self._request_id, key, detail=text, halted_at=halted_at)
        )


def _next_to_do(request: Request) -> PlannedStep | None:
    done = {step.key for step in request.steps if step.state is StepState.DONE}
    return next((planned for planned in _steps(request) if planned.key not in done), None)
