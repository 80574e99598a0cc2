"""When an effect is tried again, when it is given up, and what is said then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_world import temporary

from bot.attempt import (
    LONGEST_DELAY_SECONDS,
    Failure,
    attempt,
    extended_deadline,
    next_delay,
)
from bot.command import Done, Pending
from bot.errors import BackendErrorKind, NotFoundError, PermanentBackendError, TemporaryBackendError

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@given(st.integers(1, 1000), st.floats(0.001, 1e6), st.none() | st.floats(-5, 1e6))
def test_a_next_try_always_fits_before_the_deadline(
    failures: int, remaining: float, retry_after: float | None
) -> None:
    delay = next_delay(failures, remaining, retry_after)

    assert delay is None or 0 < delay <= remaining
    assert retry_after is None or delay is None or delay >= retry_after


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 0.5), (2, 1.0), (4, 4.0), (7, LONGEST_DELAY_SECONDS), (99, 30.0)]
)
def test_delays_double_up_to_half_a_minute(failures: int, seconds: float) -> None:
    assert next_delay(failures, 1000, None) == seconds


@pytest.mark.parametrize(("remaining", "retry_after"), [(0, None), (-1, None), (5, 5), (5, 60)])
def test_no_try_after_the_deadline(remaining: float, retry_after: float | None) -> None:
    assert next_delay(1, remaining, retry_after) is None


def test_a_step_taken_up_again_late_gets_a_short_grace() -> None:
    hour_ago = NOON - timedelta(hours=1)

    assert extended_deadline(hour_ago, now=NOON, timeout_seconds=300) == NOON + timedelta(seconds=30)
    assert extended_deadline(hour_ago, now=NOON, timeout_seconds=10) == NOON + timedelta(seconds=10)
    in_time = NOON + timedelta(minutes=5)
    assert extended_deadline(in_time, now=NOON, timeout_seconds=300) == in_time


class Watch:
    """Time passes only when it is looked at: `step` for each look."""

    def __init__(self, step_seconds: float = 0.0) -> None:
        self.now = NOON
        self._step = timedelta(seconds=step_seconds)

    def __call__(self) -> datetime:
        self.now += self._step
        return self.now


def answering(
    answers: Iterable[Done | Pending | Exception],
) -> Callable[[], Awaitable[Done | Pending]]:
    remaining = iter(answers)

    async def call() -> Done | Pending:
        answer = next(remaining)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call


async def tried(
    answers: Iterable[Done | Pending | Exception], *, watch: Watch | None = None, seconds: float = 60
) -> tuple[Done | Failure, list[str]]:
    notes: list[str] = []

    async def note(text: str, _halted_at: str | None) -> None:
        notes.append(text)

    result = await attempt(
        answering(answers),
        note,
        what="a test",
        due_at=NOON + timedelta(seconds=seconds),
        timeout_seconds=seconds,
        slots=asyncio.Semaphore(1),
        clock=watch or Watch(),
    )
    return result, notes


async def test_what_it_waits_for_is_told_once_for_each_new_text() -> None:
    waiting = [Pending(text, after_seconds=0) for text in ("1 %", "1 %", "2 %", "2 %")]

    assert await tried([*waiting, Done(detail="up")]) == (Done(detail="up"), ["1 %", "2 %"])


async def test_a_refusal_is_final_and_says_its_sentence() -> None:
    refused = PermanentBackendError("Taken.", backend="toy", kind=BackendErrorKind.CONFLICT, fix="Rename it.")

    assert await tried([refused]) == (Failure("Taken. Rename it.", temporary=False, unsure=False), [])


async def test_our_own_errors_are_refusals_too() -> None:
    result, _ = await tried([NotFoundError("It is gone.")])

    assert result == Failure("It is gone.", temporary=False, unsure=False)


async def test_a_refusal_after_a_lost_answer_is_unsure() -> None:
    refused = PermanentBackendError("Taken.", backend="toy", kind=BackendErrorKind.ALREADY_EXISTS)
    result, notes = await tried([temporary("Lost."), refused])

    assert result == Failure("Taken.", temporary=False, unsure=True)
    assert notes == ["Lost."]


async def test_out_of_time_keeps_the_last_word_and_is_unsure() -> None:
    forever = [Pending("rolling out", after_seconds=0)] * 1000
    result, _ = await tried(forever, watch=Watch(step_seconds=1), seconds=10)

    assert result == Failure(
        "It could not be finished in time. Last: rolling out", temporary=True, unsure=True
    )


async def test_a_retry_after_beyond_the_deadline_is_not_waited_for() -> None:
    error = TemporaryBackendError("Too many.", backend="toy", retry_after_seconds=3600)
    result, _ = await tried([error])

    assert isinstance(result, Failure)
    assert (result.temporary, "Too many." in result.message) == (True, True)


async def test_a_mistake_is_named_by_a_reference_only() -> None:
    result, _ = await tried([ZeroDivisionError("secret detail")])

    assert isinstance(result, Failure)
    assert "reference" in result.message
    assert "secret detail" not in result.message
    assert not result.temporary


async def test_a_timeout_inside_a_call_is_the_calls_mistake() -> None:
    result, _ = await tried([TimeoutError()])

    assert isinstance(result, Failure)
    assert "reference" in result.message


async def test_what_waits_for_a_person_or_a_known_time_does_not_run_out_of_time() -> None:
    held = [Pending("paused", after_seconds=0, on_hold=True)] * 100
    result, _ = await tried([*held, Done(detail="up")], watch=Watch(step_seconds=1), seconds=10)

    assert result == Done(detail="up")


async def test_after_a_hold_the_deadline_is_a_whole_one_and_still_one() -> None:
    held = [Pending("paused", after_seconds=0, on_hold=True)] * 100
    forever = [Pending("rolling out", after_seconds=0)] * 1000
    result, _ = await tried([*held, *forever], watch=Watch(step_seconds=1), seconds=10)

    assert isinstance(result, Failure)
    assert result.message == "It could not be finished in time. Last: rolling out"


async def test_where_it_halts_is_told_and_kept_while_nobody_can_be_asked() -> None:
    notes: list[tuple[str, str | None]] = []

    async def note(text: str, halted_at: str | None) -> None:
        notes.append((text, halted_at))

    answers = [
        Pending("paused", after_seconds=0, on_hold=True, halted_at="1/2"),
        temporary("Lost."),
        Pending("paused", after_seconds=0, on_hold=True, halted_at="2/2"),
        Pending("going on", after_seconds=0),
        Done(),
    ]
    await attempt(
        answering(answers),
        note,
        what="a test",
        due_at=NOON + timedelta(seconds=60),
        timeout_seconds=60,
        slots=asyncio.Semaphore(1),
        clock=Watch(),
    )
    assert notes == [("paused", "1/2"), ("Lost.", None), ("paused", "2/2"), ("going on", "")]


async def test_waiting_for_a_place_is_no_time_of_the_steps_own() -> None:
    watch, slots = Watch(), asyncio.Semaphore(1)

    async def note(_text: str, _halted_at: str | None) -> None: ...

    await slots.acquire()
    trying = asyncio.create_task(
        attempt(
            answering([Pending("begun", after_seconds=0), Done()]),
            note,
            what="a test",
            due_at=NOON + timedelta(seconds=60),
            timeout_seconds=60,
            slots=slots,
            clock=watch,
        )
    )
    await asyncio.sleep(0)
    watch.now += timedelta(hours=1)
    slots.release()

    assert await asyncio.wait_for(trying, 10) == Done()
