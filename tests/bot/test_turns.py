"""Who acts on one thing at the same moment goes one after the other, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bot.turns import Turn, Turns

PATIENCE = 60.0
Work = Callable[[Turn[str]], Awaitable[None]]


async def acts(turns: Turns[str], work: Work, *, key: str = "r1", patience: float = PATIENCE) -> None:
    async with turns.take(key, patience_seconds=patience) as turn:
        await work(turn)


async def at_rest() -> None:
    """Everything that can go on has gone on."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_after_the_other_in_the_order_they_came() -> None:
    turns: Turns[str] = Turns()
    inside, seen = 0, []

    async def work(number: int, turn: Turn[str]) -> None:
        nonlocal inside
        inside += 1
        assert (inside, turn.told) == (1, None)
        seen.append(number)
        await asyncio.sleep(0)
        inside -= 1

    await asyncio.gather(*(acts(turns, lambda turn, n=n: work(n, turn)) for n in range(20)))
    assert seen == list(range(20))


async def test_two_things_do_not_wait_for_each_other() -> None:
    turns: Turns[str] = Turns()
    both = asyncio.Barrier(2)

    async def meet(_turn: Turn[str]) -> None:
        await both.wait()

    async with asyncio.timeout(5):
        await asyncio.gather(acts(turns, meet, key="r1"), acts(turns, meet, key="r2"))


async def test_whoever_waits_is_spared_the_turn_and_whoever_comes_later_looks_again() -> None:
    turns: Turns[str] = Turns()
    told: list[str | None] = []
    looked, later = asyncio.Event(), asyncio.Event()

    async def first(turn: Turn[str]) -> None:
        others = turn.others()
        looked.set()
        await later.wait()
        turn.tell("approved", others)

    async def note(turn: Turn[str]) -> None:
        told.append(turn.told)

    tasks = [asyncio.create_task(acts(turns, work)) for work in (_after(first), note, note)]
    await looked.wait()
    tasks.append(asyncio.create_task(acts(turns, note)))
    await at_rest()
    later.set()
    await asyncio.gather(*tasks)
    assert told == ["approved", "approved", None]


def _after(work: Work) -> Work:
    """The same once the others have lined up."""

    async def start(turn: Turn[str]) -> None:
        await at_rest()
        await work(turn)

    return start


async def test_who_runs_out_of_patience_goes_all_the_same_and_is_handed_no_turn() -> None:
    turns: Turns[str] = Turns()
    done, order = asyncio.Event(), []

    async def hang(_turn: Turn[str]) -> None:
        await done.wait()
        order.append("first")

    async def impatient(turn: Turn[str]) -> None:
        assert turn.told is None
        order.append("impatient")

    async def patient(_turn: Turn[str]) -> None:
        order.append("patient")

    first = asyncio.create_task(acts(turns, hang))
    await at_rest()
    behind = asyncio.create_task(acts(turns, impatient, patience=0.01))
    last = asyncio.create_task(acts(turns, patient))
    await behind
    done.set()
    await asyncio.gather(first, last)
    assert order == ["impatient", "first", "patient"]


@pytest.mark.parametrize("position", [1, 2])
async def test_who_goes_away_keeps_the_turn_from_nobody(position: int) -> None:
    turns: Turns[str] = Turns()
    done, came = asyncio.Event(), []

    async def work(_turn: Turn[str]) -> None:
        await done.wait()
        came.append(1)

    tasks = [asyncio.create_task(acts(turns, work)) for _ in range(4)]
    await at_rest()
    tasks[position].cancel()
    done.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(came) == 3


async def test_who_goes_away_at_the_moment_of_their_turn_hands_it_on() -> None:
    turns: Turns[str] = Turns()
    came, tasks = [], []

    async def first(_turn: Turn[str]) -> None:
        await at_rest()

    async def work(_turn: Turn[str]) -> None:
        came.append(1)

    async def leaves() -> None:
        await acts(turns, first)
        tasks[1].cancel()

    tasks += [
        asyncio.create_task(leaves()),
        asyncio.create_task(acts(turns, work)),
        asyncio.create_task(acts(turns, work)),
    ]
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (tasks[1].cancelled(), came) == (True, [1])


async def test_an_error_hands_the_turn_on_and_an_empty_line_is_forgotten() -> None:
    turns: Turns[str] = Turns()

    async def fail(_turn: Turn[str]) -> None:
        await at_rest()
        raise ValueError

    async with asyncio.timeout(5):
        found = await asyncio.gather(*(acts(turns, fail) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in found] == [ValueError] * 3
    assert not turns._lines
