"""platform.yml as values: what access, policy, planning and views may know of the company."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
class EvidenceRule:
    """How many findings are too many; None: any number is fine."""

    critical_vulnerabilities: int | None = None
    high_vulnerabilities: int | None = None
    failed_policies: int | None = None


@dataclass(frozen=True)
class WatchRule:
    """How long a promoted revision is watched, and what brings the old one back; None: not judged."""

    seconds: int
    success_ratio: float | None = None
    latency_seconds: float | None = None


@dataclass(frozen=True)
class Environment:
    """A place services run in; `follows` is the branch it syncs from by itself, `release_ref` the ref promotion moves."""

    name: str
    title: str
    position: int
    follows: str | None
    release_ref: str
    approval: ApprovalRule | None
    evidence: EvidenceRule | None = None
    watch: WatchRule | None = None


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
