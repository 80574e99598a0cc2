"""Telling others of a deployment as a best effort: a deadline, a line in the log, a count, and never a failure.

What is told, and to whom, is `bot.announcing`'s and `bot.marking`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import structlog

from bot.errors import BackendError
from bot.metrics import DEPLOYMENT_REPORTS

log = structlog.get_logger(__name__)

DEADLINE_SECONDS = 4.0
"""What telling may cost a deployment: GitHub wants a second between two writes, and each is read back. Less than any call of a
step gets (`bot.attempt.LAST_CALL_SECONDS`), so that who hangs never turns a success into "not in time"."""


async def tell(
    told: Awaitable[object], what: str, *, operation: str, deadline_seconds: float = DEADLINE_SECONDS
) -> None:
    """`what` is the label under which it is counted."""
    outcome = "told"
    try:
        async with asyncio.timeout(deadline_seconds):
            await told
    except (BackendError, TimeoutError) as error:
        outcome = "failed"
        said = error.message if isinstance(error, BackendError) else f"no answer in {deadline_seconds:g} s"
        log.warning("telling.failed", operation=operation, what=what, error=said)
    except Exception:
        # A mistake in the telling must not fail what has been deployed; the log has it in full.
        outcome = "failed"
        log.exception("telling.unexpected", operation=operation, what=what)
    DEPLOYMENT_REPORTS.labels(what, outcome).inc()
