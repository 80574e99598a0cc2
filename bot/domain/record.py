"""What is kept to be shown and proven: audit events and cards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.domain.plan import JSON


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
