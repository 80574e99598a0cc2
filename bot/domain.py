"""The values everything speaks in: people, plans, requests, decisions. No behaviour that needs a clock, no I/O.

Values that are stored as JSON (Plan and what it holds) are frozen pydantic models, because a stored plan must be read back
exactly as it was approved. The rest are frozen dataclasses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

JSON = dict[str, Any]


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, no NaN. What is hashed is hashed in this form."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_hex(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Value(BaseModel):
    """A frozen value that survives JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# ---------------------------------------------------------------- people


class PersonKind(StrEnum):
    """What Slack says a person is. UNKNOWN means Slack could not be asked; it carries no authority."""

    MEMBER = "member"
    GUEST = "guest"
    EXTERNAL = "external"
    DEACTIVATED = "deactivated"
    BOT = "bot"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Actor:
    """A person with what they are, now: looked up at every click and again before anything runs.

    `teams` are the teams the person belongs to, `leads` those they lead; `roles` maps each team to the role held there
    (`team_lead` of orders is nobody special in payments); `platform_roles` hold everywhere (platform_admin).
    """

    user_id: str
    team_id: str
    name: str
    email: str = ""
    emails: frozenset[str] = frozenset()
    kind: PersonKind = PersonKind.MEMBER
    teams: frozenset[str] = frozenset()
    leads: frozenset[str] = frozenset()
    roles: Mapping[str, str] = field(default_factory=dict)
    platform_roles: frozenset[str] = frozenset()


# ---------------------------------------------------------------- what arrives


class Origin(StrEnum):
    SLASH = "slash"
    BUTTON = "button"
    MODAL = "modal"
    HOME = "home"


@dataclass(frozen=True)
class Invocation:
    """Something a person asked for, translated from a Slack payload.

    `dedupe_key` is a hash of what identifies the delivery, so that a second delivery finds the first. `channel_id` is empty
    where the payload has none (modals opened from App Home).
    """

    dedupe_key: str
    user_id: str
    team_id: str
    channel_id: str
    text: str
    origin: Origin = Origin.SLASH


# ---------------------------------------------------------------- plans


class Change(Value):
    """One thing a plan does to the world: `kind` in the field's words (repository, claim, application, …)."""

    kind: str
    action: str
    """create, move, deploy, register, delete"""
    name: str
    environment: str = ""
    detail: str = ""


class PlannedStep(Value):
    """One step, frozen: `key` is unique in the plan and names the step kind of the command; `arguments` are JSON."""

    key: str
    title: str
    arguments: JSON = {}
    timeout_seconds: int = 300
    undo_title: str = ""


class PlannedCommit(Value):
    sha: str
    subject: str
    author_name: str
    author_email: str


class PlannedFile(Value):
    path: str
    status: str
    additions: int = 0
    deletions: int = 0


class Cost(Value):
    """Monthly estimate from the configured price table; `lines` are (what, amount)."""

    currency: str
    monthly: float
    lines: tuple[tuple[str, float], ...] = ()


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105 - a verdict, not a password
    NEEDS_APPROVAL = "needs_approval"
    DENY = "deny"
    UNKNOWN = "unknown"


class Gate(Value):
    """One rule's answer about one plan: what it says, why, how to get past it, and who could help.

    For NEEDS_APPROVAL: `group` names who may approve (`leads:orders`), `needed` how many of them, `excluded` the people
    (user ids) and `excluded_emails` (commit authors) who may not, and `exception` the policy that lets the requester.
    """

    rule: str
    verdict: Verdict
    reason: str
    fix: str = ""
    who: str = ""
    group: str = ""
    needed: int = 0
    excluded: tuple[str, ...] = ()
    excluded_emails: tuple[str, ...] = ()
    exception: str = ""


class OnFailure(StrEnum):
    """What a run does when a step fails for good: UNDO what was done, in reverse; or STOP and let a person choose."""

    UNDO = "undo"
    STOP = "stop"


class Plan(Value):
    """Exactly what will happen. The approval binds to `hash`.

    `facts` are what the plan rests on (revisions, template hash, …): a plan made again later on the same facts has the same
    hash. Everything in it is shown or follows from what is shown.
    """

    command: str
    title: str
    summary: str
    service: str
    team: str
    environment: str = ""
    arguments: JSON = {}
    changes: tuple[Change, ...] = ()
    steps: tuple[PlannedStep, ...] = ()
    commits: tuple[PlannedCommit, ...] = ()
    files: tuple[PlannedFile, ...] = ()
    truncated: bool = False
    facts: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    cost: Cost | None = None
    on_failure: OnFailure = OnFailure.UNDO
    announce: str = ""
    """What #deploys calls this (`orders → production`); empty: no deploy notification."""


def plan_hash(plan: Plan, gates: tuple[Gate, ...]) -> str:
    """SHA-256 over the plan and the rules' answers: a changed rule is a changed plan."""
    return sha256_hex(
        canonical_json(
            {
                "plan": plan.model_dump(mode="json"),
                "gates": [gate.model_dump(mode="json") for gate in gates],
            }
        )
    )


# ---------------------------------------------------------------- requests


class RequestState(StrEnum):
    """The life of a request; see docs/architecture.md for the picture.

    PLANNING   recorded and acknowledged; the plan is being made
    PROPOSED   the requester sees the plan and must confirm
    AWAITING   approvals are missing
    QUEUED     decided; the run is enqueued in the same transaction
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


@dataclass(frozen=True)
class Request:
    """One request with everything a card needs. `version` grows with every change: decisions compare-and-set on it.

    `plan_changes` says in lines what differs from the plan that was approved before, when the plan was made anew.
    `run` counts the runs (retry, undo): the durable workflow's id is `<id>.<run>`.
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


# ---------------------------------------------------------------- what exists


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


# ---------------------------------------------------------------- audit and cards


@dataclass(frozen=True)
class AuditEvent:
    """One link of the chain. `actor` is a user id, or `system`. Times in UTC, as stored (ISO 8601, microseconds)."""

    sequence: int
    at: str
    actor: str
    event: str
    request_id: str
    service: str
    environment: str
    data: JSON
    previous_hash: str
    hash: str


class CardKind(StrEnum):
    REQUEST = "request"
    """The card of a request: in its channel, and a copy by DM to those who may approve."""
    DEPLOY = "deploy"
    """The notification in #deploys."""
    DEPLOY_FAILURE = "deploy_failure"
    """The reply in its thread, only when the deployment failed."""
    NOTICE = "notice"
    """What the requester is told by DM about an end others brought about."""


@dataclass(frozen=True)
class Card:
    """One Slack message that mirrors a request. `revision` > `sent_revision` means it is dirty.

    `channel_id` may be a user id before the first post (a DM); `ts` is empty until posted; `post_started_at` is noted
    before the first post, so that a crash in between is healed by looking for it instead of posting twice.
    """

    id: str
    request_id: str
    kind: CardKind
    channel_id: str
    ts: str
    revision: int
    sent_revision: int
    post_started_at: datetime | None = None
    attempts: int = 0
    gone: bool = False
    """The message can never be edited again (deleted, channel archived)."""


# ---------------------------------------------------------------- the platform, as configured


@dataclass(frozen=True)
class ApprovalRule:
    """Who must approve before anything changes in an environment.

    `group`: `team_leads` (of the owning team), `platform_admins`, or a role's name (held in the owning team).
    """

    group: str = "team_leads"
    count: int = 1
    exclude_requester: bool = True
    exclude_commit_authors: bool = True


@dataclass(frozen=True)
class Environment:
    """A place services run in; `follows` is the branch it syncs from by itself, `release_ref` the ref promotion moves."""

    name: str
    title: str
    position: int
    follows: str | None
    release_ref: str
    approval: ApprovalRule | None


@dataclass(frozen=True)
class Team:
    name: str
    title: str
    channel_id: str
    deploy_channel_ids: Mapping[str, str]
    """Environment -> channel of deploy notifications; an environment that is absent gets none."""


@dataclass(frozen=True)
class Role:
    """What a role may do: permissions such as `create-service`, `promote:production`, `approve:*`, `*`."""

    name: str
    title: str
    permissions: frozenset[str]


@dataclass(frozen=True)
class PersonEntry:
    """How platform.yml names a person: by Slack user id, e-mail or `@user-group` handle (exactly one is set)."""

    user_id: str = ""
    email: str = ""
    user_group: str = ""

    def __str__(self) -> str:
        return self.user_id or self.email or f"@{self.user_group}"


@dataclass(frozen=True)
class Platform:
    """platform.yml as values: what access, policy, planning and views may know. No secrets, no backend settings."""

    name: str
    slack_team_id: str
    teams: Mapping[str, Team]
    members: Mapping[str, Mapping[str, tuple[PersonEntry, ...]]]
    """Team -> role -> who holds it; the role `team_lead` makes a lead."""
    platform_admins: tuple[PersonEntry, ...]
    aliases: Mapping[str, frozenset[str]]
    """Slack user id -> further e-mail addresses of that person (git commits use them)."""
    roles: Mapping[str, Role]
    environments: tuple[Environment, ...]
    golden_paths: tuple[str, ...]
    reserved_names: frozenset[str]
    prices: Mapping[str, float]
    """What costs how much a month: `service:staging`, `postgresql:small`, …"""
    currency: str
    request_ttl_seconds: int
    proposal_ttl_seconds: int
    create_needs_approval: ApprovalRule | None
    version: str
    """Hash of the rules in force: it is one of the facts a plan rests on."""

    def environment(self, name: str) -> Environment | None:
        return next((one for one in self.environments if one.name == name), None)

    def before(self, name: str) -> Environment | None:
        """The environment a revision must be healthy in first."""
        position = next((one.position for one in self.environments if one.name == name), 0)
        return next((one for one in self.environments if one.position == position - 1), None)
