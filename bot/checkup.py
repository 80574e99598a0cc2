"""`python -m bot check`: what works, what does not, and the way out. Probes; changes nothing.

Every part is asked with a deadline of its own, and one that fails hides no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent
from typing import Any

import aiohttp
from pydantic import BaseModel
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot import config as configuration
from bot import manifest, registry
from bot.config import Config
from bot.domain import PersonEntry
from bot.errors import ConfigError, InUseError, PlatformError, TemporaryBackendError
from bot.people import error_code
from bot.store import Store
from integrations.ports import BackendModule, Entity, EntityStore, Finding, Surroundings
from integrations.ports.backend import BreakerReport, Guarded

DEADLINE_SECONDS = 20.0


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    part: str
    finding: Finding


async def run(path: Path, environ: Mapping[str, str], write: Callable[[str], object]) -> int:
    """Print the table; 0 when everything works, else 1."""
    rows: list[Row] = []
    try:
        config = configuration.load(path, environ)
        registry.prepare(config)
        registry.load_commands()
    except ConfigError as error:
        rows += [
            Row(
                "configuration",
                Finding(
                    f"{one.file}: {one.path}", ok=False, detail=one.value, fix=f"accepted: {one.accepted}"
                ),
            )
            for one in error.problems
        ]
    except PlatformError as error:
        rows.append(
            Row("configuration", Finding(path.name, ok=False, detail=error.message, fix=error.fix or ""))
        )
    else:
        rows.append(Row("configuration", Finding(path.name, ok=True, detail="valid")))
        rows += await _database_and_backends(config)
        rows += await _slack(config)
    write(table(rows))
    return 0 if all(row.finding.ok for row in rows) else 1


def table(rows: Sequence[Row]) -> str:
    """Aligned text: a mark, the part, the subject, what was found, and below it the way out."""
    width = max(len(row.part) for row in rows)
    subjects = min(max(len(row.finding.subject) for row in rows), 48)
    lines = []
    for row in rows:
        mark = "ok  " if row.finding.ok else "FAIL"
        lines.append(
            f"{mark}  {row.part:<{width}}  {row.finding.subject:<{subjects}}  {row.finding.detail}".rstrip()
        )
        if not row.finding.ok and row.finding.fix:
            lines.append(indent(f"-> {row.finding.fix}", " " * (width + 8)))
    failed = sum(not row.finding.ok for row in rows)
    lines.append("Everything works." if not failed else f"{failed} of {len(rows)} checks failed.")
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------- database and backends


async def _database_and_backends(config: Config) -> list[Row]:
    async with AsyncExitStack() as stack:
        entities: EntityStore = _NoDatabase()
        try:
            store = await stack.enter_async_context(
                Store.open_for_reading(
                    config.secrets.database_url.get_secret_value(), clock=lambda: datetime.now(tz=UTC)
                )
            )
            await store.ping()
        except PlatformError as error:
            rows = [Row("database", Finding("schema", ok=False, detail=error.message, fix=error.fix or ""))]
        else:
            rows = [Row("database", Finding("schema", ok=True, detail="reachable and up to date"))]
            entities = store
        surroundings = Surroundings(
            state_folder=config.state_folder,
            base_folder=config.path.parent,
            entities=entities,
            secrets={name: value.get_secret_value() for name, value in config.secrets.others.items()},
        )
        for port, (module, settings) in registry.prepare(config).items():
            name = f"{port} ({config.integrations[port].use})"
            rows += [Row(name, finding) for finding in await _backend(module, settings, surroundings)]
        return rows


async def _backend(
    module: BackendModule, settings: BaseModel, surroundings: Surroundings
) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(DEADLINE_SECONDS), module.open(settings, surroundings) as backend:
            findings: Sequence[Finding] = await backend.check()
            return [*findings, *breaker_findings(backend, findings)]
    except TimeoutError:
        return [Finding("reach", ok=False, detail=f"no answer within {DEADLINE_SECONDS:g} s")]
    except InUseError as error:
        return [Finding("in use", ok=True, detail=f"{error.message} It was left alone.")]
    except PlatformError as error:
        return [Finding("open", ok=False, detail=error.message, fix=error.fix or "")]


def breaker_findings(backend: object, findings: Sequence[Finding]) -> list[Finding]:
    """How the backend's breaker stands after all of that, unless the backend has told it itself."""
    if not isinstance(backend, Guarded) or any(one.subject == "breaker" for one in findings):
        return []
    state = backend.breaker_state()
    left_alone = isinstance(state, BreakerReport) and state.seconds_left > 0
    return [
        Finding(
            "breaker",
            ok=not left_alone,
            detail=state,
            fix="It closes by itself with the first answer; the lines above say what is wrong.",
        )
    ]


class _NoDatabase:
    """In the place of a database that cannot be opened, so that backends that need none are checked all the same."""

    async def put_entity(self, entity: Entity) -> None:
        raise _no_database(entity.name)

    async def find_entity(self, name: str) -> Entity | None:
        raise _no_database(name)

    async def search_entities(self, text: str, *, limit: int) -> Sequence[Entity]:
        raise _no_database(f"{limit} of “{text}”")

    async def delete_entity(self, name: str) -> None:
        raise _no_database(name)


def _no_database(wanted: str) -> TemporaryBackendError:
    return TemporaryBackendError(f"no database to look for {wanted}", backend="database")


# ---------------------------------------------------------------- Slack


async def _slack(config: Config) -> list[Row]:
    try:
        config.secrets.require_slack(app_token=False)
    except ConfigError as error:
        return [
            Row("slack", Finding(one.path, ok=False, detail=one.value, fix=f"accepted: {one.accepted}"))
            for one in error.problems
        ]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_SECONDS)) as session:
        client = AsyncWebClient(
            token=config.secrets.slack_bot_token.get_secret_value(),
            base_url=config.secrets.slack_api_url,
            session=session,
            retry_handlers=[],
        )
        identity = await _asked("bot token", _identity(client, config))
        rows = list(identity)
        if all(finding.ok for finding in identity):
            rows += await _asked("app token", _app_token(client, config))
            rows += await _asked("channels", _channels(client, config))
            rows += await _asked("people", _people(client, config))
    return [Row("slack", finding) for finding in rows]


async def _asked(subject: str, question: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        return await question
    except SlackApiError as error:
        return [
            Finding(subject, ok=False, detail=_said(error), fix="docs/slack.md says how to set the app up.")
        ]
    except (aiohttp.ClientError, TimeoutError) as error:
        return [
            Finding(
                subject, ok=False, detail=type(error).__name__, fix="Check SLACK_API_URL and the network."
            )
        ]


async def _identity(client: AsyncWebClient, config: Config) -> list[Finding]:
    answer = await client.auth_test()
    home = answer["team_id"] == config.platform.slack_team_id
    granted = {one.strip() for one in answer.headers.get("x-oauth-scopes", "").split(",") if one.strip()}
    missing = sorted(set(manifest.SCOPES) - granted)
    return [
        Finding("bot token", ok=True, detail=f"{answer['user']} in {answer['team']}"),
        Finding(
            "workspace",
            ok=home,
            detail=answer["team_id"],
            fix=f"platform.yml says slack.team_id: {config.platform.slack_team_id}",
        ),
        Finding(
            "scopes",
            ok=not missing,
            detail=f"missing: {', '.join(missing)}" if missing else f"all {len(manifest.SCOPES)} granted",
            fix="Add them under OAuth & Permissions and install the app again.",
        ),
    ]


async def _app_token(client: AsyncWebClient, config: Config) -> list[Finding]:
    token = config.secrets.slack_app_token.get_secret_value()
    if not token:
        return [Finding("app token", ok=True, detail="not set: HTTP mode only")]
    await client.apps_connections_open(app_token=token)
    return [Finding("app token", ok=True, detail="Socket Mode can connect")]


async def _channels(client: AsyncWebClient, config: Config) -> list[Finding]:
    wanted = {team.channel_id for team in config.platform.teams.values()}
    for team in config.platform.teams.values():
        wanted |= set(team.deploy_channel_ids.values())
    findings = []
    for channel in sorted(wanted):
        try:
            info = (await client.conversations_info(channel=channel))["channel"]
        except SlackApiError as error:
            findings.append(
                Finding(
                    f"channel {channel}",
                    ok=False,
                    detail=_said(error),
                    fix="Correct the id in platform.yml; a private channel needs /invite @platform.",
                )
            )
            continue
        findings.append(_channel(info))
    return findings


def _channel(info: Mapping[str, Any]) -> Finding:
    subject = f"channel #{info['name']}"
    if info.get("is_archived"):
        return Finding(subject, ok=False, detail="archived", fix="Name another channel in platform.yml.")
    if not info.get("is_member"):
        return Finding(subject, ok=False, detail="the bot is not in it", fix="Type /invite @platform there.")
    shared = info.get("is_ext_shared") or info.get("is_pending_ext_shared")
    return Finding(
        subject, ok=True, detail="joined; people of another company read it, too" if shared else "joined"
    )


def _entries(config: Config) -> Iterator[tuple[str, PersonEntry]]:
    for entry in config.platform.platform_admins:
        yield "platform_admins", entry
    for team, by_role in config.platform.members.items():
        for role, entries in by_role.items():
            for entry in entries:
                yield f"teams.{team}.members.{role}", entry


async def _people(client: AsyncWebClient, config: Config) -> list[Finding]:
    """Only what cannot be found is listed: a big platform names many people."""
    groups = {group["handle"] for group in (await client.usergroups_list())["usergroups"]}
    findings = []
    count = 0
    for where, entry in _entries(config):
        count += 1
        problem = await _unresolved(client, entry, groups)
        if problem:
            findings.append(
                Finding(f"{where}: {entry}", ok=False, detail=problem, fix="Correct it in platform.yml.")
            )
    return findings or [Finding("people", ok=True, detail=f"all {count} entries found")]


async def _unresolved(client: AsyncWebClient, entry: PersonEntry, groups: set[str]) -> str:
    if entry.user_group:
        return "" if entry.user_group in groups else "no such user group, or it is disabled"
    try:
        if entry.email:
            user = (await client.users_lookupByEmail(email=entry.email))["user"]
        else:
            user = (await client.users_info(user=entry.user_id))["user"]
    except SlackApiError as error:
        return _said(error)
    if entry.email and not user.get("is_email_confirmed"):
        return "Slack has not confirmed this address, so it proves nothing"
    return "the account is deactivated" if user.get("deleted") else ""


def _said(error: SlackApiError) -> str:
    code = error_code(error)
    return f"Slack says {code}" if code else "the answer was none of Slack's"
