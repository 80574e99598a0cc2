"""A person's word on a step that waits for one: once, bound to the place they saw; every test on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from database import Clock
from requests_made import ALICE, OMAR, queued

from bot import ledger
from bot.command import Done
from bot.domain import Choice, Halt, Request
from bot.errors import ConflictError
from bot.store import Store, Word

RUN = {"run": 1}


class Run:
    """What the engine writes of request r1, each in a transaction of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def write(self, function: str, *args: Any, **values: Any) -> None:
        await self._store.write(lambda tx: getattr(ledger, function)(tx, "r1", *args, **values))

    async def waits(self, halted_at: str | None) -> None:
        await self.write("step_progress", "move", detail=f"at {halted_at}", halted_at=halted_at)


@pytest.fixture
async def run(store: Store, clock: Clock) -> Run:
    """A run whose first step waits at 1/2."""
    await queued(store)
    started = Run(store)
    await started.write("begin", **RUN)
    await started.write("step_started", "move", due_at=None, **RUN)
    await started.waits("1/2")
    return started


def word(choice: Choice = Choice.CONTINUE, actor: str = ALICE, seen_at: str = "1/2") -> Word:
    return Word(choice, actor, actor.title(), seen_at)


def halt(request: Request) -> Halt | None:
    return request.steps[0].halt


async def words(store: Store) -> list[tuple[str, str, str]]:
    found = await store.list_audit(request_id="r1", limit=50)
    return [(one.event, one.actor, one.data["at"]) for one in reversed(found) if "rollout" in one.event]


async def test_the_word_is_recorded_with_who_gave_it(store: Store, run: Run) -> None:
    chosen = await store.choose_at_halt("r1", word())
    assert halt(chosen) == Halt("1/2", Choice.CONTINUE, ALICE, "Ualice")
    assert await words(store) == [("rollout.continued", ALICE, "1/2")]


async def test_it_stays_until_the_run_has_gone_on(store: Store, run: Run) -> None:
    await store.choose_at_halt("r1", word())
    await run.waits("1/2")
    await run.waits(None)
    assert halt(await store.get_request("r1")) == Halt("1/2", Choice.CONTINUE, ALICE, "Ualice")
    await run.waits("2/2")
    assert halt(await store.get_request("r1")) == Halt("2/2")
    await run.waits("")
    assert halt(await store.get_request("r1")) is None


async def test_five_clicks_at_once_are_one_word(store: Store, run: Run) -> None:
    outcomes = await asyncio.gather(
        *(store.choose_at_halt("r1", word(actor=one)) for one in (ALICE, ALICE, OMAR, OMAR, ALICE)),
        return_exceptions=True,
    )
    assert len(await words(store)) == 1
    refused = [one for one in outcomes if isinstance(one, ConflictError)]
    assert len(refused) in {2, 3}
    assert all("was faster: “continue” is chosen at step 1/2 already" in one.message for one in refused)


async def test_a_word_for_another_place_is_refused_and_says_where_it_is(store: Store, run: Run) -> None:
    with pytest.raises(ConflictError, match="stands at step 1/2 by now, not at step 2/2: nothing was done"):
        await store.choose_at_halt("r1", word(seen_at="2/2"))
    assert await words(store) == []
    typed = await store.choose_at_halt("r1", word(seen_at=""))
    assert halt(typed) == Halt("1/2", Choice.CONTINUE, ALICE, "Ualice")


async def test_aborting_outdoes_a_continue_and_nothing_outdoes_aborting(store: Store, run: Run) -> None:
    await store.choose_at_halt("r1", word())
    await store.choose_at_halt("r1", word(Choice.ABORT, OMAR))
    with pytest.raises(ConflictError, match="Uomar was faster: “abort” is chosen"):
        await store.choose_at_halt("r1", word())
    assert await words(store) == [("rollout.continued", ALICE, "1/2"), ("rollout.aborted", OMAR, "1/2")]


@pytest.mark.parametrize("end", ["step_done", "undo_started"])
async def test_what_does_not_wait_takes_no_word(store: Store, run: Run, end: str) -> None:
    more = {"done": Done()} if end == "step_done" else {"due_at": None}
    await run.write(end, "move", **RUN, **more)
    with pytest.raises(ConflictError, match="Nothing of request r1 waits"):
        await store.choose_at_halt("r1", word())
    assert halt(await store.get_request("r1")) is None


async def test_the_cards_are_drawn_again_for_a_word_and_for_a_new_place(store: Store, run: Run) -> None:
    async def revision() -> int:
        return (await store.list_cards("r1"))[0].revision

    before = await revision()
    await run.waits("1/2")
    assert await revision() == before
    await store.choose_at_halt("r1", word())
    await run.waits("2/2")
    assert await revision() == before + 2
