"""Requests as the store is given them, and a clock: for the parts that ask the store itself, past Slack and the dispatcher."""

from __future__ import annotations

from datetime import UTC, datetime

from bench import seed
from bench.fake_slack import DEVELOPERS, TEAM_ID
from bot.store import NewRequest


def now() -> datetime:
    return datetime.now(tz=UTC)


def new_request(
    name: str,
    *,
    command: str = "promote",
    service: str = seed.service_name(1),
    environment: str = "production",
) -> NewRequest:
    """It repeats no other and is about what no other is about, as long as its `name` is its own."""
    return NewRequest(
        id=name,
        dedupe_key=name,
        active_key=name,
        command=command,
        requester=DEVELOPERS[0],
        requester_name="Bench",
        team_id=TEAM_ID,
        channel_id=seed.CHANNEL,
        team="orders",
        service=service,
        environment=environment,
        arguments={"service": service, "to": environment},
    )
