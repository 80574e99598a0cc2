"""The example platform.yml as values, and people in it. Ids are those of the playground's workspace."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot import config
from bot.access import PLATFORM_ADMIN, TEAM_LEAD
from bot.domain import Actor, Gate, Plan, Platform, Request, RequestState, plan_hash

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "platform.yml"
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def example_platform() -> Platform:
    return config.load(EXAMPLE, {}).platform


def person(user_id: str, *, role: str = "", team: str = "orders", **changes: Any) -> Actor:
    """A full member; with `role`, holding it in `team`."""
    values: dict[str, Any] = {
        "user_id": user_id,
        "team_id": "TACME00001",
        "name": user_id.title(),
        "teams": frozenset({team} if role else ()),
        "leads": frozenset({team} if role == TEAM_LEAD else ()),
        "roles": {team: role} if role else {},
    }
    return Actor(**{**values, **changes})


def alice(**changes: Any) -> Actor:
    return person("UALICE0001", role="developer", **changes)


def omar(**changes: Any) -> Actor:
    return person("UOMAR00001", role="senior_developer", **changes)


def lena(**changes: Any) -> Actor:
    return person("ULENA00001", role=TEAM_LEAD, **changes)


def priya(**changes: Any) -> Actor:
    return person("UPRIYA0001", role=TEAM_LEAD, team="payments", **changes)


def sam(**changes: Any) -> Actor:
    return person("USAM000001", platform_roles=frozenset({PLATFORM_ADMIN}), **changes)


def noel(**changes: Any) -> Actor:
    """In no team."""
    return person("UNOEL00001", **changes)


def request_for(plan: Plan, gates: tuple[Gate, ...], **changes: Any) -> Request:
    """Alice's, waiting for approval."""
    values: dict[str, Any] = {
        "id": "r-7k2m9x",
        "command": plan.command,
        "requester": "UALICE0001",
        "requester_name": "Alice Adams",
        "team_id": "TACME00001",
        "channel_id": "CORDERS001",
        "team": plan.team,
        "service": plan.service,
        "environment": plan.environment,
        "arguments": {},
        "state": RequestState.AWAITING,
        "version": 3,
        "created_at": NOW,
        "updated_at": NOW,
        "due_at": None,
        "plan": plan,
        "gates": gates,
        "plan_hash": plan_hash(plan, gates),
    }
    return Request(**{**values, **changes})
