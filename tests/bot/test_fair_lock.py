"""One after the other, in the order they asked, whether they wait as tasks or as callbacks."""

from __future__ import annotations

import asyncio

import pytest

from bot.fair_lock import FairLock


async def test_it_is_given_in_the_order_it_was_asked_for() -> None:
    lock, order = FairLock(), list[str]()

    async def task(name: str) -> None:
        async with lock:
            order.append(name)
            await asyncio.sleep(0)

    lock.take(lambda: order.append("first"))
    waiting = [asyncio.create_task(task("second"))]
    await asyncio.sleep(0)
    lock.take(lambda: order.append("third"))
    waiting.append(asyncio.create_task(task("fourth")))
    await asyncio.sleep(0)
    assert order == ["first"]

    lock.release()
    while "third" not in order:
        await asyncio.sleep(0)
    lock.release()
    await asyncio.gather(*waiting)

    assert order == ["first", "second", "third", "fourth"]


@pytest.mark.parametrize("given_already", [False, True], ids=["waiting", "in the moment it is given"])
async def test_whoever_goes_away_holds_up_nobody(given_already: bool) -> None:
    lock = FairLock()
    entered, given = asyncio.Event(), asyncio.Event()
    lock.take(lambda: None)

    async def wait() -> None:
        async with lock:
            entered.set()

    gone = asyncio.create_task(wait())
    await asyncio.sleep(0)
    lock.take(given.set)
    if given_already:
        lock.release()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    if not given_already:
        lock.release()

    assert given.is_set()
    assert not entered.is_set()
