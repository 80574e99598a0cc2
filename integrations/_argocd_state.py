"""What an Argo CD application's state means: whether an operation of ours is done, how the application stands, what it refuses. Pure.

Deployed means all of: the operation with our key ended in Succeeded; it applied our revision; Argo CD has looked again after it
ended; what it compares with is our revision, and in sync; healthy; and a canary, where there is one, is through. Right after
Succeeded the health shown is that of the old revision, so an observation counts only when it is younger than the end of the
operation. Time decides nothing else: operations are told apart by the key they carry.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations._argocd_rollouts import Rollout
from integrations._argocd_shapes import AUTO_SYNC, BACKEND, ArgoApplication, JournalEntry, OperationState
from integrations.ports import DeployedRevision, Deployment, Health, Phase, SyncStatus

BLOCKED_BY_WINDOW: Final = "blocked by sync window"
NUDGE_AFTER: Final = timedelta(seconds=5)
BUSY_RETRY_SECONDS: Final = 5.0
_REVISION: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_HEALTH: Final = {each.value: each for each in Health}
_SYNC: Final = {"Synced": SyncStatus.SYNCED, "OutOfSync": SyncStatus.OUT_OF_SYNC}
_BLINDING: Final = ("ComparisonError", "InvalidSpecError", "UnknownError", "DeletionError")
"""With these Argo CD does not see what runs; a SyncError alone says nothing against what it sees."""

Verdict = tuple[Phase, str]


# ---------------------------------------------------------------- one deployment


def describe_deployment(
    app: ArgoApplication, key: str, *, canary: Rollout | None, now: datetime, grace: timedelta
) -> Deployment | None:
    """None: no operation of this key was ever begun. `grace`: how long a fresh revision may be degraded."""
    found = _find(app, key)
    if found is None:
        return None
    revision, basis = found
    if isinstance(basis, OperationState):
        phase, message = _outcome(app, basis, revision, canary=canary, now=now, grace=grace)
    else:
        phase, message = basis
    ours = app.last if app.last is not None and app.last.asked.key == key else None
    if ours is None:
        # What rolls out now is another operation's.
        canary = None
    paused = canary is not None and canary.is_paused and phase in {Phase.RUNNING, Phase.WAITING_HUMAN}
    return Deployment(
        operation=key,
        revision=revision,
        phase=Phase.WAITING_HUMAN if paused else phase,
        health=Health.DEGRADED if canary is not None and canary.has_failed else observed_health(app),
        message="" if paused else message,
        started_at=ours.started_at if ours else None,
        finished_at=ours.finished_at if ours and not ours.is_under_way else None,
        step=canary.step if canary else "",
        weight_percent=canary.weight_percent if canary and canary.step else None,
        paused=paused,
        analysis=canary.analysis if canary and not canary.is_promoted else (),
    )


def _find(app: ArgoApplication, key: str) -> tuple[str, OperationState | Verdict] | None:
    """The revision asked for, and the operation to judge it by, or the verdict where there is nothing to judge."""
    if app.last is not None and app.last.asked.key == key:
        remembered = app.remembered(key)
        return (remembered.revision if remembered else app.last.asked.revision), app.last
    if app.pending is not None and app.pending.key == key:
        return app.pending.revision, (Phase.PENDING, "Argo CD has not begun yet")
    remembered = app.remembered(key)
    if remembered is None or remembered.before == (app.last.identity if app.last else ""):
        return None
    return remembered.revision, _replaced(app, remembered)


def _replaced(app: ArgoApplication, ours: JournalEntry) -> OperationState | Verdict:
    """Another operation stands where ours stood. One that brings the same revision serves as well."""
    under_way = app.under_way
    if under_way is not None and under_way.revision != ours.revision:
        who = under_way.actor or "somebody"
        return Phase.FAILED, f"Another operation, by {who}, took the place of this one."
    if under_way is not None:
        return Phase.RUNNING, "Another operation is bringing the same revision."
    if app.last is not None and app.last.synced == ours.revision:
        return app.last
    live = app.live_revision
    return (
        Phase.FAILED,
        f"Another operation took the place of this one; {live[:7] if live else 'nothing'} is live.",
    )


def _outcome(
    app: ArgoApplication,
    state: OperationState,
    revision: str,
    *,
    canary: Rollout | None,
    now: datetime,
    grace: timedelta,
) -> Verdict:
    if state.is_under_way:
        return _under_way(state)
    if state.phase in {"Failed", "Error"}:
        return Phase.FAILED, state.message or f"Argo CD ended it with {state.phase}"
    if state.phase != "Succeeded":
        return Phase.UNKNOWN, f"Argo CD says {state.phase or 'nothing'} of the operation"
    if state.synced != revision:
        other = state.synced[:7] if state.synced else "no revision"
        return Phase.FAILED, f"Argo CD reports success, but it synced {other}."
    if not is_fresh(app):
        return Phase.RUNNING, "synced; waiting for Argo CD to look again"
    if app.errors:
        return Phase.UNKNOWN, app.errors[0]
    return _seen(app, revision, canary=canary, now=now, grace=grace)


def _under_way(state: OperationState) -> Verdict:
    if state.phase == "Terminating":
        return Phase.RUNNING, "being stopped"
    if BLOCKED_BY_WINDOW in state.message.lower():
        return Phase.PENDING, f"{state.message}; it begins when the window allows"
    if state.finished_at is not None:
        return Phase.RUNNING, f"waiting for retry {state.retries + 1}: {state.message}"
    return Phase.RUNNING, state.message or "syncing"


def _seen(
    app: ArgoApplication, revision: str, *, canary: Rollout | None, now: datetime, grace: timedelta
) -> Verdict:
    """What a fresh observation after a successful operation says."""
    said = app.health_message
    if canary is not None and canary.has_failed:
        # It went back by itself or was sent back: no grace makes it better.
        return Phase.FAILED, canary.message or said or "the canary was aborted"
    if app.health == "Degraded":
        return _degraded(app, said, now=now, grace=grace)
    if app.sync_status not in _SYNC:
        return Phase.UNKNOWN, "Argo CD cannot tell whether it is in sync"
    if app.sync_revision != revision:
        at = app.sync_revision[:7] or "nothing"
        return Phase.RUNNING, f"Argo CD compares with {at} of {app.target_revision}, not with {revision[:7]}"
    if app.sync_status == "OutOfSync":
        return Phase.RUNNING, _out_of_sync(app)
    if app.health == "Suspended":
        return Phase.WAITING_HUMAN, _suspended(canary) or said or "waiting for somebody to continue"
    if app.health == "Healthy" and canary is not None and not canary.is_promoted:
        return Phase.RUNNING, "healthy, but the canary is not through"
    if app.health == "Healthy":
        return Phase.READY, ""
    if app.health in {"Progressing", "Missing"}:
        return Phase.RUNNING, said or app.health.lower()
    return Phase.UNKNOWN, said or "Argo CD does not know whether it is healthy"


def _suspended(canary: Rollout | None) -> str:
    if canary is None:
        return ""
    if canary.is_held:
        return "stopped by hand in the cluster (spec.paused); who did that has to let it go"
    return canary.message


def _degraded(app: ArgoApplication, said: str, *, now: datetime, grace: timedelta) -> Verdict:
    ended = app.last.finished_at if app.last else None
    since = max((each for each in (ended, app.health_since) if each is not None), default=now)
    if now - since >= grace:
        return Phase.FAILED, said or "degraded"
    return Phase.RUNNING, said or "degraded, perhaps only for a moment"


def _out_of_sync(app: ArgoApplication) -> str:
    names = [str(each) for each in app.resources if each.sync == "OutOfSync"]
    return f"out of sync: {', '.join(names[:3])}" if names else "out of sync"


def is_fresh(app: ArgoApplication) -> bool:
    """Whether what is shown was seen after the last operation ended. The same second is not after."""
    ended = app.last.finished_at if app.last is not None else None
    return app.reconciled_at is not None and (ended is None or app.reconciled_at > ended)


def wants_nudge(app: ArgoApplication, now: datetime) -> bool:
    """Argo CD looks again by itself; where it has not for a while, or within the same second, it is asked to."""
    if app.is_refreshing or app.under_way is not None or is_fresh(app):
        return False
    ended = app.last.finished_at if app.last is not None else None
    return ended is not None and now - ended >= NUDGE_AFTER


# ---------------------------------------------------------------- the application


def observed_health(app: ArgoApplication) -> Health:
    """Argo CD's word, but never healthy on an old look, a blind one, or with nothing deployed: an empty application is
    healthy to Argo CD."""
    if app.live_revision is None:
        return Health.MISSING if app.under_way is None else Health.PROGRESSING
    health = _HEALTH.get(app.health.lower(), Health.UNKNOWN)
    if health is not Health.HEALTHY:
        return health
    if any(each.startswith(_BLINDING) for each in app.errors):
        return Health.UNKNOWN
    return health if is_fresh(app) else Health.PROGRESSING


def observed_sync(app: ArgoApplication) -> SyncStatus:
    return _SYNC.get(app.sync_status, SyncStatus.UNKNOWN)


def describe_message(app: ArgoApplication) -> str:
    if app.is_deleting:
        return "being removed"
    if app.errors:
        return app.errors[0]
    under_way = app.under_way
    if under_way is not None:
        return f"deploying {under_way.revision[:7]}" if under_way.revision else "syncing"
    if app.live_revision is None:
        return "nothing has been deployed yet"
    last = app.last
    if last is not None and last.phase in {"Failed", "Error"}:
        return f"{last.asked.revision[:7]} was not taken: {last.message}"
    return app.health_message


def unhealthy_resources(app: ArgoApplication) -> tuple[str, ...]:
    """From the Application itself, which tells only where Argo CD persists health there."""
    ill = [each for each in app.resources if each.health in {"Degraded", "Missing", "Unknown"}]
    return tuple(f"{each}: {each.message or each.health.lower()}" for each in ill)


def describe_history(app: ArgoApplication, *, limit: int) -> list[DeployedRevision]:
    """Newest first. Argo CD does not keep what was healthy: the journal and the present are the only evidence."""
    found = []
    for number, entry in enumerate(app.history):
        after = [each for each in app.journal if each.revision == entry.revision and each.history < entry.id]
        is_live = number == len(app.history) - 1 and observed_health(app) is Health.HEALTHY
        found.append(
            DeployedRevision(
                revision=entry.revision,
                deployed_at=entry.deployed_at,
                deployed_by=(after[-1].actor if after else "") or entry.actor or AUTO_SYNC,
                healthy=is_live or any(each.healthy for each in after),
            )
        )
    return found[::-1][:limit]


# ---------------------------------------------------------------- refusals


def refusal_to_deploy(app: ArgoApplication, revision: str) -> BackendError | None:
    """Why no operation may be started now. The bot refuses what Argo CD's own server would refuse: writing the Application
    goes past that server."""
    if not _REVISION.fullmatch(revision):
        return _permanent("A revision is a full commit hash.", BackendErrorKind.INVALID)
    if app.is_deleting:
        return _permanent(f"{app.name} is being removed.", BackendErrorKind.CONFLICT)
    under_way = app.under_way
    if under_way is not None:
        what = f"{under_way.actor or 'somebody'} deploys {under_way.revision[:7] or 'it'}"
        return not_ready(f"Another operation is already in progress: {what}.")
    if not app.is_automated:
        return None
    if not app.sync_revision:
        return not_ready("Argo CD has not looked at the repository yet.")
    if app.sync_revision != revision:
        return _permanent(
            f"Cannot sync to {revision[:7]}: auto-sync currently set to {app.target_revision}.",
            BackendErrorKind.CONFLICT,
            fix=f"Push to {app.target_revision}; {app.environment} follows it by itself.",
        )
    return None


def conflicting(found: Deployment, revision: str) -> PermanentBackendError | None:
    if found.revision == revision:
        return None
    return _permanent(
        f"This operation deploys {found.revision[:7]}, not {revision[:7]}.", BackendErrorKind.CONFLICT
    )


def superseded_by(app: ArgoApplication, request_id: str, key: str) -> bool:
    """Whether what is under way is an earlier run of the same request: it would stand in its own undo's way."""
    under_way = app.under_way
    return under_way is not None and under_way.request_id == request_id and under_way.key != key


def not_ready(message: str, *, retry_after_seconds: float = BUSY_RETRY_SECONDS) -> TemporaryBackendError:
    return TemporaryBackendError(
        message, backend=BACKEND, kind=BackendErrorKind.NOT_READY, retry_after_seconds=retry_after_seconds
    )


def _permanent(message: str, kind: BackendErrorKind, *, fix: str | None = None) -> PermanentBackendError:
    return PermanentBackendError(message, backend=BACKEND, kind=kind, fix=fix)


def request_of(key: str) -> str:
    """Operation keys begin with the request's id (`bot.command.Run.operation`)."""
    return key.partition(".")[0]


def waiting_for_window(key: str, revision: str, health: Health) -> Deployment:
    """Nothing was started: the same key asks again until the window allows it."""
    return Deployment(
        operation=key,
        revision=revision,
        phase=Phase.PENDING,
        health=health,
        message="blocked by a sync window of the project; it begins when the window allows",
    )


def with_note(found: Deployment, note: str) -> Deployment:
    return replace(found, message=f"{found.message} ({note})" if found.message else note) if note else found
