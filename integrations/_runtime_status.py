"""How an application stands, from what is written and what was just seen. Pure: nothing here asks anybody."""

from __future__ import annotations

from dataclasses import replace

from integrations._runtime_application import ApplicationState, CrashLoop, Operation, exit_text
from integrations.ports import Deployment, Health, Phase, SyncStatus


def describe_health(
    state: ApplicationState, *, answering: bool, lost: bool, crash_loop: CrashLoop
) -> tuple[Health, str]:
    """Health and its reason. `answering`: the health endpoint said yes just now; `lost`: silent for too long."""
    latest, current, live = state.latest, state.current, state.live
    if live is None:
        if current is not None:
            return Health.PROGRESSING, f"deploying {current.revision[:7]}"
        if latest is not None:
            return Health.DEGRADED, latest.message
        return Health.MISSING, "nothing has been deployed yet"
    if crash_loop.is_degraded:
        return Health.DEGRADED, f"{live.revision[:7]} {crash_loop.message}"
    if answering:
        return Health.HEALTHY, _beside_live(current, latest, live.revision)
    if crash_loop.crashes:
        return Health.PROGRESSING, f"restarting after {exit_text(crash_loop.exit_code)}"
    return (Health.DEGRADED if lost else Health.PROGRESSING), f"{live.health_path} does not answer"


def _beside_live(current: Operation | None, latest: Operation | None, live_revision: str) -> str:
    if current is not None and current.revision != live_revision:
        return f"deploying {current.revision[:7]}"
    if latest is not None and latest.phase is Phase.FAILED:
        return f"{latest.revision[:7]} was not taken: {latest.message} {live_revision[:7]} keeps running."
    return ""


def describe_deployment(
    operation: Operation, state: ApplicationState, *, health: Health, message: str
) -> Deployment:
    """The outcome as it stands now: a live revision that has fallen ill since is not reported as READY."""
    deployment = operation.deployment
    if operation.phase is not Phase.READY or state.live is None:
        return deployment
    if state.live.revision != operation.revision:
        return replace(deployment, message=f"superseded by {state.live.revision[:7]}")
    if health is Health.HEALTHY:
        return deployment
    phase = Phase.FAILED if health is Health.DEGRADED else Phase.RUNNING
    return replace(deployment, phase=phase, health=health, message=message)


def describe_sync(state: ApplicationState, *, head: str | None) -> SyncStatus:
    """`head` is where the followed branch stands; without one, what was asked for last is what should run."""
    wished = head if state.follows else state.latest.revision if state.latest else None
    if wished is None:
        return SyncStatus.UNKNOWN
    live = state.live.revision if state.live else None
    return SyncStatus.SYNCED if live == wished else SyncStatus.OUT_OF_SYNC
