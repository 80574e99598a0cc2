"""What the local runtime keeps of one application, and every change it may go through. Pure: no clock, no disk.

The state says what should run before it runs: an instance is written down, then started. So whoever reads the file after a
kill finds every process that may exist, and the operation that was under way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from bot.errors import BackendErrorKind, PermanentBackendError, StartError
from integrations.ports import ApplicationSpec, DeployedRevision, Deployment, Health, Phase

AUTO_SYNC: Final = "auto-sync"
"""Who deployed, where nobody asked: the branch moved."""

KEPT_OPERATIONS: Final = 500
"""Operation keys are remembered this long: far longer than any request lives."""


_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def require_label(text: str, what: str, *, backend: str) -> None:
    """Names become folders, so nothing but a DNS label gets through. Raises PermanentBackendError(INVALID)."""
    if not _LABEL.fullmatch(text):
        raise PermanentBackendError(
            f"The {what} is not a DNS label.",
            backend=backend,
            kind=BackendErrorKind.INVALID,
            fix="Use lower-case letters, digits and dashes.",
        )


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Instance(_Value):
    """One process of a revision; `id` names its lock, `port` is its own and changes with every start."""

    id: str
    revision: str
    port: int
    health_path: str
    started_at: datetime


class Operation(_Value):
    """One deployment, from the wish to its outcome."""

    key: str
    revision: str
    actor: str
    phase: Phase
    health: Health
    message: str = ""
    asked_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_finished(self) -> bool:
        return self.phase in {Phase.READY, Phase.FAILED}

    @property
    def deployment(self) -> Deployment:
        return Deployment(
            operation=self.key,
            revision=self.revision,
            phase=self.phase,
            health=self.health,
            message=self.message,
            started_at=self.started_at,
            finished_at=self.finished_at,
        )


class ApplicationState(_Value):
    """`port` is the stable one that people open. `live` serves; `candidate` is being tried; `retiring` must end."""

    service: str
    environment: str
    team: str
    repository_url: str
    golden_path: str
    follows: str | None
    health_path: str
    secrets: tuple[str, ...]
    request_id: str
    port: int
    live: Instance | None = None
    candidate: Instance | None = None
    retiring: tuple[Instance, ...] = ()
    operations: tuple[Operation, ...] = ()
    """Oldest first; the finished ones are the history."""

    @property
    def name(self) -> str:
        return f"{self.service}-{self.environment}"

    @property
    def instances(self) -> tuple[Instance, ...]:
        return tuple(each for each in (self.live, self.candidate, *self.retiring) if each is not None)

    @property
    def current(self) -> Operation | None:
        """The operation to work on: the oldest unfinished one."""
        return next((each for each in self.operations if not each.is_finished), None)

    @property
    def latest(self) -> Operation | None:
        return self.operations[-1] if self.operations else None

    def find(self, key: str) -> Operation | None:
        return next((each for each in self.operations if each.key == key), None)

    def with_spec(self, spec: ApplicationSpec) -> ApplicationState:
        return self.model_copy(update=_wishes(spec))

    def with_operation(self, operation: Operation) -> ApplicationState:
        """Add it, or replace the one with its key; forget the oldest finished ones."""
        known = self.find(operation.key) is not None
        operations = (
            tuple(operation if each.key == operation.key else each for each in self.operations)
            if known
            else (*self.operations, operation)
        )
        return self.model_copy(update={"operations": operations[-KEPT_OPERATIONS:]})

    def with_live(self, instance: Instance) -> ApplicationState:
        """Replace the serving process by another of the same revision."""
        return self.model_copy(update={"live": instance})

    def with_candidate(self, candidate: Instance | None) -> ApplicationState:
        """Whatever was tried before has to end."""
        retiring = (*self.retiring, self.candidate) if self.candidate else self.retiring
        return self.model_copy(update={"candidate": candidate, "retiring": retiring})

    def switched(self) -> ApplicationState:
        """The candidate serves; what served before has to end."""
        retiring = (*self.retiring, self.live) if self.live else self.retiring
        return self.model_copy(update={"live": self.candidate, "candidate": None, "retiring": retiring})

    def without_retired(self, instance: Instance) -> ApplicationState:
        return self.model_copy(
            update={"retiring": tuple(each for each in self.retiring if each.id != instance.id)}
        )


def parse_state(text: str, *, path: Path) -> ApplicationState:
    """Raises StartError that names the file: guessing what should run would be worse than not starting."""
    try:
        return ApplicationState.model_validate_json(text)
    except ValidationError as error:
        raise StartError(
            f"{path} is not the state of an application.",
            fix="Restore the file, or move its folder away to forget the application.",
        ) from error


def new_application(spec: ApplicationSpec, *, request_id: str, port: int) -> ApplicationState:
    return ApplicationState(
        service=spec.service,
        environment=spec.environment,
        request_id=request_id,
        port=port,
        **_wishes(spec),
    )


def _wishes(spec: ApplicationSpec) -> dict[str, object]:
    """What a later `ensure_application` may change."""
    return {
        "team": spec.team,
        "repository_url": spec.repository_url,
        "golden_path": spec.golden_path,
        "follows": spec.follows,
        "health_path": spec.health_path,
        "secrets": spec.secrets,
    }


def asked(key: str, *, revision: str, actor: str, now: datetime) -> Operation:
    return Operation(
        key=key,
        revision=revision,
        actor=actor,
        phase=Phase.PENDING,
        health=Health.PROGRESSING,
        asked_at=now,
    )


def begun(operation: Operation, *, now: datetime) -> Operation:
    return operation.model_copy(update={"phase": Phase.RUNNING, "started_at": now})


def succeeded(operation: Operation, *, now: datetime) -> Operation:
    return operation.model_copy(
        update={"phase": Phase.READY, "health": Health.HEALTHY, "message": "", "finished_at": now}
    )


def failed(operation: Operation, *, message: str, now: datetime) -> Operation:
    return operation.model_copy(
        update={"phase": Phase.FAILED, "health": Health.DEGRADED, "message": message, "finished_at": now}
    )


def should_sync(state: ApplicationState, head: str | None) -> bool:
    """Auto-sync tries a commit once: after a failure it waits for another commit, as Argo CD does."""
    if head is None or state.current is not None:
        return False
    latest = state.latest
    if latest is not None and latest.revision == head and latest.phase is Phase.FAILED:
        return False
    return state.live is None or state.live.revision != head


def history(state: ApplicationState, *, limit: int) -> list[DeployedRevision]:
    """Newest first; what is under way is not history yet."""
    finished = [each for each in state.operations if each.is_finished]
    return [
        DeployedRevision(
            revision=each.revision,
            deployed_at=each.finished_at or each.asked_at,
            deployed_by=each.actor,
            healthy=each.phase is Phase.READY,
        )
        for each in reversed(finished[-limit:] if limit > 0 else [])
    ]


@dataclass(frozen=True)
class CrashLoop:
    """Consecutive ends of the serving process that nobody asked for. Times are the event loop's seconds."""

    crashes: int = 0
    exit_code: int | None = None
    next_start: float = 0.0

    DEGRADED_AFTER: int = 3
    CEILING_SECONDS: float = 60.0

    def after_crash(self, *, exit_code: int | None, now: float, backoff_seconds: float) -> CrashLoop:
        """The first crash restarts at once; then the pause doubles up to the ceiling."""
        pause = min(backoff_seconds * 2 ** (self.crashes - 1), self.CEILING_SECONDS) if self.crashes else 0.0
        return CrashLoop(crashes=self.crashes + 1, exit_code=exit_code, next_start=now + pause)

    @property
    def is_degraded(self) -> bool:
        return self.crashes >= self.DEGRADED_AFTER

    @property
    def message(self) -> str:
        return f"crashed {self.crashes} times in a row, last with {exit_text(self.exit_code)}"


def exit_text(exit_code: int | None) -> str:
    if exit_code is None:
        return "an exit code that was not seen"
    return f"exit code {exit_code}" if exit_code >= 0 else f"signal {-exit_code}"
