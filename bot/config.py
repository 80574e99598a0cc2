"""Configuration: platform.yml and the environment -> frozen values, or every problem at once.

Secrets come from the environment, or from files it names (`SLACK_BOT_TOKEN_FILE`), and are never in platform.yml. What a backend
makes of its own settings is judged by `bot.registry`, in the same form.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from bot import config_file
from bot.config_file import Document, Location
from bot.config_model import ApprovalSection, BackendSection, File, TeamSection, seconds
from bot.domain import ApprovalRule, Environment, PersonEntry, Platform, Role, Team
from bot.errors import ConfigError, Problem

SLACK_API_URL = "https://slack.com/api/"
STATE_FOLDER = "var"
OWN_SECRETS = ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET", "DATABASE_URL")
_BUILT_IN_GROUPS = ("team_leads", "platform_admins")


@dataclass(frozen=True)
class Secrets:
    """What only the environment knows. `repr` shows nothing of it."""

    slack_bot_token: SecretStr
    slack_app_token: SecretStr
    slack_signing_secret: SecretStr
    database_url: SecretStr
    slack_api_url: str
    others: Mapping[str, SecretStr]
    """What backends may look up by the names in their settings."""

    def require_slack(self, *, app_token: bool) -> None:
        """Raises ConfigError naming every missing variable."""
        wanted = {
            "SLACK_BOT_TOKEN": (self.slack_bot_token, "the bot token (xoxb-…)"),
            "SLACK_SIGNING_SECRET": (self.slack_signing_secret, "the signing secret of the app"),
        }
        if app_token:
            wanted["SLACK_APP_TOKEN"] = (
                self.slack_app_token,
                "an app-level token with connections:write (xapp-…)",
            )
        missing = [
            Problem("environment", name, "not set", f"{what}, or {name}_FILE naming a file")
            for name, (value, what) in wanted.items()
            if not value.get_secret_value()
        ]
        if missing:
            raise ConfigError(missing)


@dataclass(frozen=True)
class Config:
    """Everything the bot is told at its start. `document` places errors that backends find in their settings."""

    platform: Platform
    integrations: Mapping[str, BackendSection]
    secrets: Secrets
    state_folder: Path
    path: Path
    document: Document


def json_schema() -> dict[str, Any]:
    """JSON Schema of platform.yml, for editors."""
    schema = File.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "platform.yml of platform-bot",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Raises ConfigError with every problem at once."""
    document = config_file.read(path)
    problems: list[Problem] = []
    file: File | None = None
    try:
        file = File.model_validate(document.data)
    except ValidationError as error:
        problems += [_problem(document, one) for one in error.errors()]
    if file is not None:
        problems += _cross_references(document, file)
    state_folder = Path(environ.get("PLATFORM_STATE", "") or STATE_FOLDER)
    secrets, missing = _secrets(environ, state_folder)
    problems += missing
    if file is None or problems:
        raise ConfigError(problems)
    return Config(
        platform=_platform(file),
        integrations={
            name: getattr(file.integrations, name) for name in type(file.integrations).model_fields
        },
        secrets=secrets,
        state_folder=state_folder.absolute(),
        path=path.absolute(),
        document=document,
    )


# ---------------------------------------------------------------- secrets


def _secrets(environ: Mapping[str, str], state_folder: Path) -> tuple[Secrets, list[Problem]]:
    """Every variable ending in _FILE names a file that holds the value of the variable without it."""
    values = dict(environ)
    problems = []
    for name, file in environ.items():
        bare = name.removesuffix("_FILE")
        if bare == name or not file or (bare not in OWN_SECRETS and bare in environ):
            continue
        try:
            values[bare] = Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            if bare in OWN_SECRETS:
                problems.append(
                    Problem(
                        "environment",
                        name,
                        error.strerror or "cannot be read",
                        "a file that holds the secret",
                    )
                )
    default_database = f"sqlite:///{state_folder.absolute() / 'platform.db'}"
    api_url = values.get("SLACK_API_URL") or SLACK_API_URL
    return Secrets(
        slack_bot_token=SecretStr(values.get("SLACK_BOT_TOKEN", "")),
        slack_app_token=SecretStr(values.get("SLACK_APP_TOKEN", "")),
        slack_signing_secret=SecretStr(values.get("SLACK_SIGNING_SECRET", "")),
        database_url=SecretStr(values.get("DATABASE_URL") or default_database),
        slack_api_url=api_url if api_url.endswith("/") else api_url + "/",
        others={name: SecretStr(value) for name, value in values.items() if name not in OWN_SECRETS},
    ), problems


# ---------------------------------------------------------------- problems


def _problem(document: Document, error: Any) -> Problem:
    location: Location = tuple(part for part in error["loc"] if part != "[key]")
    where = document.place(location)
    if error["type"] == "missing":
        return Problem(document.file, where, "missing", _expected(location))
    if error["type"] == "extra_forbidden":
        known = _keys_beside(location)
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return Problem(document.file, where, "unknown key", hint + ", ".join(known))
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("accepted: ")
    return Problem(document.file, where, _shown(error.get("input")), message)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:79] + "…"


def _keys_beside(location: Location) -> list[str]:
    """The keys that are accepted where an unknown one stands."""
    schema = File.model_json_schema(by_alias=True)
    node: Any = schema
    for part in location[:-1]:
        node = _resolve(schema, node)
        if isinstance(part, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(part) or node.get("additionalProperties") or {}
    return list(_resolve(schema, node).get("properties", {}))


def _resolve(schema: Mapping[str, Any], node: Any) -> Any:
    node = next((one for one in node.get("anyOf", []) if "$ref" in one), node)
    if "$ref" in node:
        return schema["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def _expected(location: Location) -> str:
    schema = File.model_json_schema(by_alias=True)
    node: Any = schema
    for part in location:
        node = _resolve(schema, node)
        node = (
            node.get("items", {})
            if isinstance(part, int)
            else node.get("properties", {}).get(part) or node.get("additionalProperties") or {}
        )
    return str(node.get("description") or _resolve(schema, node).get("description") or "a value").rstrip(".")


def _cross_references(document: Document, file: File) -> Iterator[Problem]:
    """What is well-formed alone but does not fit together."""

    def wrong(location: Location, value: object, accepted: str) -> Problem:
        return Problem(document.file, document.place(location), _shown(value), accepted)

    roles, environments = list(file.roles), [one.name for one in file.environments]
    for name, role in file.roles.items():
        if role.includes is not None and role.includes not in file.roles:
            yield wrong(("roles", name, "includes"), role.includes, f"a role: {', '.join(roles)}")
        elif _includes_itself(file, name):
            yield wrong(
                ("roles", name, "includes"), role.includes, "roles that do not include each other in a circle"
            )
    for name, team in file.teams.items():
        for role_name in team.members:
            if role_name not in file.roles:
                yield wrong(("teams", name, "members", role_name), role_name, f"a role: {', '.join(roles)}")
        for environment in team.notifications.deployments:
            if environment not in environments:
                yield wrong(
                    ("teams", name, "notifications", "deployments", environment),
                    environment,
                    ", ".join(environments),
                )
    for environment in file.notifications.deployments:
        if environment not in environments:
            yield wrong(("notifications", "deployments", environment), environment, ", ".join(environments))
    yield from _environment_problems(document, file)
    rule = file.rules.create_service_approval
    if rule is not None and rule.from_ not in (*_BUILT_IN_GROUPS, *roles):
        yield wrong(
            ("rules", "create_service_approval", "from"), rule.from_, ", ".join((*_BUILT_IN_GROUPS, *roles))
        )


def _environment_problems(document: Document, file: File) -> Iterator[Problem]:
    groups = (*_BUILT_IN_GROUPS, *file.roles)
    seen: set[str] = set()
    for index, environment in enumerate(file.environments):
        at: Location = ("environments", index)
        if environment.name in seen:
            yield Problem(
                document.file,
                document.place((*at, "name")),
                _shown(environment.name),
                "each environment once",
            )
        seen.add(environment.name)
        if index == 0 and not environment.follows:
            yield Problem(
                document.file,
                document.place(at),
                "follows nothing",
                "follows: BRANCH, for the first environment",
            )
        if index > 0 and environment.follows:
            yield Problem(
                document.file,
                document.place((*at, "follows")),
                _shown(environment.follows),
                "nothing: only the first environment follows a branch, the others move by promotion",
            )
        approval = environment.approval
        if approval is not None and approval.from_ not in groups:
            yield Problem(
                document.file,
                document.place((*at, "approval", "from")),
                _shown(approval.from_),
                ", ".join(groups),
            )


def _includes_itself(file: File, name: str) -> bool:
    seen = {name}
    current = file.roles[name].includes
    while current is not None and current in file.roles:
        if current in seen:
            return True
        seen.add(current)
        current = file.roles[current].includes
    return False


# ---------------------------------------------------------------- values


def _platform(file: File) -> Platform:
    environments = tuple(
        Environment(
            name=one.name,
            title=one.title or one.name.capitalize(),
            position=index,
            follows=one.follows,
            release_ref=one.release_ref,
            approval=_approval(one.approval),
        )
        for index, one in enumerate(file.environments)
    )
    rules = file.model_dump(mode="json", include={"roles", "environments", "rules"})
    return Platform(
        name=file.platform.name,
        slack_team_id=file.slack.team_id,
        teams={name: _team(name, team, file.notifications.deployments) for name, team in file.teams.items()},
        members={
            name: {role: tuple(_entry(one) for one in listed) for role, listed in team.members.items()}
            for name, team in file.teams.items()
        },
        platform_admins=tuple(_entry(one) for one in file.platform_admins),
        aliases={one.slack: frozenset(email.lower() for email in one.emails) for one in file.people},
        roles={name: Role(name, role.title, _permissions(file, name)) for name, role in file.roles.items()},
        environments=environments,
        golden_paths=tuple(file.golden_paths),
        reserved_names=frozenset(file.rules.reserved_names),
        prices=file.prices.monthly,
        currency=file.prices.currency,
        request_ttl_seconds=seconds(file.rules.request_expires_after),
        proposal_ttl_seconds=seconds(file.rules.proposal_expires_after),
        create_needs_approval=_approval(file.rules.create_service_approval),
        version=hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest(),
    )


def _team(name: str, team: TeamSection, common: Mapping[str, str]) -> Team:
    return Team(
        name=name,
        title=team.title,
        channel_id=team.channel,
        deploy_channel_ids={**common, **team.notifications.deployments},
    )


def _permissions(file: File, name: str) -> frozenset[str]:
    role = file.roles[name]
    inherited = _permissions(file, role.includes) if role.includes else frozenset[str]()
    return inherited | frozenset(role.may)


def _approval(section: ApprovalSection | None) -> ApprovalRule | None:
    if section is None:
        return None
    return ApprovalRule(
        group=section.from_,
        count=section.count,
        exclude_requester=section.exclude_requester,
        exclude_commit_authors=section.exclude_commit_authors,
    )


def _entry(text: str) -> PersonEntry:
    if text.startswith("@"):
        return PersonEntry(user_group=text[1:])
    if "@" in text:
        return PersonEntry(email=text.lower())
    return PersonEntry(user_id=text)
