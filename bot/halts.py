"""Where a step waits for a person's word, and the word: in the step's row, so that the card shows both and the run that carries
it out finds it after any crash. Decides nothing about who may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bot import moves
from bot.domain import JSON, Choice, Request, StepState
from bot.errors import ConflictError
from bot.tables import STEPS
from bot.transaction import Transaction

_HALTED = sa.select(STEPS).where(
    STEPS.c.request_id == sa.bindparam("request"),
    STEPS.c.run == sa.bindparam("this_run"),
    STEPS.c.state.in_([StepState.RUNNING, StepState.UNDOING]),
    STEPS.c.halt.is_not(None),
)
_EVENTS = {Choice.CONTINUE: "rollout.continued", Choice.ABORT: "rollout.aborted"}
_LOOK = "Look at the card for where it is now."


def standing(known: JSON | None, at: str) -> JSON | None:
    """What the row says of a step that halts `at`; a word that was given at that very place stays. Empty: it does not halt."""
    if not at:
        return None
    return known if known is not None and known["at"] == at else {"at": at}


@dataclass(frozen=True)
class Word:
    """What a person says, and the place they saw it halt at; empty: wherever it halts now."""

    choice: Choice
    actor: str
    name: str
    seen_at: str = ""


async def choose(tx: Transaction, request_id: str, word: Word) -> Request:
    """Once, and bound to the place that was seen. Raises ConflictError for everybody else.

    Aborting outdoes a *Continue* that was not carried out yet; nothing outdoes aborting.
    """
    row = await tx.request_row(request_id)
    step = await _halted(tx, row)
    if step is None:
        raise ConflictError(f"Nothing of request {row.id} waits for a person's word now.", fix=_LOOK)
    at = step.halt["at"]
    if word.seen_at and word.seen_at != at:
        seen = f"not at step {word.seen_at}"
        raise ConflictError(
            f"The rollout of request {row.id} stands at step {at} by now, {seen}: nothing was done.",
            fix=_LOOK,
        )
    earlier = step.halt.get("choice")
    if earlier == word.choice and step.halt["by"] == word.actor:
        return await tx.request(row)
    if earlier in {word.choice, Choice.ABORT}:
        by = step.halt["name"]
        raise ConflictError(f"{by} was faster: “{earlier}” is chosen at step {at} already.", fix=_LOOK)
    halt = {"at": at, "choice": word.choice.value, "by": word.actor, "name": word.name}
    await moves.put(tx, row.id, step.key, {"halt": halt})
    data = {"step": step.key, "at": at, "run": step.run}
    await tx.record_for(row, _EVENTS[word.choice], actor=word.actor, data=data)
    return await tx.request(await tx.change(row, new_version=False))


async def _halted(tx: Transaction, row: sa.Row[Any]) -> sa.Row[Any] | None:
    found = await tx.connection.execute(_HALTED, {"request": row.id, "this_run": row.run})
    return found.first()
