"""Who somebody is now: Slack's answer and platform.yml, against the playground's Web API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import people_made as made
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.domain import PersonEntry, PersonKind, Platform
from bot.errors import TemporaryBackendError
from bot.pace import Pace
from bot.people import ACTORS_KEPT, LOOKUPS_AT_ONCE, Directory, parse_user, retry_after_seconds
from playground.server import Playground

MANIFEST = {
    "display_information": {"name": "Platform"},
    "features": {"bot_user": {"display_name": "platform"}},
    "oauth_config": {"scopes": {"bot": ["users:read", "users:read.email", "usergroups:read"]}},
    "settings": {"socket_mode_enabled": True},
}
ROLES = {
    "team_lead": (PersonEntry(user_group="orders-leads"),),
    "senior_developer": (PersonEntry(email="omar@example.com"),),
    "developer": (
        PersonEntry(user_id="UALICE0001"),
        PersonEntry(user_id="UGRACE0001"),
        PersonEntry(user_id="WQUINN0001"),
        PersonEntry(user_group="old-crew"),
    ),
}


@dataclass
class Stage:
    """A running workspace, and a directory whose clock the test moves."""

    slack: Playground
    client: AsyncWebClient
    now: datetime = made.NOW

    def directory(self, platform: Platform | None = None, *, pace: Pace | None = None) -> Directory:
        chosen = platform or replace(
            made.example_platform(), members={**made.example_platform().members, "orders": ROLES}
        )
        return Directory(self.client, chosen, lambda: self.now, pace=pace)

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def asked(self, method: str) -> int:
        return len(self.slack.calls(method))


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Playground(MANIFEST) as slack:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, retry_handlers=[])
        yield Stage(slack, client)


# ---------------------------------------------------------------- who somebody is


@pytest.mark.parametrize(
    ("user_id", "kind"),
    [
        ("UALICE0001", PersonKind.MEMBER),
        ("WQUINN0001", PersonKind.MEMBER),
        ("UNOEL00001", PersonKind.MEMBER),
        ("UGRACE0001", PersonKind.GUEST),
        ("UMIA000001", PersonKind.GUEST),
        ("UEVE000001", PersonKind.EXTERNAL),
        ("UDAN000001", PersonKind.DEACTIVATED),
        ("UCIBOT0001", PersonKind.BOT),
        ("USLACKBOT", PersonKind.BOT),
        ("UNOBODY999", PersonKind.EXTERNAL),
    ],
)
async def test_every_kind_of_account_is_told_apart(stage: Stage, user_id: str, kind: PersonKind) -> None:
    assert (await stage.directory().actor(user_id)).kind is kind


@pytest.mark.parametrize(
    ("user_id", "role", "leads"),
    [
        ("UALICE0001", "developer", False),
        ("UOMAR00001", "senior_developer", False),
        ("ULENA00001", "team_lead", True),
        ("UNOEL00001", None, False),
    ],
)
async def test_roles_come_from_ids_addresses_and_user_groups(
    stage: Stage, user_id: str, role: str | None, leads: bool
) -> None:
    actor = await stage.directory().actor(user_id)
    assert actor.roles.get("orders") == role
    assert actor.leads == frozenset({"orders"} if leads else ())


async def test_a_platform_admin_is_one_everywhere(stage: Stage) -> None:
    actor = await stage.directory().actor("USAM000001")
    assert actor.platform_roles == {"platform_admin"}
    assert actor.teams == frozenset()


async def test_who_holds_two_roles_acts_in_the_one_that_may_more(stage: Stage) -> None:
    both = {**ROLES, "developer": (PersonEntry(user_id="ULENA00001"),)}
    platform = replace(made.example_platform(), members={"orders": both})
    assert (await stage.directory(platform).actor("ULENA00001")).roles == {"orders": "team_lead"}


async def test_addresses_of_platform_yml_and_of_slack_are_the_same_person(stage: Stage) -> None:
    actor = await stage.directory().actor("UALICE0001")
    assert actor.emails == {"alice@example.com", "alice@users.example.com"}


async def test_members_of_a_disabled_user_group_hold_nothing(stage: Stage) -> None:
    assert "orders" not in (await stage.directory().actor("UPAUL00001")).teams


def user(**changes: Any) -> dict[str, Any]:
    profile = {"email": "Omar@Example.com", "real_name": "Omar Osman"}
    return {
        "id": "UOMAR00001",
        "team_id": "TACME00001",
        "is_email_confirmed": True,
        "profile": profile,
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"is_app_user": True}, PersonKind.MEMBER),
        ({"is_stranger": True}, PersonKind.EXTERNAL),
        ({"team_id": "TOTHER0001"}, PersonKind.EXTERNAL),
        ({"team_id": "TOTHER0001", "is_restricted": True}, PersonKind.EXTERNAL),
        ({"is_ultra_restricted": True}, PersonKind.GUEST),
        ({"deleted": True, "is_bot": True}, PersonKind.DEACTIVATED),
        ({"is_bot": True}, PersonKind.BOT),
    ],
)
def test_slacks_flags_are_read_from_the_strictest_side(changes: dict[str, Any], kind: PersonKind) -> None:
    assert parse_user(user(**changes), home_team_id="TACME00001").kind is kind


@pytest.mark.parametrize(("confirmed", "proves"), [(True, True), (False, False), (None, False)])
def test_only_a_confirmed_address_proves_who_somebody_is(confirmed: bool | None, proves: bool) -> None:
    found = parse_user(user(is_email_confirmed=confirmed), home_team_id="TACME00001")
    assert found.email == "omar@example.com"
    assert found.email_confirmed is proves


# ---------------------------------------------------------------- asking again


async def test_an_answer_is_good_for_a_minute(stage: Stage) -> None:
    directory = stage.directory()
    for _ in range(3):
        await directory.actor("ULENA00001")
    assert (stage.asked("users.info"), stage.asked("usergroups.list")) == (1, 1)
    stage.later(61)
    await directory.actor("ULENA00001")
    assert (stage.asked("users.info"), stage.asked("usergroups.list")) == (2, 2)


async def test_many_at_once_ask_slack_once(stage: Stage) -> None:
    directory = stage.directory()
    await asyncio.gather(*(directory.actor("ULENA00001") for _ in range(20)))
    assert (stage.asked("users.info"), stage.asked("usergroups.list")) == (1, 1)


async def test_a_decision_sees_who_was_removed_a_moment_ago(stage: Stage) -> None:
    directory = stage.directory()
    assert (await directory.actor("ULENA00001")).leads
    stage.slack.remove_from_group("orders-leads", "ULENA00001")
    assert not (await directory.actor("ULENA00001", fresh=True)).leads


async def test_a_decision_sees_who_was_deactivated_and_which_group_was_disabled(stage: Stage) -> None:
    directory = stage.directory()
    await directory.actor("ULENA00001")
    stage.slack.disable_group("orders-leads")
    assert not (await directory.actor("ULENA00001", fresh=True)).leads
    stage.slack.deactivate("ULENA00001")
    assert (await directory.actor("ULENA00001", fresh=True)).kind is PersonKind.DEACTIVATED


async def test_an_event_makes_the_next_answer_new(stage: Stage) -> None:
    directory = stage.directory()
    await directory.actor("ULENA00001")
    stage.slack.remove_from_group("orders-leads", "ULENA00001")
    assert (await directory.actor("ULENA00001")).leads
    directory.forget_groups()
    assert not (await directory.actor("ULENA00001")).leads
    stage.slack.deactivate("ULENA00001")
    directory.forget_user("ULENA00001")
    assert (await directory.actor("ULENA00001")).kind is PersonKind.DEACTIVATED


async def test_a_file_without_user_groups_asks_for_none(stage: Stage) -> None:
    platform = replace(
        made.example_platform(),
        members={"orders": {"developer": (PersonEntry(user_id="UALICE0001"),)}},
        platform_admins=(PersonEntry(user_id="USAM000001"),),
    )
    await stage.directory(platform).actor("UALICE0001", fresh=True)
    assert stage.asked("usergroups.list") == 0


async def test_fifty_people_who_decide_at_once_cost_few_calls(stage: Stage) -> None:
    directory = stage.directory()
    people = ["UALICE0001", "UOMAR00001", "ULENA00001", "USAM000001", "UNOEL00001"] * 10
    found = await asyncio.gather(*(directory.decider(one) for one in people))
    assert {one.user_id for one in found if one.leads} == {"ULENA00001"}
    assert (stage.asked("users.info"), stage.asked("usergroups.list")) == (5, 1)


async def test_a_decision_joins_no_question_that_was_asked_before_it(stage: Stage) -> None:
    directory = stage.directory()
    stage.slack.fail_call("usergroups.list", "hang", times=1)
    before = asyncio.create_task(directory.actor("ULENA00001", fresh=True))
    await stage.slack.until(lambda: stage.asked("usergroups.list") == 1, what="the first question")
    stage.slack.remove_from_group("orders-leads", "ULENA00001")
    assert not (await directory.decider("ULENA00001")).leads
    assert stage.asked("usergroups.list") == 2
    assert (await before).kind is PersonKind.UNKNOWN


async def test_of_two_decisions_the_one_after_the_removal_sees_it(stage: Stage) -> None:
    directory = stage.directory()
    assert (await directory.decider("ULENA00001")).leads
    stage.slack.remove_from_group("orders-leads", "ULENA00001")
    assert not (await directory.decider("ULENA00001")).leads


# ---------------------------------------------------------------- Slack in trouble


@pytest.mark.parametrize("method", ["users.info", "usergroups.list"])
@pytest.mark.parametrize(
    "fault", ["ratelimited", "http_error", "html_502", "hang", "reset", "lost_answer", "error"]
)
async def test_who_cannot_be_asked_is_unknown_and_holds_nothing(
    stage: Stage, method: str, fault: Any
) -> None:
    directory = stage.directory()
    assert (await directory.actor("ULENA00001")).leads
    # More than once, because aiohttp repeats a read whose connection broke.
    stage.slack.fail_call(method, fault, times=9)
    actor = await directory.actor("ULENA00001", fresh=True)
    assert actor.kind is PersonKind.UNKNOWN
    assert (actor.leads, actor.teams, actor.platform_roles) == (frozenset(), frozenset(), frozenset())


async def test_a_short_limit_is_waited_for(stage: Stage) -> None:
    passed = Passing()
    directory = stage.directory(pace=Pace(now=passed, sleep=passed.sleep))
    stage.slack.fail_call("usergroups.list", "ratelimited", times=1, retry_after_seconds=1)
    assert (await directory.decider("ULENA00001")).leads
    assert passed.waits == [1.0]


@pytest.mark.parametrize("method", ["users.info", "usergroups.list"])
async def test_a_long_limit_decides_nothing_says_when_and_asks_nothing_until_then(
    stage: Stage, method: str
) -> None:
    passed = Passing()
    directory = stage.directory(pace=Pace(now=passed, sleep=passed.sleep))
    stage.slack.fail_call(method, "ratelimited", times=1, retry_after_seconds=30)
    for seconds in (30, 20):
        with pytest.raises(TemporaryBackendError) as refused:
            await directory.decider("ULENA00001")
        assert f"nothing was done. Try again in {seconds} seconds." in refused.value.sentence
        assert refused.value.retry_after_seconds == seconds
        passed.now += 10
    assert stage.asked(method) == 1
    passed.now += 10
    assert (await directory.decider("ULENA00001")).leads


async def test_after_a_limit_decisions_keep_the_documented_rate_and_share_what_it_allows(
    stage: Stage,
) -> None:
    passed = Passing()
    directory = stage.directory(pace=Pace(now=passed, sleep=passed.sleep))
    stage.slack.fail_call("usergroups.list", "ratelimited", times=1, retry_after_seconds=1)
    await directory.decider("ULENA00001")
    with pytest.raises(TemporaryBackendError, match="limits how often") as refused:
        await directory.decider("ULENA00001")
    assert refused.value.retry_after_seconds == 3
    passed.now += 2.5
    found = await asyncio.gather(*(directory.decider("ULENA00001") for _ in range(20)))
    assert all(one.leads for one in found)
    assert (
        stage.asked("usergroups.list") == 3
    )  # The one that was refused, the one after it, and one for all twenty.


@dataclass
class Passing:
    """Monotonic seconds that pass only when somebody waits."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(round(seconds, 3))
        self.now += seconds


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("", 1), ("soon", 1), ("-3", 1), ("nan", 1), ("inf", 1), ("1e400", 1), ("30", 30), ("9" * 400, 3600)],
)
def test_a_limit_that_says_nothing_usable_is_for_a_moment_and_none_is_for_ever(
    said: str, seconds: float
) -> None:
    response = AsyncSlackResponse(
        client=None, http_verb="POST", api_url="", req_args={}, data={}, headers={"Retry-After": said}, status_code=429
    )  # fmt: skip
    assert retry_after_seconds(SlackApiError("limited", response)) == seconds


async def test_after_trouble_the_next_answer_is_right_again(stage: Stage) -> None:
    directory = stage.directory()
    stage.slack.fail_call("users.info", "http_error", times=1)
    assert (await directory.actor("ULENA00001")).kind is PersonKind.UNKNOWN
    assert (await directory.actor("ULENA00001")).leads == {"orders"}


# ---------------------------------------------------------------- whom to tell


@pytest.mark.parametrize(
    ("group", "people"),
    [
        ("leads:orders", ["ULENA00001"]),
        ("platform_admins", ["USAM000001"]),
        ("role:senior_developer:orders", ["UOMAR00001"]),
        ("role:senior_developer,team_lead:orders", ["UOMAR00001", "ULENA00001"]),
        ("leads:nowhere", []),
    ],
)
async def test_the_people_of_a_group_can_be_told(stage: Stage, group: str, people: list[str]) -> None:
    assert await stage.directory().group_members(group) == people


class Counting(AsyncWebClient):
    """Counts how many addresses are looked up at the same time."""

    now = most = 0

    async def users_lookupByEmail(self, **arguments: Any) -> AsyncSlackResponse:  # noqa: N802 - Slack's name
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super().users_lookupByEmail(**arguments)
        finally:
            self.now -= 1


async def test_many_addresses_are_looked_up_a_few_at_a_time_and_remembered(stage: Stage) -> None:
    client = Counting(token=stage.slack.bot_token, base_url=stage.slack.api_url, retry_handlers=[])
    leads = tuple(PersonEntry(email=f"gone{n}@example.com") for n in range(20))
    members = {"orders": {"team_lead": (*leads, PersonEntry(email="lena@example.com"))}}
    platform = replace(made.example_platform(), members=members)
    directory = Directory(client, platform, lambda: stage.now)

    for _ in range(2):
        assert await directory.group_members("leads:orders") == ["ULENA00001"]

    assert stage.asked("users.lookupByEmail") == 21
    assert client.most == LOOKUPS_AT_ONCE
    stage.later(61)
    await directory.group_members("leads:orders")
    assert stage.asked("users.lookupByEmail") == 42


async def test_a_limit_on_addresses_is_kept_and_the_channels_card_has_to_do(stage: Stage) -> None:
    passed = Passing()
    directory = stage.directory(pace=Pace(now=passed, sleep=passed.sleep))
    stage.slack.fail_call("users.lookupByEmail", "ratelimited", times=1, retry_after_seconds=30)
    for _ in range(2):
        assert await directory.group_members("role:senior_developer:orders") == []
    assert stage.asked("users.lookupByEmail") == 1
    passed.now += 31
    assert await directory.group_members("role:senior_developer:orders") == ["UOMAR00001"]


async def test_of_people_who_never_come_again_no_more_than_a_few_thousand_are_kept(stage: Stage) -> None:
    directory = stage.directory()
    await directory.actor("ULENA00001")
    lena = await directory.actor("ULENA00001")
    assert await directory.actor("ULENA00001") is lena, "made once of what is remembered"
    directory._made |= dict.fromkeys(map(str, range(ACTORS_KEPT)), next(iter(directory._made.values())))
    await directory.actor("UALICE0001")
    await directory.actor("UALICE0001")
    assert list(directory._made) == ["UALICE0001"]
    assert await directory.actor("ULENA00001") == lena


async def test_a_wrong_address_hides_nobody_else(stage: Stage) -> None:
    leads = (PersonEntry(email="gone@example.com"), PersonEntry(email="lena@example.com"))
    platform = replace(made.example_platform(), members={"orders": {"team_lead": leads}})
    assert await stage.directory(platform).group_members("leads:orders") == ["ULENA00001"]


async def test_nobody_is_told_by_dm_while_slack_does_not_answer(stage: Stage) -> None:
    stage.slack.fail_call("usergroups.list", "http_error", times=1)
    assert await stage.directory().group_members("leads:orders") == []
