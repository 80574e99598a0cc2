"""Tells the code host and the dashboards what became of a deployment, where they can show that. Best seen, never relied on.

Whatever goes wrong here is logged and counted, and the deployment goes on as if nobody had been told. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bot.command import Run
from bot.marking import mark
from bot.telling import DEADLINE_SECONDS, tell
from integrations.ports import DeploymentReports, DeploymentState


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
    report = code_host.report_deployment(
        one.service,
        revision=one.revision,
        environment=one.environment,
        state=state,
        operation=one.operation,
        url=url,
    )
    await tell(report, state.value, operation=one.operation, deadline_seconds=deadline_seconds)
