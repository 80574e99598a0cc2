"""Tells the code host and the dashboards what became of a deployment, where they can show that. Best seen, never relied on.

Whatever goes wrong here is logged and counted, and the deployment goes on as if nobody had been told. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from bot.command import Run
from bot.errors import BackendError
from bot.marking import mark
from bot.metrics import DEPLOYMENT_REPORTS
from integrations.ports import DeploymentReports, DeploymentState

log = structlog.get_logger(__name__)

DEADLINE_SECONDS = 4.0
"""What a report may cost a deployment: GitHub wants a second between two writes, and each is read back. Less than any call of a
step gets (`bot.attempt.LAST_CALL_SECONDS`), so that a code host that hangs never turns a success into "not in time"."""


@dataclass(frozen=True)
class Announcement:
    """One deployment, by the key it was asked for with."""

    service: str
    environment: str
    revision: str
    operation: str


async def announce(
    run: Run,
    one: Announcement,
    state: DeploymentState,
    *,
    url: str = "",
    deadline_seconds: float = DEADLINE_SECONDS,
) -> None:
    """Never raises. After a crash it may be told again; the operation is how everybody knows that it was."""
    await asyncio.gather(
        _report(run, one, state, url=url, deadline_seconds=deadline_seconds),
        mark(run, one, state, deadline_seconds=deadline_seconds),
    )


async def _report(
    run: Run, one: Announcement, state: DeploymentState, *, url: str, deadline_seconds: float
) -> None:
    code_host = run.backends.code_host
    if not isinstance(code_host, DeploymentReports):
        return
    outcome = "told"
    try:
        async with asyncio.timeout(deadline_seconds):
            await code_host.report_deployment(
                one.service,
                revision=one.revision,
                environment=one.environment,
                state=state,
                operation=one.operation,
                url=url,
            )
    except (BackendError, TimeoutError) as error:
        outcome = "failed"
        said = error.message if isinstance(error, BackendError) else f"no answer in {deadline_seconds:g} s"
        log.warning("announcing.failed", operation=one.operation, state=state.value, error=said)
    except Exception:
        # A mistake in the telling must not fail what has been deployed; the log has it in full.
        outcome = "failed"
        log.exception("announcing.unexpected", operation=one.operation, state=state.value)
    DEPLOYMENT_REPORTS.labels(state.value, outcome).inc()
