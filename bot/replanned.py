"""What looking at an approved request again can find, right before it runs. Values only.

The approval binds to a plan. Between the approval and the run the world may have moved, and the person may have lost the
right; `bot.dispatch` looks, `bot.workflow` acts on the answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from bot.domain import Gate, Plan, Request


@dataclass(frozen=True)
class Same:
    """The plan has the hash that was approved, and every gate still lets it pass."""


@dataclass(frozen=True)
class Changed:
    """The plan is another one now: it must be shown and approved again. `changes` says in lines what differs."""

    plan: Plan
    gates: tuple[Gate, ...]
    plan_hash: str
    changes: tuple[str, ...]
    due_at: datetime | None


@dataclass(frozen=True)
class Refused:
    """Somebody lost the right, or a rule says no now."""

    reason: str
    rule: str


@dataclass(frozen=True)
class CouldNotAsk:
    """A backend or Slack did not answer. Not a refusal: it is asked again, for a while."""

    reason: str
    retry_after_seconds: float | None = None


Replanned = Same | Changed | Refused | CouldNotAsk
Replan = Callable[[Request], Awaitable[Replanned]]
