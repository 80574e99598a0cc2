"""Who and what is in the workspace: people of every kind, user groups, and the channels a fresh start has.

Pure: reads a mapping into values and renders Slack's `user` and `usergroup` objects. It keeps no messages and sends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

Json = dict[str, Any]
Kind = Literal["member", "guest_multi", "guest_single", "deactivated", "external", "bot", "slackbot"]

KINDS: tuple[Kind, ...] = (
    "member",
    "guest_multi",
    "guest_single",
    "deactivated",
    "external",
    "bot",
    "slackbot",
)
SAMPLE_WORKSPACE = Path(__file__).with_name("workspace.yml")
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, ten times as quick as Python's, where PyYAML was built with it: a test suite starts a thousand workspaces."""


class WorkspaceError(ValueError):
    """The workspace file says something that no workspace can be."""


@dataclass
class Person:
    """`kind` is what Slack's flags (`deleted`, `is_restricted`, …) are derived from; it may change while we run."""

    id: str
    handle: str
    name: str
    team_id: str
    title: str = ""
    email: str | None = None
    kind: Kind = "member"
    color: str = "#6b7280"
    is_admin: bool = False
    time_zone: str = "Etc/UTC"
    bot_id: str | None = None
    app_id: str | None = None

    @property
    def can_act(self) -> bool:
        return self.kind not in ("deactivated", "bot", "slackbot")

    @property
    def is_guest(self) -> bool:
        return self.kind in ("guest_multi", "guest_single")

    @property
    def initials(self) -> str:
        return "".join(word[0] for word in self.name.split()[:2]).upper()


@dataclass
class UserGroup:
    id: str
    handle: str
    name: str
    members: list[str] = field(default_factory=list)
    disabled: bool = False


@dataclass(frozen=True)
class ChannelSeed:
    id: str
    name: str
    topic: str
    members: tuple[str, ...]
    private: bool = False
    app: bool = False
    archived: bool = False
    ext_shared: bool = False
    read_only: bool = False


@dataclass
class Workspace:
    team_id: str
    name: str
    domain: str
    people: dict[str, Person]
    user_groups: dict[str, UserGroup]
    channels: tuple[ChannelSeed, ...]
    direct_messages: tuple[tuple[str, str], ...]

    def person(self, reference: str) -> Person:
        """By id, handle, `@handle` or full name; KeyError when nobody is meant."""
        if reference in self.people:
            return self.people[reference]
        wanted = reference.removeprefix("@").lower()
        for person in self.people.values():
            if wanted in (person.handle.lower(), person.name.lower()):
                return person
        raise KeyError(reference)

    def user_group(self, reference: str) -> UserGroup:
        if reference in self.user_groups:
            return self.user_groups[reference]
        wanted = reference.removeprefix("@").lower()
        for group in self.user_groups.values():
            if group.handle.lower() == wanted:
                return group
        raise KeyError(reference)


def load_workspace(source: Mapping[str, Any] | Path | None) -> Workspace:
    if source is None or isinstance(source, Path):
        path = source or SAMPLE_WORKSPACE
        source = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)  # noqa: S506 - a safe one
    if not isinstance(source, Mapping):
        raise WorkspaceError("a workspace file is a mapping with team, people, user_groups and channels")
    return parse_workspace(source)


def parse_workspace(source: Mapping[str, Any]) -> Workspace:
    team = source["team"]
    people = [Person(**{"team_id": team["id"], **entry}) for entry in source.get("people", [])]
    groups = [UserGroup(**entry) for entry in source.get("user_groups", [])]
    seeds = [
        ChannelSeed(**{**entry, "members": tuple(entry["members"])}) for entry in source.get("channels", [])
    ]
    pairs = tuple((first, second) for first, second in source.get("direct_messages", []))
    workspace = Workspace(
        team_id=team["id"],
        name=team["name"],
        domain=team["domain"],
        people={person.id: person for person in people},
        user_groups={group.id: group for group in groups},
        channels=tuple(seeds),
        direct_messages=pairs,
    )
    _check_references(workspace)
    return workspace


def _check_references(workspace: Workspace) -> None:
    for person in workspace.people.values():
        if person.kind not in KINDS:
            raise WorkspaceError(
                f"people: {person.id} has kind {person.kind!r}; accepted: {', '.join(KINDS)}"
            )
    mentioned: list[tuple[str, str]] = []
    mentioned += [
        (f"user_groups: {g.handle}", member) for g in workspace.user_groups.values() for member in g.members
    ]
    mentioned += [(f"channels: {c.name}", member) for c in workspace.channels for member in c.members]
    mentioned += [("direct_messages", member) for pair in workspace.direct_messages for member in pair]
    for where, member in mentioned:
        if member not in workspace.people:
            raise WorkspaceError(f"{where} names {member}, who is not among the people")


def user_object(person: Person, *, with_email: bool, updated: int = 0) -> Json:
    """Slack's user object. A deactivated account loses its role flags; USLACKBOT says `is_bot: false`."""
    profile: Json = {
        "title": person.title,
        "real_name": person.name,
        "real_name_normalized": person.name,
        "display_name": person.handle,
        "display_name_normalized": person.handle,
        "team": person.team_id,
    }
    if with_email and person.email:
        profile["email"] = person.email
    user: Json = {
        "id": person.id,
        "team_id": person.team_id,
        "name": person.handle,
        "real_name": person.name,
        "deleted": person.kind == "deactivated",
        "color": person.color.removeprefix("#"),
        "profile": profile,
        "is_bot": person.kind == "bot",
        "is_app_user": False,
        "updated": updated,
    }
    if person.bot_id:
        profile["bot_id"] = person.bot_id
        profile["api_app_id"] = person.app_id
    if person.kind == "deactivated":
        return user
    user |= {
        "tz": person.time_zone,
        "tz_label": "Coordinated Universal Time",
        "tz_offset": 0,
        "is_admin": person.is_admin,
        "is_owner": False,
        "is_primary_owner": False,
        "is_restricted": person.is_guest,
        "is_ultra_restricted": person.kind == "guest_single",
        "is_email_confirmed": person.email is not None,
        "who_can_share_contact_card": "EVERYONE",
    }
    if person.kind == "external":
        user |= {"is_stranger": True, "is_email_confirmed": False}
    return user


def user_group_object(group: UserGroup, *, team_id: str, include_users: bool) -> Json:
    shown: Json = {
        "id": group.id,
        "team_id": team_id,
        "is_usergroup": True,
        "is_subteam": True,
        "name": group.name,
        "handle": group.handle,
        "description": "",
        "is_external": False,
        "date_create": 0,
        "date_update": 0,
        # Slack keeps the members of a disabled group and marks it by a deletion date.
        "date_delete": 1 if group.disabled else 0,
        "auto_type": None,
        "user_count": len(group.members),
        "prefs": {"channels": [], "groups": []},
    }
    if include_users:
        shown["users"] = list(group.members)
    return shown
