"""Who somebody is, now: Slack's answer, joined with platform.yml.

Answers are remembered for a minute, because they are asked for at every command. A decision asks afresh and fails closed: when
Slack does not answer in time, nothing is decided. Who decides at the same moment shares a call that began after all of them asked.
Events throw away what they make old; they may be lost, so nothing relies on them.
Uses users.info, users.lookupByEmail and usergroups.list; knows nothing of requests.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot import access
from bot.access import PLATFORM_ADMIN, TEAM_LEAD
from bot.domain import Actor, PersonEntry, PersonKind, Platform
from bot.errors import BackendErrorKind, TemporaryBackendError, delay_seconds
from bot.pace import WORKSPACE, Pace
from bot.remembered import Remembered

log = structlog.get_logger(__name__)

DEADLINE_SECONDS = 1.5
"""Slack waits three seconds for our acknowledgement; two questions must fit."""
TELLING_SECONDS = 1.0
"""Whom to tell is asked for after who decides, and within the same three seconds."""
PATIENCE_SECONDS = 1.0
"""How long a question waits for its turn where Slack limits; the rest of the deadline is for the answer."""
LOOKUPS_AT_ONCE = 8
"""Addresses of a group that are looked up at the same time; more would look like an attack."""
ACTORS_KEPT = 2000
UNSAID_SECONDS = 1.0
"""How long Slack is left alone after a 429 that does not say for how long."""
_ALL = "all"
_NOT_A_PERSON = frozenset({"user_not_found", "user_not_visible"})
Groups = dict[str, frozenset[str]]
_NO_GROUPS: Groups = {}


@dataclass(frozen=True)
class SlackUser:
    """What users.info says, as far as it matters here. An address that is not confirmed proves nothing."""

    user_id: str
    team_id: str
    name: str
    email: str
    email_confirmed: bool
    kind: PersonKind


def parse_user(user: dict[str, Any], *, home_team_id: str) -> SlackUser:
    """`users.info.user` -> who this is. Shape: docs.slack.dev, "User object"."""
    profile = user.get("profile") or {}
    return SlackUser(
        user_id=user["id"],
        team_id=user.get("team_id", ""),
        name=user.get("real_name") or profile.get("real_name") or user.get("name", user["id"]),
        email=(profile.get("email") or "").lower(),
        email_confirmed=user.get("is_email_confirmed") is True,
        kind=_kind(user, home_team_id),
    )


def _kind(user: dict[str, Any], home_team_id: str) -> PersonKind:
    if user.get("deleted"):
        return PersonKind.DEACTIVATED
    # is_app_user says that a person has authorised the app, not that they are one.
    if user.get("is_bot") or user["id"] == "USLACKBOT":
        return PersonKind.BOT
    if user.get("is_stranger") or user.get("team_id", home_team_id) != home_team_id:
        return PersonKind.EXTERNAL
    if user.get("is_restricted") or user.get("is_ultra_restricted"):
        return PersonKind.GUEST
    return PersonKind.MEMBER


class _HeldBackError(Exception):
    """Slack limits how often it may be asked: not before `seconds` have passed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


_COULD_NOT_ASK = (SlackApiError, aiohttp.ClientError, TimeoutError, _HeldBackError)


class Directory:
    """Answers who somebody is and who is in a group."""

    def __init__(
        self,
        client: AsyncWebClient,
        platform: Platform,
        clock: Callable[[], datetime],
        *,
        pace: Pace | None = None,
    ) -> None:
        self._client = client
        self._platform = platform
        self._pace = pace or Pace(now=time.monotonic)
        self._users: Remembered[SlackUser] = Remembered(
            self._ask_user, clock, turn=lambda: self._turn("users.info")
        )
        self._user_groups: Remembered[Groups] = Remembered(
            self._ask_user_groups, clock, turn=lambda: self._turn("usergroups.list")
        )
        self._addresses: Remembered[tuple[str, ...]] = Remembered(
            self._ask_address, clock, turn=lambda: self._turn("users.lookupByEmail")
        )
        self._lookups = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        self._uses_groups = any(entry.user_group for entry in self._entries())
        self._made: dict[str, tuple[SlackUser, Groups, Actor]] = {}

    async def actor(self, user_id: str, *, fresh: bool = False) -> Actor:
        """The person with teams and roles. Never raises for Slack's failures: an unanswered question gives UNKNOWN."""
        known = None if fresh else self._remembered(user_id)
        if known is not None:
            return known
        try:
            return await self._asked(user_id, fresh=fresh)
        except _COULD_NOT_ASK as error:
            log.warning("people.could_not_ask", user_id=user_id, error=type(error).__name__)
            return self._unknown(user_id)

    async def decider(self, user_id: str) -> Actor:
        """The person as they are now, by answers that were asked for after this.

        Raises TemporaryBackendError where Slack could not be asked: that decides nothing, and denies nothing.
        """
        try:
            return await self._asked(user_id, fresh=True)
        except _COULD_NOT_ASK as error:
            log.warning("people.could_not_ask", user_id=user_id, error=type(error).__name__)
            raise _not_asked(error.seconds if isinstance(error, _HeldBackError) else 0.0) from error

    async def _asked(self, user_id: str, *, fresh: bool) -> Actor:
        async with asyncio.timeout(DEADLINE_SECONDS):
            user, groups = await asyncio.gather(
                self._users.get(user_id, fresh=fresh), self._groups(self._entries(), fresh=fresh)
            )
        return self._actor(user, groups)

    def _remembered(self, user_id: str) -> Actor | None:
        """Of two remembered answers the actor is made once: every command asks for it before its acknowledgement.

        Where there are too many they are all dropped: whoever comes again is made again, and who never does takes no room for ever.
        """
        user = self._users.peek(user_id)
        groups = self._user_groups.peek(_ALL) if self._uses_groups else _NO_GROUPS
        if user is None or groups is None:
            return None
        made = self._made.get(user_id)
        if made is None or made[0] is not user or made[1] is not groups:
            if len(self._made) >= ACTORS_KEPT:
                self._made.clear()
            made = self._made[user_id] = (user, groups, self._actor(user, groups))
        return made[2]

    def _unknown(self, user_id: str) -> Actor:
        return Actor(
            user_id=user_id, team_id=self._platform.slack_team_id, name=user_id, kind=PersonKind.UNKNOWN
        )

    def _actor(self, user: SlackUser, groups: Groups) -> Actor:
        aliases = self._platform.aliases.get(user.user_id, frozenset())
        emails = frozenset({*aliases, *([user.email] if user.email else [])})
        roles: dict[str, str] = {}
        leads = set()
        for team, by_role in self._platform.members.items():
            held = [role for role, entries in by_role.items() if _listed(user, entries, groups)]
            if TEAM_LEAD in held:
                leads.add(team)
            if held:
                roles[team] = self._highest(held)
        admin = _listed(user, self._platform.platform_admins, groups)
        return Actor(
            user_id=user.user_id,
            team_id=user.team_id,
            name=user.name,
            email=user.email,
            emails=emails,
            kind=user.kind,
            teams=frozenset(roles),
            leads=frozenset(leads),
            roles=roles,
            platform_roles=frozenset({PLATFORM_ADMIN} if admin else ()),
        )

    def _highest(self, held: list[str]) -> str:
        """Of several roles in one team, the one with the most permissions."""
        return max(held, key=lambda name: (name == TEAM_LEAD, len(self._platform.roles[name].permissions)))

    def _entries(self) -> list[PersonEntry]:
        entries = list(self._platform.platform_admins)
        for by_role in self._platform.members.values():
            for listed in by_role.values():
                entries += listed
        return entries

    async def _groups(self, entries: Iterable[PersonEntry], *, fresh: bool) -> Groups:
        """Handle -> members, as far as these entries name user groups at all."""
        if not any(entry.user_group for entry in entries):
            return {}
        return await self._user_groups.get(_ALL, fresh=fresh)

    async def group_members(self, group: str) -> list[str]:
        """User ids of a gate's group, for telling them. Empty where Slack does not answer: the channel's card has to do."""
        try:
            async with asyncio.timeout(TELLING_SECONDS):
                return await self._resolve(access.entries(group, self._platform))
        except _COULD_NOT_ASK as error:
            log.warning("people.group_not_resolved", group=group, error=type(error).__name__)
            return []

    async def _resolve(self, entries: Iterable[PersonEntry]) -> list[str]:
        entries = list(entries)
        addresses = [entry.email for entry in entries if entry.email and not entry.user_id]
        groups, found = await asyncio.gather(
            self._groups(entries, fresh=False), asyncio.gather(*map(self._looked_up, addresses))
        )
        by_address = dict(zip(addresses, found, strict=True))
        people: dict[str, None] = {}
        for entry in entries:
            if entry.user_id:
                people[entry.user_id] = None
            elif entry.email:
                people |= dict.fromkeys(by_address[entry.email])
            else:
                people |= dict.fromkeys(sorted(groups.get(entry.user_group, ())))
        return list(people)

    async def _looked_up(self, email: str) -> tuple[str, ...]:
        async with self._lookups:
            return await self._addresses.get(email, fresh=False)

    def forget_user(self, user_id: str) -> None:
        self._users.forget(user_id)

    def forget_groups(self) -> None:
        self._user_groups.forget(_ALL)

    # ------------------------------------------------------------ questions to Slack

    async def _turn(self, method: str) -> None:
        """At once as long as Slack takes everything; by the documented rate for a while after it did not.

        Who comes while a call waits for its turn shares it. Raises _HeldBackError where the turn comes too late for a click.
        """
        seconds = self._pace.take(method, WORKSPACE, patience=PATIENCE_SECONDS)
        if seconds > PATIENCE_SECONDS:
            raise _HeldBackError(seconds)
        await self._pace.sleep(seconds)

    async def _allowed(
        self, method: str, question: Callable[[], Awaitable[AsyncSlackResponse]]
    ) -> AsyncSlackResponse:
        """The answer; after a 429 asked once more when Slack allows it. Raises _HeldBackError where that is too late."""
        try:
            return await self._counted(method, question)
        except _HeldBackError:
            await self._turn(method)
        return await self._counted(method, question)

    async def _counted(
        self, method: str, question: Callable[[], Awaitable[AsyncSlackResponse]]
    ) -> AsyncSlackResponse:
        try:
            return await question()
        except SlackApiError as error:
            if error_code(error) != "ratelimited":
                raise
            seconds = retry_after_seconds(error)
            self._pace.hold(method, WORKSPACE, seconds=seconds)
            raise _HeldBackError(seconds) from error

    async def _ask_user(self, user_id: str) -> SlackUser:
        try:
            answer = await self._allowed("users.info", lambda: self._client.users_info(user=user_id))
        except SlackApiError as error:
            if error_code(error) in _NOT_A_PERSON:
                return SlackUser(user_id, "", user_id, "", email_confirmed=False, kind=PersonKind.EXTERNAL)
            raise
        return parse_user(answer["user"], home_team_id=self._platform.slack_team_id)

    async def _ask_address(self, email: str) -> tuple[str, ...]:
        """The user id behind an address, if there is one. A wrong entry in platform.yml hides nobody else; `check` names it."""
        try:
            answer = await self._allowed(
                "users.lookupByEmail", lambda: self._client.users_lookupByEmail(email=email)
            )
        except SlackApiError as error:
            if error_code(error) == "users_not_found":
                return ()
            raise
        return (answer["user"]["id"],)

    async def _ask_user_groups(self, _key: str) -> Groups:
        """Handle -> members of every user group, in one call: the method allows twenty a minute, and decisions ask afresh.

        Slack keeps the members of a disabled group; it counts as having none.
        """
        answer = await self._allowed(
            "usergroups.list",
            lambda: self._client.usergroups_list(include_users=True, include_disabled=False),
        )
        return {
            group["handle"]: frozenset(group.get("users") or ())
            for group in answer["usergroups"]
            if not group.get("date_delete")
        }


def error_code(error: SlackApiError) -> str:
    """Slack's error code; empty where the answer was none of Slack's, such as a proxy's page."""
    data = getattr(error.response, "data", None)
    return str(data.get("error") or "") if isinstance(data, dict) else ""


def retry_after_seconds(error: SlackApiError) -> float:
    """How long Slack wants to be left alone after a 429; a proxy in between may have lost or changed what it said."""
    headers = getattr(error.response, "headers", None) or {}
    seconds = delay_seconds(str(headers.get("Retry-After", "")))
    return UNSAID_SECONDS if seconds is None else seconds


def _not_asked(held_seconds: float) -> TemporaryBackendError:
    if held_seconds <= 0:
        return TemporaryBackendError(
            "Slack could not be asked who you are; nothing was done.",
            backend="Slack",
            fix="Try again in a moment.",
        )
    seconds = math.ceil(held_seconds)
    return TemporaryBackendError(
        "Slack limits how often it may be asked who you are, and that is used up; nothing was done.",
        backend="Slack",
        kind=BackendErrorKind.RATE_LIMITED,
        retry_after_seconds=seconds,
        fix=f"Try again in {seconds} second{'' if seconds == 1 else 's'}.",
    )


def _listed(user: SlackUser, entries: Iterable[PersonEntry], groups: Groups) -> bool:
    return any(
        entry.user_id == user.user_id
        if entry.user_id
        else (
            user.email_confirmed and entry.email == user.email
            if entry.email
            else user.user_id in groups.get(entry.user_group, ())
        )
        for entry in entries
    )
