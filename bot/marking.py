"""Marks on dashboards of what became of a deployment. Best effort: whatever goes wrong is logged and counted, and nothing waits.

Called where others are told of a deployment (`bot.announcing`). Nothing is decided here.
"""

from __future__ import annotations

from typing import Protocol

from bot.command import Run
from bot.telling import DEADLINE_SECONDS, tell
from integrations.ports import Annotation, DeploymentState

_WORDS = {
    DeploymentState.SUCCESS: "runs in",
    DeploymentState.FAILURE: "failed in",
}
"""What dashboards are interested in: when something began to run, and what did not. An undo is a deployment of its own."""


class Told(Protocol):
    """What became of what: `bot.announcing.Announcement`."""

    @property
    def service(self) -> str: ...
    @property
    def environment(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def operation(self) -> str: ...


def annotation_of(run: Run, one: Told, state: DeploymentState) -> Annotation | None:
    """None: dashboards are not interested in that state."""
    if state not in _WORDS:
        return None
    return Annotation(
        key=f"{one.operation}.{state.value}",
        service=one.service,
        environment=one.environment,
        text=f"{one.service} {one.revision[:7]} {_WORDS[state]} {one.environment} "
        f"({run.request_id}, {run.requester_name})",
        at=run.now,
    )


async def mark(
    run: Run, one: Told, state: DeploymentState, *, deadline_seconds: float = DEADLINE_SECONDS
) -> None:
    """Never raises. After a crash it may be marked again; the key is how the backend knows that it was."""
    annotations = run.backends.annotations
    annotation = annotation_of(run, one, state)
    if annotations is None or annotation is None:
        return
    await tell(
        annotations.annotate(annotation),
        f"mark_{state.value}",
        operation=one.operation,
        deadline_seconds=deadline_seconds,
    )
