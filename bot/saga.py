"""The order of one run: begin, look again, do the steps, undo them in reverse, finish. Knows no durable-execution library.

Everything here is replayed after a crash, so it must take the same branches again: it decides only by what `Journal` has
recorded (values, never exceptions, never a clock) and names every entry after what it does. Changing the order of entries
strands runs in flight; a new version of it needs a new `RUN_VERSION` in `bot.workflow`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError
from sqlalchemy.ext.asyncio import AsyncSession

from bot.attempt import Failure, attempt, extended_deadline, next_delay, unknown_failure
from bot.command import Done, Pending, StepKind
from bot.domain import JSON, Gate, OnFailure, Plan, PlannedStep, Request, RequestState, StepState
from bot.errors import ConflictError
from bot.replanned import Changed, CouldNotAsk, Refused, Same
from bot.step_run import StepRun, World

REPLAN_TIMEOUT_SECONDS = 900.0
"""How long a run waits for those who must be asked before it starts; then a person chooses."""
UNTOUCHED = frozenset({StepState.WAITING, StepState.UNDONE})

_DONE = TypeAdapter(Done)
_GATES = TypeAdapter(tuple[Gate, ...])

Change = Callable[[AsyncSession], Awaitable[JSON]]
Act = Callable[[], Awaitable[JSON]]


class Journal(Protocol):
    """What remembers. After a crash an entry that was recorded gives its value again and does nothing."""

    async def commit(self, name: str, change: Change) -> JSON:
        """One transaction: the change and the entry, or neither."""
        ...

    async def effect(self, name: str, act: Act) -> JSON:
        """Something in the world, then the entry; a crash in between repeats it, so `act` is idempotent."""
        ...

    async def note(self, change: Change) -> None:
        """A transaction that leaves no entry: what it says is only shown."""
        ...


def _found(found: Same | Changed | Refused, version: int) -> JSON:
    """`version` is the request's when it was looked at: a replan compares and sets on it."""
    match found:
        case Same():
            return {"found": "same"}
        case Refused():
            return {"found": "refused", "reason": found.reason, "rule": found.rule}
        case Changed():
            return {
                "found": "changed",
                "version": version,
                "plan": found.plan.model_dump(mode="json"),
                "gates": _GATES.dump_python(found.gates, mode="json"),
                "plan_hash": found.plan_hash,
                "changes": list(found.changes),
                "due_at": found.due_at.isoformat() if found.due_at else None,
            }


class Saga:
    """One run of one request."""

    def __init__(self, request_id: str, run: int, *, world: World, journal: Journal) -> None:
        self._request_id = request_id
        self._run = run
        self._world = world
        self._journal = journal

    async def execute(self) -> None:
        begun = await self._journal.commit("begin", self._begin)
        if not begun["go"]:
            return
        steps: list[JSON] = begun["steps"]
        if begun["undoing"]:
            await self._undo([step for step in steps if step["touched"]], why="")
            return
        if not any(step["touched"] for step in steps) and not await self._still_approved(begun):
            return
        touched = [step for step in steps if step["touched"]]
        for step in steps:
            if step["done"]:
                continue
            if step not in touched:
                touched.append(step)
            failure = await self._carry_out(step, undo=False)
            if failure is not None:
                await self._give_way(failure, step, touched, on_failure=begun["on_failure"])
                return
        await self._finish(RequestState.SUCCEEDED, "")

    async def _give_way(self, failure: JSON, step: JSON, touched: list[JSON], *, on_failure: str) -> None:
        """Out of time is a person's choice; a refusal is undone at once, where the plan says so."""
        why = f"{step['title']}: {failure['message']}"
        if failure["temporary"] or on_failure == OnFailure.STOP:
            await self._finish(RequestState.STOPPED, why)
        else:
            await self._undo(touched, why=why)

    # ---------------------------------------------------------------- begin

    async def _begin(self, session: AsyncSession) -> JSON:
        now = self._world.clock()
        begun = await self._world.ledger.begin(session, self._request_id, run=self._run, now=now)
        request = begun.request
        states = {step.key: step.state for step in request.steps}
        plan = request.plan
        return {
            "go": begun.go,
            "undoing": request.state is RequestState.UNDOING,
            "on_failure": plan.on_failure if plan else OnFailure.STOP,
            "now": now.isoformat(),
            "steps": [
                {
                    "key": step.key,
                    "title": step.title,
                    "done": states.get(step.key) is StepState.DONE,
                    "touched": states.get(step.key, StepState.WAITING) not in UNTOUCHED,
                    "undoable": self._can_undo(request.command, step.key),
                    "timeout_seconds": step.timeout_seconds,
                }
                for step in (plan.steps if plan else ())
            ],
        }

    def _can_undo(self, command_name: str, key: str) -> bool:
        command = self._world.commands.get(command_name)
        return command is not None and key in command.steps and command.steps[key].undo is not None

    # ---------------------------------------------------------------- look again

    async def _still_approved(self, begun: JSON) -> bool:
        """Whether the run may start: nothing has been done yet, so everything can still be asked again."""
        due_at = datetime.fromisoformat(begun["now"]) + timedelta(seconds=REPLAN_TIMEOUT_SECONDS)

        async def look() -> JSON:
            return await self._look_again(begun["steps"][0]["key"], due_at)

        async def apply(session: AsyncSession) -> JSON:
            await self._apply(session, found)
            return {}

        found = await self._journal.effect("look again", look)
        if found["found"] == "same":
            return True
        if found["found"] == "unanswered":
            await self._finish(RequestState.STOPPED, found["reason"])
        else:
            await self._journal.commit(f"mark:{found['found']}", apply)
        return False

    async def _look_again(self, first_key: str, due_at: datetime) -> JSON:
        failures = 0
        due_at = extended_deadline(due_at, now=self._world.clock(), timeout_seconds=REPLAN_TIMEOUT_SECONDS)
        while True:
            request = await self._request()
            try:
                found = await self._world.replan(request)
            except Exception as error:  # noqa: BLE001 - a mistake here must stop the run, not strand the request
                failure = unknown_failure(error, f"{request.id}: look again")
                return {"found": "unanswered", "reason": failure.message}
            if not isinstance(found, CouldNotAsk):
                return _found(found, request.version)
            failures += 1
            remaining = (due_at - self._world.clock()).total_seconds()
            delay = next_delay(failures, remaining, found.retry_after_seconds)
            if delay is None:
                return {
                    "found": "unanswered",
                    "reason": f"The plan could not be checked again: {found.reason}",
                }
            await self._progress(first_key, f"Waiting to check the plan again: {found.reason}")
            await asyncio.sleep(delay)

    async def _apply(self, session: AsyncSession, found: JSON) -> None:
        ledger, now = self._world.ledger, self._world.clock()
        if found["found"] == "refused":
            await ledger.refuse(
                session, self._request_id, reason=found["reason"], rule=found["rule"], now=now
            )
            return
        await ledger.replan(
            session,
            self._request_id,
            version=found["version"],
            plan=Plan.model_validate(found["plan"]),
            gates=_GATES.validate_python(found["gates"]),
            plan_hash=found["plan_hash"],
            plan_changes=tuple(found["changes"]),
            due_at=datetime.fromisoformat(found["due_at"]) if found["due_at"] else None,
            now=now,
        )

    # ---------------------------------------------------------------- do and undo

    async def _undo(self, touched: list[JSON], *, why: str) -> None:
        """Everything that was begun, in reverse, also what failed: it may have happened in part."""
        for step in reversed([step for step in touched if step["undoable"]]):
            failure = await self._carry_out(step, undo=True)
            if failure is not None:
                outcome = f"{why} Undo failed at {step['title']}: {failure['message']}".strip()
                await self._finish(RequestState.STOPPED, outcome)
                return
        await self._finish(RequestState.UNDONE, why)

    async def _carry_out(self, step: JSON, *, undo: bool) -> JSON | None:
        """Do or undo one step: recorded as begun, carried out, recorded as ended. None, or its failure."""
        key, verb = step["key"], "undo" if undo else "do"

        async def start(session: AsyncSession) -> JSON:
            return await self._record_start(session, step, undo=undo)

        async def act() -> JSON:
            return await self._perform(key, datetime.fromisoformat(started["due_at"]), undo=undo)

        async def end(session: AsyncSession) -> JSON:
            return await self._record_end(session, key, result, undo=undo)

        started = await self._journal.commit(f"mark:{key}:{verb}-started", start)
        result = await self._journal.effect(f"{verb}:{key}", act)
        ended = await self._journal.commit(f"mark:{key}:{verb}-ended", end)
        failure: JSON | None = ended.get("failed")
        return failure

    async def _record_start(self, session: AsyncSession, step: JSON, *, undo: bool) -> JSON:
        now = self._world.clock()
        due_at = now + timedelta(seconds=step["timeout_seconds"])
        ledger = self._world.ledger
        record = await (ledger.undo_started if undo else ledger.step_started)(
            session, self._request_id, step["key"], run=self._run, due_at=due_at, now=now
        )
        return {"due_at": (record.due_at or due_at).isoformat()}

    async def _record_end(self, session: AsyncSession, key: str, result: JSON, *, undo: bool) -> JSON:
        """What was recorded: a step whose facts the database refuses has failed, although its effect happened."""
        if "failed" not in result:
            try:
                async with session.begin_nested():
                    await self._record_done(session, key, _DONE.validate_python(result["done"]), undo=undo)
            except ConflictError as error:
                result = {"failed": asdict(Failure(error.sentence, temporary=False, unsure=True))}
            else:
                return {}
        failure = result["failed"]
        ledger, now = self._world.ledger, self._world.clock()
        if undo:
            await ledger.undo_failed(
                session, self._request_id, key, run=self._run, error=failure["message"], now=now
            )
        else:
            await ledger.step_failed(
                session,
                self._request_id,
                key,
                run=self._run,
                error=failure["message"],
                unsure=failure["unsure"],
                now=now,
            )
        return {"failed": failure}

    async def _record_done(self, session: AsyncSession, key: str, done: Done, *, undo: bool) -> None:
        ledger = self._world.ledger
        await (ledger.undo_done if undo else ledger.step_done)(
            session, self._request_id, key, run=self._run, done=done, now=self._world.clock()
        )

    # ---------------------------------------------------------------- effects

    async def _perform(self, key: str, due_at: datetime, *, undo: bool) -> JSON:
        """{"done": …} or {"failed": …}; everything it needs is read anew, because it may run in another process."""
        request = await self._request()
        planned = next((one for one in request.plan.steps if one.key == key), None) if request.plan else None
        command = self._world.commands.get(request.command)
        kind = command.steps.get(key) if command else None
        if planned is None or kind is None:
            unknown = Failure(
                f"This version of the bot does not know the step {key} of {request.command}.",
                temporary=True,
                unsure=False,
            )
            return {"failed": asdict(unknown)}
        with self._world.waking.sleeper(request_id=request.id, service=request.service) as sleeper:
            result = await attempt(
                self._call(kind, planned, request, undo=undo),
                lambda text, halted_at: self._progress(key, text, halted_at=halted_at),
                what=f"{request.id}: {'undo of ' if undo else ''}{key}",
                due_at=extended_deadline(
                    due_at, now=self._world.clock(), timeout_seconds=planned.timeout_seconds
                ),
                timeout_seconds=planned.timeout_seconds,
                clock=self._world.clock,
                pause=sleeper.pause,
            )
        if isinstance(result, Failure):
            return {"failed": asdict(result)}
        try:
            return {"done": _DONE.dump_python(result, mode="json")}
        except PydanticSerializationError as error:
            return {"failed": asdict(unknown_failure(error, f"{request.id}: what {key} returned"))}

    def _call(
        self, kind: StepKind, planned: PlannedStep, request: Request, *, undo: bool
    ) -> Callable[[], Awaitable[Done | Pending]]:
        context = StepRun(request, self._run, self._world)
        if not undo:
            return lambda: kind.do(context, planned.arguments)
        record = next(step for step in request.steps if step.key == planned.key)
        take_back = kind.undo
        assert take_back is not None, "only steps that can be undone are undone"
        return lambda: take_back(context, planned.arguments, record)

    async def _progress(self, key: str, text: str, *, halted_at: str | None = None) -> None:
        async def change(session: AsyncSession) -> JSON:
            await self._world.ledger.step_progress(
                session, self._request_id, key, detail=text, halted_at=halted_at, now=self._world.clock()
            )
            return {}

        await self._journal.note(change)

    async def _request(self) -> Request:
        request = await self._world.find_request(self._request_id)
        assert request is not None, "a run belongs to a recorded request"
        return request

    async def _finish(self, state: RequestState, outcome: str) -> None:
        async def change(session: AsyncSession) -> JSON:
            await self._world.ledger.finish(
                session,
                self._request_id,
                run=self._run,
                state=state,
                outcome=outcome,
                now=self._world.clock(),
            )
            return {}

        await self._journal.commit("finish", change)
