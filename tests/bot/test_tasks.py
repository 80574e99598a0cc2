"""Background work: kept while it runs, told when it fails, waited for at the end."""

from __future__ import annotations

import asyncio
import gc

import pytest
from structlog.testing import capture_logs

from bot.errors import ConflictError
from bot.tasks import Tasks


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
