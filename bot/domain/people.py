"""Who acts and what arrives: people, and what they ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


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
