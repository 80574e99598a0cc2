"""What is asked, decided and done: requests with their approvals and steps, and what a finished step leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from bot.domain.plan import JSON, Gate, Plan


class RequestState(StrEnum):
    """The life of a request; see docs/architecture.md for the picture.

    PLANNING   recorded and acknowledged; the plan is being made
    PROPOSED   the requester sees the plan and must confirm
    AWAITING   approvals are missing
    QUEUED     decided; there is a run to make from this commit on
    RUNNING    steps are running
    STOPPED    a step failed; a person chooses: retry from here, or undo
    UNDOING    what was done is being undone, in reverse
    then one end: SUCCEEDED, UNDONE, REFUSED, DENIED, CANCELLED, EXPIRED
    """

    PLANNING = "planning"
    PROPOSED = "proposed"
    AWAITING = "awaiting"
    QUEUED = "queued"
    RUNNING = "running"
    STOPPED = "stopped"
    UNDOING = "undoing"
    SUCCEEDED = "succeeded"
    UNDONE = "undone"
    REFUSED = "refused"
    DENIED = "denied"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


OPEN_STATES = frozenset(
    {
        RequestState.PLANNING,
        RequestState.PROPOSED,
        RequestState.AWAITING,
        RequestState.QUEUED,
        RequestState.RUNNING,
        RequestState.STOPPED,
        RequestState.UNDOING,
    }
)
DECIDABLE_STATES = frozenset({RequestState.PROPOSED, RequestState.AWAITING})
WORKING_STATES = frozenset({RequestState.QUEUED, RequestState.RUNNING, RequestState.UNDOING})
"""There is a run to be made, or under way."""


class RunId(NamedTuple):
    """One run of one request: a retry and an undo are runs of their own."""

    request_id: str
    number: int

    def __str__(self) -> str:
        return f"{self.request_id}.{self.number}"


class Decision(StrEnum):
    APPROVE = "approve"
    DENY = "deny"


@dataclass(frozen=True)
class Approval:
    """One person's decision on one version of a plan; it fills exactly one gate (`rule`)."""

    request_id: str
    user_id: str
    decision: Decision
    rule: str
    plan_hash: str
    reason: str
    decided_at: datetime


class StepState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNDOING = "undoing"
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"


@dataclass(frozen=True)
class Link:
    title: str
    url: str


class Choice(StrEnum):
    """A person's word on a step that halts."""

    CONTINUE = "continue"
    ABORT = "abort"


@dataclass(frozen=True)
class Halt:
    """Where a step waits for a person, such as a canary at one of its pauses. `at` is what their word is bound to."""

    at: str
    choice: Choice | None = None
    chosen_by: str = ""
    """Slack user id; empty, like the name, until somebody chose."""
    chosen_by_name: str = ""


@dataclass(frozen=True)
class StepRecord:
    """What is known of one step of one request: the ledger a run resumes from.

    `unsure`: the step failed without an answer, so it may have happened and must be undone as if it had.
    """

    request_id: str
    position: int
    key: str
    title: str
    state: StepState
    detail: str = ""
    error: str = ""
    external_id: str = ""
    output: JSON = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    unsure: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    due_at: datetime | None = None
    halt: Halt | None = None


@dataclass(frozen=True)
class Request:
    """One request with everything a card needs. `version` grows with every change: decisions compare-and-set on it.

    `plan_changes` says in lines what differs from the plan that was approved before, when the plan was made anew.
    `run` counts the runs (retry, undo).
    """

    id: str
    command: str
    requester: str
    requester_name: str
    team_id: str
    channel_id: str
    team: str
    service: str
    environment: str
    arguments: JSON
    state: RequestState
    version: int
    created_at: datetime
    updated_at: datetime
    due_at: datetime | None
    plan: Plan | None = None
    gates: tuple[Gate, ...] = ()
    plan_hash: str = ""
    plan_changes: tuple[str, ...] = ()
    approvals: tuple[Approval, ...] = ()
    steps: tuple[StepRecord, ...] = ()
    outcome: str = ""
    run: int = 0

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES


@dataclass(frozen=True)
class Service:
    name: str
    team: str
    golden_path: str
    description: str
    database: str
    repository_url: str
    web_url: str
    created_by: str
    created_at: datetime
    request_id: str


@dataclass(frozen=True)
class DeploymentRecord:
    """One deployment the bot made or saw. `revision` is what was approved, `ref_revision` what the backend runs."""

    service: str
    environment: str
    revision: str
    ref_revision: str
    healthy: bool
    deployed_by: str
    deployed_at: datetime
    request_id: str = ""


@dataclass(frozen=True)
class Record:
    """Facts a finished step adds to the database, in the same transaction as its outcome."""

    service: Service | None = None
    forget_service: str = ""
    deployment: DeploymentRecord | None = None
