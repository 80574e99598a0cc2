"""Where a step waits for a person's word, and the word: in the step's row, so that the card shows both and the run that carries
it out finds it after any crash. Decides nothing about who may."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlmodel import col

from bot.domain import JSON, Choice, Request, StepState
from bot.errors import ConflictError
from bot.tables import RequestRow, StepRow
from bot.transaction import Transaction

_AT_WORK = (StepState.RUNNING, StepState.UNDOING)
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
    if step is None or step.halt is None:
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
    step.halt = {"at": at, "choice": word.choice.value, "by": word.actor, "name": word.name}
    data = {"step": step.key, "at": at, "run": step.run}
    await tx.record_for(row, _EVENTS[word.choice], actor=word.actor, data=data)
    await tx.change(row, new_version=False)
    return await tx.request(row)


async def _halted(tx: Transaction, row: RequestRow) -> StepRow | None:
    at_work = select(StepRow).where(
        col(StepRow.request_id) == row.id,
        col(StepRow.run) == row.run,
        col(StepRow.state).in_(_AT_WORK),
        col(StepRow.halt).is_not(None),
    )
    return (await tx.session.scalars(at_work)).first()
