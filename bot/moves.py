"""The rows of a run's steps, and how a step goes from one state to the next: one conditional UPDATE, its event, its dirty cards.

What a move means for a run is `bot.ledger`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bot.domain import JSON, PlannedStep, Record, StepRecord, StepState
from bot.errors import ConflictError, NotFoundError
from bot.records import apply_record
from bot.rows import to_step
from bot.tables import STEPS
from bot.transaction import SYSTEM, LatestRun, Transaction

_OF_REQUEST = STEPS.c.request_id == sa.bindparam("of_request")
_STEP = sa.and_(_OF_REQUEST, STEPS.c.key == sa.bindparam("of_key"))
_KEYS = sa.select(STEPS.c.key).where(_OF_REQUEST)
_ADD = sa.insert(STEPS)
_FORGET = sa.delete(STEPS).where(_OF_REQUEST)
_READ = sa.select(STEPS).where(_STEP)
_SET = sa.update(STEPS).where(_STEP)
"""Which columns it sets is said when it is executed."""
_UNDER_WAY = (
    sa.select(STEPS.c.key, STEPS.c.state)
    .where(_OF_REQUEST, STEPS.c.state.in_([StepState.RUNNING, StepState.UNDOING]))
    .order_by(STEPS.c.position)
)


@dataclass(frozen=True)
class Move:
    """A step reaches `state`, and an event says so, together with the columns that it `tells`."""

    event: str
    state: StepState
    statement: sa.Executable
    tells: tuple[str, ...]


def _move(
    event: str, state: StepState, *, or_further: Sequence[StepState], tells: Sequence[str] = ()
) -> Move:
    """Does nothing where this run has brought the step so far already: a commit whose answer was lost is made again."""
    so_far = sa.or_(*(STEPS.c.state == one for one in (state, *or_further)))
    made_before = sa.and_(STEPS.c.run == sa.bindparam("this_run"), so_far)
    return Move(event, state, _SET.where(~made_before).returning(*STEPS.c), tuple(tells))


_BACK_ENDED = (StepState.UNDONE, StepState.UNDO_FAILED)
_BACK = (StepState.UNDOING, *_BACK_ENDED)
STEP_STARTED = _move("step.started", StepState.RUNNING, or_further=[StepState.DONE])
STEP_DONE = _move("step.done", StepState.DONE, or_further=_BACK, tells=["external_id", "detail"])
STEP_FAILED = _move("step.failed", StepState.FAILED, or_further=_BACK, tells=["error", "unsure"])
UNDO_STARTED = _move("undo.started", StepState.UNDOING, or_further=_BACK_ENDED)
UNDO_DONE = _move("undo.done", StepState.UNDONE, or_further=[], tells=["detail"])
UNDO_FAILED = _move("undo.failed", StepState.UNDO_FAILED, or_further=[], tells=["error"])


@dataclass(frozen=True)
class StepOfRun:
    """Which step, and the run that moves it."""

    request_id: str
    key: str
    run: int


async def make(
    tx: Transaction, move: Move, step: StepOfRun, values: JSON, *, record: Record | None = None
) -> StepRecord:
    """The step as it now stands: moved, or as it was where the run had made this move before.

    Raises ConflictError for a run that is not the request's latest, and where `record` cannot be.
    """
    latest = await _latest(tx, step)
    bound = {"of_request": step.request_id, "of_key": step.key, "this_run": step.run}
    changed = {"state": move.state, "run": step.run, **values}
    row = (await tx.connection.execute(move.statement, bound | changed)).one_or_none()
    if row is None:
        return to_step(await read(tx, step.request_id, step.key))
    told = {name: values[name] for name in move.tells if values[name] != ""}
    await tx.record_for(
        latest,
        move.event,
        actor=SYSTEM,
        data={"step": step.key, "run": step.run, **told},
        key=f"run:{step.run}:{step.key}:{move.event}",
    )
    await tx.dirty(step.request_id)
    await apply_record(tx, latest, record)
    return to_step(row)


async def _latest(tx: Transaction, step: StepOfRun) -> LatestRun:
    latest = await tx.latest_run(step.request_id)
    if latest.run != step.run:
        raise ConflictError(f"Run {step.run} of request {step.request_id} was overtaken by run {latest.run}.")
    return latest


async def add_missing(tx: Transaction, request_id: str, planned: Sequence[PlannedStep]) -> None:
    """The plan's steps, each waiting, where they are not there yet."""
    present = set((await tx.connection.execute(_KEYS, {"of_request": request_id})).scalars())
    added = [
        {
            "request_id": request_id,
            "key": step.key,
            "position": position,
            "title": step.title,
            "state": StepState.WAITING,
            "run": 0,
            "detail": "",
            "error": "",
            "external_id": "",
            "output": {},
            "links": [],
            "unsure": False,
        }
        for position, step in enumerate(planned)
        if step.key not in present
    ]
    if added:
        await tx.connection.execute(_ADD, added)


async def forget(tx: Transaction, request_id: str) -> None:
    await tx.connection.execute(_FORGET, {"of_request": request_id})


async def read(tx: Transaction, request_id: str, key: str) -> sa.Row[Any]:
    row = (await tx.connection.execute(_READ, {"of_request": request_id, "of_key": key})).one_or_none()
    if row is None:
        raise NotFoundError(f"Request {request_id} has no step {key}.")
    return row


async def put(tx: Transaction, request_id: str, key: str, values: JSON) -> None:
    """Columns of a step, as they are: no event, no dirty card."""
    await tx.connection.execute(_SET, {"of_request": request_id, "of_key": key, **values})


async def under_way(tx: Transaction, request_id: str) -> list[tuple[str, StepState]]:
    """Key and state of the steps that were begun, forwards or back, and have not ended."""
    found = await tx.connection.execute(_UNDER_WAY, {"of_request": request_id})
    return [(key, StepState(state)) for key, state in found]
