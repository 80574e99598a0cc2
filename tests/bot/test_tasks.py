"""Background work: kept while it runs, told when it fails, waited for at the end."""

from __future__ import annotations

import asyncio
import gc

import pytest
from structlog.testing import capture_logs

from bot.errors import ConflictError, TemporaryBackendError
from bot.tasks import PAUSE_SECONDS, Tasks, going_on


async def until_quiet(tasks: Tasks) -> None:
    await tasks.drain(timeout_seconds=5)


async def test_a_task_nobody_holds_is_not_collected() -> None:
    tasks, gate, done = Tasks(), asyncio.Event(), []

    async def work() -> None:
        await gate.wait()
        done.append(True)

    tasks.start(work(), name="work")
    await asyncio.sleep(0)
    gc.collect()
    gate.set()
    await until_quiet(tasks)
    assert done == [True]


async def test_the_result_is_there_for_who_waits() -> None:
    async def work() -> int:
        return 7

    assert await Tasks().start(work(), name="work") == 7


async def test_what_nobody_foresaw_is_logged_with_its_name_and_traceback() -> None:
    tasks = Tasks()

    async def work() -> None:
        raise ZeroDivisionError("bug")

    with capture_logs() as logs:
        task = tasks.start(work(), name="slack.later")
        await until_quiet(tasks)
    assert [(one["event"], one["task"], one["log_level"]) for one in logs] == [
        ("tasks.failed", "slack.later", "error")
    ]
    assert logs[0]["exc_info"] is task.exception()


async def test_a_refusal_is_an_answer_and_no_failure_of_ours() -> None:
    tasks = Tasks()

    async def work() -> None:
        raise ConflictError("Somebody was faster.")

    with capture_logs() as logs:
        task = tasks.start(work(), name="dispatch.answer")
        with pytest.raises(ConflictError):
            await task
    assert [(one["event"], one["log_level"]) for one in logs] == [("tasks.refused", "info")]


async def test_the_end_waits_for_what_runs_and_for_what_that_starts() -> None:
    tasks, gate, done = Tasks(), asyncio.Event(), []

    async def last() -> None:
        done.append("last")

    async def first() -> None:
        await gate.wait()
        done.append("first")
        tasks.start(last(), name="last")

    tasks.start(first(), name="first")
    asyncio.get_running_loop().call_soon(gate.set)
    await until_quiet(tasks)
    assert done == ["first", "last"]


async def test_what_does_not_end_is_cancelled_and_awaited() -> None:
    tasks, cleaned = Tasks(), []

    async def stuck() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    task = tasks.start(stuck(), name="stuck")
    await asyncio.sleep(0)
    with capture_logs() as logs:
        await tasks.drain(timeout_seconds=0.01)
    assert task.cancelled()
    assert cleaned == [True]
    assert logs == [], "being told to stop is no failure"


async def test_an_end_without_work_is_immediate() -> None:
    await Tasks().drain(timeout_seconds=0)


# ---------------------------------------------------------------- what goes on


class Pauses:
    """Sleeps that take no time."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


async def test_what_breaks_off_is_logged_with_its_traceback_and_begun_again() -> None:
    begun, pauses, again = [], Pauses(), asyncio.Event()

    async def work() -> None:
        begun.append(True)
        if len(begun) <= 2:
            raise ZeroDivisionError("bug")
        again.set()
        await asyncio.Event().wait()

    with capture_logs() as logs:
        async with going_on(work, name="cards", sleep=pauses), asyncio.timeout(5):
            await again.wait()
    assert [(one["event"], one["task"], one["log_level"]) for one in logs] == [
        ("tasks.broke_off", "cards", "error")
    ] * 2
    assert all(one["exc_info"] for one in logs)
    assert pauses.seconds == [PAUSE_SECONDS] * 2


async def test_a_database_that_is_away_interrupts_in_one_sentence() -> None:
    begun, again = [], asyncio.Event()

    async def work() -> None:
        begun.append(True)
        if len(begun) == 1:
            raise TemporaryBackendError("The bot's database cannot be reached.", backend="database")
        again.set()

    with capture_logs() as logs:
        async with going_on(work, name="cards", sleep=Pauses()), asyncio.timeout(5):
            await again.wait()
    assert [(one["event"], one["log_level"], one["why"]) for one in logs] == [
        ("tasks.interrupted", "warning", "The bot's database cannot be reached.")
    ]


async def test_what_goes_on_ends_with_whoever_wanted_it() -> None:
    begun, ended = asyncio.Event(), []

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with capture_logs() as logs:
        async with going_on(work, name="cards"):
            await begun.wait()
        assert ended == [True]
    assert logs == []


async def test_what_is_done_is_not_begun_again() -> None:
    begun, pauses = [], Pauses()

    async def work() -> None:
        begun.append(True)

    async with going_on(work, name="slack: the websocket", sleep=pauses):
        for _ in range(10):
            await asyncio.sleep(0)
    assert (begun, pauses.seconds) == ([True], [])
