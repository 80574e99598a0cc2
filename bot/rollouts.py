"""A deployment that is not through yet: what its step says of it, and a person's word carried out on its canary.

The word was recorded when it was given; here it becomes an effect, at the place it was given for and nowhere else. Who may give it
is decided where it is given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from bot.command import Pending, Run
from bot.domain import Choice, Halt
from bot.errors import BackendErrorKind, PermanentBackendError
from integrations.ports import ClosedWindow, Deployment, Phase, describe_canary

WINDOW_LOOK_SECONDS = 30.0
CANARY_LOOK_SECONDS = 2.0
_MOVED_ON = frozenset({BackendErrorKind.CONFLICT, BackendErrorKind.INVALID})
"""It no longer stands where the word was given, by somebody else's hand: the word has lapsed."""


@dataclass(frozen=True)
class Rollout:
    """One run of `Delivery.deploy`; `step` is the key of the step that watches it."""

    service: str
    environment: str
    revision: str
    operation: str
    step: str


async def steered(run: Run, one: Rollout, deployment: Deployment) -> Deployment:
    """The deployment after what somebody chose for it. Raises PermanentBackendError where they aborted it."""
    if not deployment.step:
        return deployment
    halt = await run.halt(one.step)
    if halt is None or halt.choice is None:
        return deployment
    if halt.choice is Choice.ABORT:
        return await _aborted(run, one, halt, deployment)
    if not deployment.paused or deployment.step != halt.at:
        return deployment
    try:
        return await run.backends.delivery.resume(
            one.service, one.environment, operation=one.operation, step=halt.at
        )
    except PermanentBackendError as error:
        if error.kind in _MOVED_ON:
            return deployment
        # A *Continue* that is refused is no reason to take everything back: the refusal is shown, and it is tried again.
        return replace(deployment, message=f"it could not be continued: {error.sentence}")


async def _aborted(run: Run, one: Rollout, halt: Halt, deployment: Deployment) -> Deployment:
    try:
        await run.backends.delivery.abort(one.service, one.environment, operation=one.operation, step=halt.at)
    except PermanentBackendError as error:
        if error.kind in _MOVED_ON:
            return deployment
        raise
    raise PermanentBackendError(
        f"{halt.chosen_by_name} aborted {one.revision[:7]} in {one.environment} at step {halt.at}.",
        backend="delivery",
        kind=BackendErrorKind.NOT_READY,
    )


def watching(deployment: Deployment) -> Pending:
    """`step 2 of 5, 20 % of the traffic, analysis success-rate: running, waiting for Continue`, or what else is known."""
    phase = f"{deployment.phase.value}, {deployment.health.value}"
    detail = ", ".join(filter(None, (deployment.message, describe_canary(deployment)))) or phase
    if deployment.paused:
        return Pending(detail, CANARY_LOOK_SECONDS, on_hold=True, halted_at=deployment.step)
    return Pending(detail, on_hold=deployment.phase is Phase.WAITING_HUMAN)


def waiting(window: ClosedWindow, now: datetime) -> Pending:
    """For a time that is known, or that nobody knows: either way it is not the deployment that takes long."""
    if window.opens_at is None:
        return Pending(window.reason, WINDOW_LOOK_SECONDS, on_hold=True)
    left = max((window.opens_at - now).total_seconds(), 1.0)
    detail = f"{window.reason}; begins at {window.opens_at:%Y-%m-%d %H:%M} UTC"
    return Pending(detail, min(left, WINDOW_LOOK_SECONDS), on_hold=True)
