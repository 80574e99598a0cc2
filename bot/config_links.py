"""How the sections of platform.yml belong together: every name that refers to something refers to something that is there.

Pure. A check runs on sections that are well formed in themselves only, so that one mistake makes one problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bot.access import PLATFORM_ADMIN, PLATFORM_ADMINS, TEAM_LEAD, grants
from bot.config_file import Document, Location, nearest, shown
from bot.config_model import ApprovalSection, EnvironmentSection, RoleSection, RulesSection
from bot.errors import Problem

BUILT_IN_GROUPS: Mapping[str, str] = {"team_leads": TEAM_LEAD, PLATFORM_ADMINS: PLATFORM_ADMIN}
"""What `approval.from` may name beside roles -> the role its members hold."""


@dataclass(frozen=True)
class Sections:
    """The well-formed sections by name; a section with a mistake in it is absent."""

    document: Document
    found: Mapping[str, Any]

    @property
    def roles(self) -> Mapping[str, RoleSection] | None:
        return self.found.get("roles")

    @property
    def environments(self) -> list[EnvironmentSection] | None:
        return self.found.get("environments")

    @property
    def environment_names(self) -> list[str] | None:
        return None if self.environments is None else [one.name for one in self.environments]

    def problem(self, location: Location, value: object, accepted: str) -> Problem:
        return Problem(self.document.file, self.document.place(location), shown(value), accepted)

    def unknown(self, location: Location, name: str, known: Iterable[str]) -> Problem:
        return self.problem(location, name, nearest(name, known))


def check_links(sections: Sections) -> list[Problem]:
    return [problem for check in _CHECKS for problem in check(sections)]


def permissions_of(name: str, roles: Mapping[str, RoleSection]) -> frozenset[str]:
    """What a role may do, with what it includes."""
    return frozenset(permission for one in _chain(name, roles) for permission in roles[one].may)


def _chain(name: str, roles: Mapping[str, RoleSection]) -> list[str]:
    """The role and those it includes, ending where a circle would close or a role is missing."""
    chain: list[str] = []
    current: str | None = name
    while current is not None and current in roles and current not in chain:
        chain.append(current)
        current = roles[current].includes
    return chain


# ---------------------------------------------------------------- checks


def _roles(sections: Sections) -> Iterator[Problem]:
    roles = sections.roles
    if roles is None:
        return
    for name in (TEAM_LEAD, PLATFORM_ADMIN):
        if name not in roles:
            yield sections.problem(
                ("roles",), f"no {name}", f"a role {name}: the bot asks for it by this name"
            )
    for name, role in roles.items():
        location = ("roles", name, "includes")
        if role.includes is None:
            continue
        if role.includes not in roles:
            yield sections.unknown(location, role.includes, roles)
        elif name == _first_of_circle(role.includes, roles):
            yield sections.problem(
                location, role.includes, "a role that does not include this one, directly or by others"
            )


def _first_of_circle(start: str, roles: Mapping[str, RoleSection]) -> str | None:
    """The role that stands first in the file, of a circle that begins and ends at `start`: one circle, one problem."""
    chain = _chain(start, roles)
    closes = roles[chain[-1]].includes == start
    return min(chain, key=list(roles).index) if closes else None


def _permissions(sections: Sections) -> Iterator[Problem]:
    known = sections.environment_names
    if sections.roles is None or known is None:
        return
    for name, role in sections.roles.items():
        for index, permission in enumerate(role.may):
            verb, _, environment = permission.partition(":")
            if environment and environment != "*" and environment not in known:
                offered = [f"{verb}:{one}" for one in [*known, "*"]]
                yield sections.unknown(("roles", name, "may", index), permission, offered)


def _teams(sections: Sections) -> Iterator[Problem]:
    for name, team in sections.found.get("teams", {}).items():
        if sections.roles is not None:
            # Platform admins are named once, for all teams; inside a team the role would reach further than it says.
            known = [one for one in sections.roles if one != PLATFORM_ADMIN]
            for role in team.members:
                if role not in known:
                    yield sections.unknown(("teams", name, "members", role), role, known)
        location = ("teams", name, "notifications", "deployments")
        yield from _channels(sections, location, team.notifications.deployments)


def _notifications(sections: Sections) -> Iterator[Problem]:
    found = sections.found.get("notifications")
    if found is not None:
        yield from _channels(sections, ("notifications", "deployments"), found.deployments)


def _channels(sections: Sections, location: Location, channels: Mapping[str, str]) -> Iterator[Problem]:
    known = sections.environment_names
    if known is None:
        return
    for environment in channels:
        if environment not in known:
            yield sections.unknown((*location, environment), environment, known)


def _environments(sections: Sections) -> Iterator[Problem]:
    environments = sections.environments
    if environments is None:
        return
    if not environments[0].follows:
        yield sections.problem(
            ("environments", 0), "follows nothing", "follows: BRANCH, because services start in the first one"
        )
    yield from _twice(sections, "environments", "name", [one.name for one in environments])
    promoted: list[str | None] = [None, *(one.release_ref for one in environments[1:])]
    # Two environments on one branch would be promoted together.
    yield from _twice(sections, "environments", "release_ref", promoted)
    for index, one in enumerate(environments):
        if index > 0 and one.follows:
            yield sections.problem(
                ("environments", index, "follows"),
                one.follows,
                "nothing: only the first environment follows a branch, the others move by promotion",
            )
        if one.approval is not None:
            location = ("environments", index, "approval", "from")
            yield from _approval(sections, location, one.approval, f"approve:{one.name}")


def _backends_behind_rules(sections: Sections) -> Iterator[Problem]:
    """A rule that nobody can answer would keep every request waiting."""
    integrations = sections.found.get("integrations")
    if sections.environments is None or integrations is None:
        return
    for index, one in enumerate(sections.environments):
        for key, port in (("evidence", "evidence"), ("watch", "signals")):
            if getattr(one, key) is not None and getattr(integrations, port) is None:
                yield sections.problem(
                    ("environments", index, key),
                    f"without integrations.{port}",
                    f"a backend in integrations.{port}, or no {key}",
                )


def _rules(sections: Sections) -> Iterator[Problem]:
    rules: RulesSection | None = sections.found.get("rules")
    if rules is not None and rules.create_service_approval is not None:
        location = ("rules", "create_service_approval", "from")
        yield from _approval(sections, location, rules.create_service_approval, "approve")


def _approval(
    sections: Sections, location: Location, rule: ApprovalSection, permission: str
) -> Iterator[Problem]:
    """The group exists, and its role may approve: otherwise every request would wait until it expires."""
    if sections.roles is None:
        return
    role = BUILT_IN_GROUPS.get(rule.from_, rule.from_)
    if role not in sections.roles:
        if rule.from_ not in BUILT_IN_GROUPS:
            yield sections.unknown(location, rule.from_, [*BUILT_IN_GROUPS, *sections.roles])
    elif not grants(permissions_of(role, sections.roles), permission):
        yield sections.problem(
            location, rule.from_, f"a group that may {permission}; roles.{role}.may does not grant it"
        )


def _prices(sections: Sections) -> Iterator[Problem]:
    prices, names = sections.found.get("prices"), sections.environment_names
    if prices is None or names is None:
        return
    known = [f"service:{one}" for one in names]
    for key in prices.monthly:
        if key.startswith("service:") and key not in known:
            yield sections.unknown(("prices", "monthly", key), key, known)


def _people(sections: Sections) -> Iterator[Problem]:
    people = sections.found.get("people", [])
    yield from _twice(sections, "people", "slack", [one.slack for one in people])
    owners: dict[str, str] = {}
    for index, person in enumerate(people):
        for position, email in enumerate(person.emails):
            if owners.setdefault(email.lower(), person.slack) != person.slack:
                location = ("people", index, "emails", position)
                yield sections.problem(
                    location, email, f"an address of one person; {owners[email.lower()]} has it"
                )


def _golden_paths(sections: Sections) -> Iterator[Problem]:
    yield from _twice(sections, "golden_paths", "", sections.found.get("golden_paths", []))


def _twice(sections: Sections, section: str, key: str, values: list[str | None]) -> Iterator[Problem]:
    for index, value in enumerate(values):
        if value is not None and value in values[:index]:
            location: Location = (section, index, key) if key else (section, index)
            first = values.index(value)
            yield sections.problem(location, value, f"each once; {section}[{first}] has it already")


_CHECKS: tuple[Callable[[Sections], Iterator[Problem]], ...] = (
    _people,
    _roles,
    _permissions,
    _teams,
    _golden_paths,
    _environments,
    _backends_behind_rules,
    _rules,
    _prices,
    _notifications,
)
