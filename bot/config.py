"""Configuration: platform.yml and the environment -> frozen values, or every problem at once.

Secrets come from the environment, or from files it names (`SLACK_BOT_TOKEN_FILE`), and are never in platform.yml. What a backend
makes of its own settings is judged by `bot.registry`, in the same form.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import SecretStr, TypeAdapter, ValidationError

from bot import config_file
from bot.config_file import Document, Location, nearest, shown
from bot.config_links import Sections, check_links, permissions_of
from bot.config_model import ApprovalSection, BackendSection, File, TeamSection, WatchSection, seconds
from bot.domain import ApprovalRule, Environment, EvidenceRule, PersonEntry, Platform, Role, Team, WatchRule
from bot.errors import ConfigError, Problem

SLACK_API_URL = "https://slack.com/api/"
STATE_FOLDER = "var"
_FORMS = {
    "SLACK_BOT_TOKEN": (r"xoxb-\S+", "the bot token, which begins with xoxb-"),
    "SLACK_APP_TOKEN": (r"xapp-\S+", "an app-level token with connections:write, which begins with xapp-"),
    "SLACK_SIGNING_SECRET": (r"\S+", "the signing secret of the app"),
    "DATABASE_URL": (
        r"(?:sqlite(?:\+aiosqlite)?|postgres|postgresql(?:\+asyncpg)?)://.+",
        "sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME",
    ),
    "SLACK_API_URL": (r"https?://\S+", "an address such as https://slack.com/api/"),
}
"""Variable -> its form, and that form in words."""
OWN_SECRETS = tuple(name for name in _FORMS if name != "SLACK_API_URL")


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
            "SLACK_BOT_TOKEN": self.slack_bot_token,
            "SLACK_SIGNING_SECRET": self.slack_signing_secret,
        }
        if app_token:
            wanted["SLACK_APP_TOKEN"] = self.slack_app_token
        missing = [
            Problem(
                "environment", name, "not set", f"{_FORMS[name][1]}; or {name}_FILE naming a file with it"
            )
            for name, value in wanted.items()
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
    file, problems = _validate(document)
    state_folder = Path(environ.get("PLATFORM_STATE", "") or STATE_FOLDER)
    secrets, missing = _secrets(environ, state_folder)
    problems += missing
    if file is None or problems:
        raise ConfigError(problems)
    return Config(
        platform=_platform(file),
        integrations={
            name: section
            for name in type(file.integrations).model_fields
            if (section := getattr(file.integrations, name)) is not None
        },
        secrets=secrets,
        state_folder=state_folder.absolute(),
        path=path.absolute(),
        document=document,
    )


def _validate(document: Document) -> tuple[File | None, list[Problem]]:
    """First each section for itself, then how those that are well formed belong together."""
    problems = list(document.problems)
    file: File | None = None
    broken: set[Any] = set()
    try:
        file = File.model_validate(document.data)
    except ValidationError as error:
        broken = {one["loc"][0] for one in error.errors()}
        problems += [_problem(document, one) for one in error.errors()]
    kinds = get_type_hints(File)
    whole = {
        name: TypeAdapter(kinds[name]).validate_python(value)
        for name, value in document.data.items()
        if name in kinds and name not in broken
    }
    return file, problems + check_links(Sections(document, whole))


# ---------------------------------------------------------------- secrets


def _secrets(environ: Mapping[str, str], state_folder: Path) -> tuple[Secrets, list[Problem]]:
    """Every variable ending in _FILE names a file that holds the value of the variable without it."""
    values, problems = dict(environ), []
    for name in sorted(environ):
        bare = name.removesuffix("_FILE")
        if bare == name or not environ[name] or (bare not in OWN_SECRETS and bare in environ):
            continue
        if environ.get(bare):
            problems.append(Problem("environment", bare, f"is set, and so is {name}", "one of the two"))
            continue
        try:
            values[bare] = Path(environ[name]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            # Not every variable of this form is ours: SSL_CERT_FILE names no secret of anybody.
            if bare in OWN_SECRETS:
                reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
                problems.append(Problem("environment", name, reason or "cannot be read", _FORMS[bare][1]))
    problems += [
        Problem("environment", name, "does not look like one (what it holds is not shown)", accepted)
        for name, (form, accepted) in _FORMS.items()
        if values.get(name) and not re.fullmatch(form, values[name])
    ]
    default_database = f"sqlite:///{state_folder.absolute() / 'platform.db'}"
    api_url = values.get("SLACK_API_URL") or SLACK_API_URL
    return Secrets(
        slack_bot_token=SecretStr(values.get("SLACK_BOT_TOKEN", "")),
        slack_app_token=SecretStr(values.get("SLACK_APP_TOKEN", "")),
        slack_signing_secret=SecretStr(values.get("SLACK_SIGNING_SECRET", "")),
        database_url=SecretStr(values.get("DATABASE_URL") or default_database),
        # slack_sdk appends the method's name to it as it stands.
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
        return Problem(document.file, where, "unknown key", nearest(str(location[-1]), known))
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("accepted: ")
    return Problem(document.file, where, shown(error.get("input")), message)


def _keys_beside(location: Location) -> list[str]:
    """The keys that are accepted where an unknown one stands."""
    return list(_resolve(_schema_at(location[:-1])).get("properties", {}))


def _expected(location: Location) -> str:
    node = _schema_at(location)
    return str(node.get("description") or _resolve(node).get("description") or "a value").rstrip(".")


@cache
def _schema() -> dict[str, Any]:
    """Made once: it takes longer than all else that a report of many problems needs."""
    return json_schema()


def _schema_at(location: Location) -> Mapping[str, Any]:
    """The part of the JSON Schema that describes a place in the file; empty where it knows no such place."""
    node: Mapping[str, Any] = _schema()
    for part in location:
        node = _resolve(node)
        if isinstance(part, int):
            node = node.get("items", {})
            continue
        by_pattern: Mapping[str, Any] = next(iter(node.get("patternProperties", {}).values()), {})
        node = node.get("properties", {}).get(part) or node.get("additionalProperties") or by_pattern
    return node


def _resolve(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Through `$ref`, and past what else an optional section may be."""
    node = next((one for one in node.get("anyOf", []) if "$ref" in one), node)
    return _schema()["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node


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
            evidence=EvidenceRule(**one.evidence.model_dump()) if one.evidence else None,
            watch=_watch(one.watch),
        )
        for index, one in enumerate(file.environments)
    )
    rules = file.model_dump(mode="json", include={"roles", "environments", "rules", "golden_paths", "prices"})
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
        roles={
            name: Role(name, role.title, permissions_of(name, file.roles))
            for name, role in file.roles.items()
        },
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


def _approval(section: ApprovalSection | None) -> ApprovalRule | None:
    if section is None:
        return None
    return ApprovalRule(
        group=section.from_,
        count=section.count,
        exclude_requester=section.exclude_requester,
        exclude_commit_authors=section.exclude_commit_authors,
    )


def _watch(section: WatchSection | None) -> WatchRule | None:
    if section is None:
        return None
    return WatchRule(
        seconds=seconds(section.for_),
        success_ratio=section.success_ratio,
        latency_seconds=section.latency_seconds,
    )


def _entry(text: str) -> PersonEntry:
    if text.startswith("@"):
        return PersonEntry(user_group=text[1:])
    if "@" in text:
        return PersonEntry(email=text.lower())
    return PersonEntry(user_id=text)
