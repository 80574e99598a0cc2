"""What is approved: a plan, the rules' answers about it, and the hash that binds both. Frozen pydantic models, because a stored plan
must be read back exactly as it was approved.
"""

from __future__ import annotations

import hashlib
import json
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
