"""One effect, tried until it is done, refused, or out of time. Knows nothing of databases or of durable execution.

Expected failures are values here: what is recorded of one, and what follows from it, is the saga's to say.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from bot.command import Done, Pending
from bot.errors import PlatformError, TemporaryBackendError

Pause = Callable[[float], Awaitable[None]]
Note = Callable[[str, str | None], Awaitable[None]]
"""Told what it waits for, and where it halts for a person's word; None: it could not be asked, so as before."""
log = structlog.get_logger(__name__)

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
SHORTEST_PAUSE_SECONDS = 0.02
"""A step that says "ask again at once" must not keep the loop busy."""
LAST_CALL_SECONDS = 5.0
"""What a call gets at least: a look that is cut off at once would say nothing."""
GRACE_SECONDS = 30.0
"""What a step gets at least when it is taken up again, however late: a bot that was down for an hour must look once more
before it says that a deployment did not finish."""


@dataclass(frozen=True)
class Failure:
    """Why an effect did not happen. `temporary`: out of time, another try may do. `unsure`: it may have happened."""

    message: str
    temporary: bool
    unsure: bool


def extended_deadline(due_at: datetime, *, now: datetime, timeout_seconds: float) -> datetime:
    """The recorded deadline, or a short grace from now where that is later (see `GRACE_SECONDS`)."""
    return max(due_at, now + timedelta(seconds=min(timeout_seconds, GRACE_SECONDS)))


def next_delay(failures: int, remaining_seconds: float, retry_after_seconds: float | None) -> float | None:
    """Seconds until the next try after the `failures`-th failure; None when no further try fits before the deadline.

    A backend's own Retry-After is kept to; our doubling delay shrinks to fit, so that the last try is made in time.
    """
    if remaining_seconds <= 0:
        return None
    if retry_after_seconds is not None:
        wait = max(retry_after_seconds, SHORTEST_PAUSE_SECONDS)
        return wait if wait < remaining_seconds else None
    return min(FIRST_DELAY_SECONDS * 2.0 ** min(failures - 1, 10), LONGEST_DELAY_SECONDS, remaining_seconds)


def refusal(error: PlatformError, *, failures: int) -> Failure:
    """A permanent failure. After a lost answer it stays unsure: the first try may have done it and caused the refusal."""
    return Failure(error.sentence, temporary=False, unsure=failures > 0)


def out_of_time(last: str, *, unsure: bool) -> Failure:
    return Failure(
        f"It could not be finished in time. Last: {last}" if last else "It could not be finished in time.",
        temporary=True,
        unsure=unsure,
    )


def unknown_failure(error: Exception, what: str) -> Failure:
    """A mistake of ours or of a library: the person gets a reference, the log the traceback under it."""
    reference = uuid.uuid4().hex[:8]
    log.error("attempt.unexpected", what=what, reference=reference, exc_info=error)
    return Failure(
        f"Something unexpected happened. Give the platform team the reference {reference}.",
        temporary=False,
        unsure=True,
    )


async def attempt(
    call: Callable[[], Awaitable[Done | Pending]],
    note: Note,
    *,
    what: str,
    due_at: datetime,
    timeout_seconds: float,
    slots: asyncio.Semaphore,
    clock: Callable[[], datetime],
    pause: Pause = asyncio.sleep,
) -> Done | Failure:
    """Call until done, refused or out of time; `note` is told whenever there is something new to show.

    A call takes one of the `slots`. While it waits for one the deadline waits as well: that others are at work is no fault of it.

    `pause` is how it waits for what is under way, and may end early. After a failure the whole delay is kept to: it is the
    backend's wish, or spares it. What waits for a person or for a known time is given `timeout_seconds` from then on.
    """
    failures, last = 0, ""
    halted_at: str | None = None
    shown: tuple[str, str | None] = ("", None)
    while True:
        asked_at = clock()
        try:
            async with slots:
                due_at += clock() - asked_at
                seconds = max((due_at - clock()).total_seconds(), LAST_CALL_SECONDS)
                async with asyncio.timeout(seconds) as limit:
                    outcome = await call()
            if isinstance(outcome, Done):
                return outcome
            failures, last, halted_at = 0, outcome.detail, outcome.halted_at
            if outcome.on_hold:
                due_at = max(due_at, clock() + timedelta(seconds=timeout_seconds))
            remaining = (due_at - clock()).total_seconds()
            delay = (
                min(max(outcome.after_seconds, SHORTEST_PAUSE_SECONDS), remaining) if remaining > 0 else None
            )
        except TemporaryBackendError as error:
            failures, last, halted_at = failures + 1, error.sentence, None
            delay = next_delay(failures, (due_at - clock()).total_seconds(), error.retry_after_seconds)
        except PlatformError as error:
            return refusal(error, failures=failures)
        except TimeoutError as error:
            if not limit.expired():
                return unknown_failure(error, what)
            return out_of_time(last or "no answer", unsure=True)
        except Exception as error:  # noqa: BLE001
            # A step is anybody's code, and its mistake must end the step: the person gets a reference, the log the traceback.
            return unknown_failure(error, what)
        if delay is None:
            return out_of_time(last, unsure=True)
        if (last, halted_at) != shown:
            await note(last, halted_at)
            shown = last, halted_at
        await (asyncio.sleep if failures else pause)(delay)
