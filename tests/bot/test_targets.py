"""Where cards go, with people and groups asked of a real Slack in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import people_made as made
import pytest
from fake_context import make_plan
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot import manifest, registry
from bot.domain import CardKind, Gate, PersonEntry, Plan, Platform, Request, RequestState, Verdict
from bot.people import Directory
from bot.store import CardTarget
from bot.targets import APPROVERS_TOLD, Targets
from playground.server import Playground

HERE, TEAM, DEPLOYS = "CGENERAL01", "CORDERS001", "CDEPLOYS01"
ALICE, LENA = "UALICE0001", "ULENA00001"
GATE = Gate(rule="p", verdict=Verdict.NEEDS_APPROVAL, reason="", group="leads:orders", excluded=(ALICE,))
ANNOUNCED = make_plan(announce="orders → production")


def card(channel: str, kind: CardKind = CardKind.REQUEST) -> CardTarget:
    return CardTarget(kind, channel)


NOTICE = card(ALICE, CardKind.NOTICE)
DEPLOYMENT = [card(DEPLOYS, CardKind.DEPLOY), card(DEPLOYS, CardKind.DEPLOY_FAILURE)]


def request(plan: Plan = ANNOUNCED, *, channel: str = HERE) -> Request:
    return made.request_for(plan, (GATE,), channel_id=channel)


@pytest.fixture
async def slack() -> AsyncIterator[Playground]:
    async with Playground(manifest.build(registry.load_commands())) as playground:
        yield playground


@pytest.fixture
def platform() -> Platform:
    """Lena leads orders, by her id; the rest as it ships."""
    example = made.example_platform()
    lead = {**example.members["orders"], "team_lead": (PersonEntry(user_id=LENA),)}
    return replace(example, members={**example.members, "orders": lead})


@pytest.fixture
def targets(slack: Playground, platform: Platform) -> Targets:
    return make_targets(slack, platform)


def make_targets(slack: Playground, platform: Platform) -> Targets:
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, retry_handlers=[])
    return Targets(platform=platform, people=Directory(client, platform, lambda: made.NOW))


async def test_a_proposal_is_the_requesters_and_stands_where_they_asked(targets: Targets) -> None:
    assert await targets.for_plan(request(), ANNOUNCED, (GATE,), RequestState.PROPOSED) == [card(HERE)]
    unknown = await targets.for_plan(request(channel=""), ANNOUNCED, (GATE,), RequestState.PROPOSED)
    assert unknown == [card(ALICE)], "App Home has no channel, so it goes to the requester"


async def test_what_needs_approval_goes_to_the_teams_channel_and_to_those_who_may(targets: Targets) -> None:
    found = await targets.for_plan(request(), ANNOUNCED, (GATE,), RequestState.AWAITING)
    assert found == [card(TEAM), card(LENA), NOTICE, *DEPLOYMENT]


async def test_what_needs_no_approval_bothers_nobody_by_dm(targets: Targets) -> None:
    found = await targets.for_plan(request(), ANNOUNCED, (), RequestState.QUEUED)
    assert found == [card(TEAM), NOTICE, *DEPLOYMENT]


async def test_the_requester_and_the_excluded_get_no_approvers_copy(
    slack: Playground, platform: Platform
) -> None:
    leads = (PersonEntry(user_id=LENA), PersonEntry(user_id=ALICE), PersonEntry(user_id="UOMAR00001"))
    members = {**platform.members, "orders": {"team_lead": leads}}
    gate = GATE.model_copy(update={"excluded": (ALICE, "UOMAR00001")})
    found = await make_targets(slack, replace(platform, members=members)).for_plan(
        request(), ANNOUNCED, (gate,), RequestState.AWAITING
    )
    assert [one.channel_id for one in found if one.kind is CardKind.REQUEST] == [TEAM, LENA]


async def test_a_person_in_two_groups_gets_one_copy(targets: Targets) -> None:
    second = GATE.model_copy(update={"rule": "q"})
    found = await targets.for_plan(request(), ANNOUNCED, (GATE, second), RequestState.AWAITING)
    assert found.count(card(LENA)) == 1


class Together(AsyncWebClient):
    """Answers for an address when as many are being asked for as should be."""

    def __init__(self, *, asked: int, **options: Any) -> None:
        super().__init__(**options)
        self._all_there = asyncio.Barrier(asked)

    async def users_lookupByEmail(self, **arguments: Any) -> AsyncSlackResponse:  # noqa: N802 - Slack's name
        await self._all_there.wait()
        return await super().users_lookupByEmail(**arguments)


async def test_the_groups_of_several_gates_are_asked_for_at_the_same_time(
    slack: Playground, platform: Platform
) -> None:
    client = Together(asked=2, token=slack.bot_token, base_url=slack.api_url, retry_handlers=[])
    members = {
        "orders": {"team_lead": (PersonEntry(email="lena@example.com"),)},
        "payments": {"team_lead": (PersonEntry(email="omar@example.com"),)},
    }
    platform = replace(platform, members={**platform.members, **members})
    targets = Targets(platform=platform, people=Directory(client, platform, lambda: made.NOW))
    second = GATE.model_copy(update={"rule": "q", "group": "leads:payments"})
    found = await targets.for_plan(request(), ANNOUNCED, (GATE, second), RequestState.AWAITING)
    assert found[1:3] == [card(LENA), card("UOMAR00001")]


async def test_a_large_group_is_told_in_the_channel_only(slack: Playground, platform: Platform) -> None:
    many = tuple(PersonEntry(user_id=f"UMANY{number:05}") for number in range(APPROVERS_TOLD + 1))
    members = {**platform.members, "orders": {"team_lead": many}}
    found = await make_targets(slack, replace(platform, members=members)).for_plan(
        request(), ANNOUNCED, (GATE,), RequestState.AWAITING
    )
    assert [one.channel_id for one in found if one.kind is CardKind.REQUEST] == [TEAM]


async def test_where_slack_cannot_name_the_group_the_channels_card_has_to_do(
    slack: Playground, platform: Platform
) -> None:
    members = {**platform.members, "orders": {"team_lead": (PersonEntry(user_group="orders-leads"),)}}
    targets = make_targets(slack, replace(platform, members=members))
    slack.fail_call("usergroups.list", "error", code="internal_error")
    found = await targets.for_plan(request(), ANNOUNCED, (GATE,), RequestState.AWAITING)
    assert found == [card(TEAM), NOTICE, *DEPLOYMENT]


@pytest.mark.parametrize(
    "plan",
    [make_plan(), make_plan(announce="x", environment="staging")],
    ids=["nothing to announce", "no channel for it"],
)
async def test_only_deployments_with_a_channel_are_announced(targets: Targets, plan: Plan) -> None:
    found = await targets.for_plan(request(plan), plan, (), RequestState.QUEUED)
    assert found == [card(TEAM), NOTICE]


async def test_after_confirmation_the_card_stays_where_it_was_and_the_others_follow(targets: Targets) -> None:
    waiting = await targets.after_confirmation(request(), RequestState.AWAITING)
    assert waiting == [card(TEAM), card(LENA), NOTICE, *DEPLOYMENT]
    in_the_teams_channel = await targets.after_confirmation(request(channel=TEAM), RequestState.AWAITING)
    assert in_the_teams_channel == [card(LENA), NOTICE, *DEPLOYMENT], "no second card in the same channel"
    at_once = await targets.after_confirmation(request(), RequestState.QUEUED)
    assert at_once == [NOTICE, *DEPLOYMENT]


async def test_nothing_is_sent_of_what_has_no_plan(targets: Targets) -> None:
    unplanned = replace(request(), plan=None)
    assert await targets.after_confirmation(unplanned, RequestState.QUEUED) == []
