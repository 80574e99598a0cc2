"""Every kind of person a Slack app meets, as users.info shows them and as they may act."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from playground.acts_messages import ActError
from playground.server import Playground
from playground.workspace import WorkspaceError, parse_workspace

from .conftest import Install

FLAGS = ("deleted", "is_bot", "is_restricted", "is_ultra_restricted", "is_stranger", "team_id")


@pytest.mark.parametrize(
    ("user", "flags"),
    [
        ("UALICE0001", (False, False, False, False, None, "TACME00001")),
        ("WQUINN0001", (False, False, False, False, None, "TACME00001")),
        ("UMIA000001", (False, False, True, False, None, "TACME00001")),
        ("UGRACE0001", (False, False, True, True, None, "TACME00001")),
        ("UDAN000001", (True, False, None, None, None, "TACME00001")),
        ("UCIBOT0001", (False, True, False, False, None, "TACME00001")),
        ("USLACKBOT", (False, False, False, False, None, "TACME00001")),
        ("UEVE000001", (False, False, False, False, True, "TPARTNER01")),
    ],
)
async def test_flags_of_each_kind(client: AsyncWebClient, user: str, flags: tuple[Any, ...]) -> None:
    shown = (await client.users_info(user=user))["user"]
    assert tuple(shown.get(flag) for flag in FLAGS) == flags


async def test_people_may_lack_an_e_mail_address(client: AsyncWebClient) -> None:
    assert "email" not in (await client.users_info(user="UNOEL00001"))["user"]["profile"]
    found = await client.users_lookupByEmail(email="Alice@example.com")
    assert found["user"]["id"] == "UALICE0001"
    for address in ("dan@example.com", "nobody@example.com"):
        with pytest.raises(SlackApiError, match="users_not_found"):
            await client.users_lookupByEmail(email=address)


async def test_partners_are_not_in_the_list_of_users(client: AsyncWebClient) -> None:
    members = (await client.users_list())["members"]
    assert {"UALICE0001", "UDAN000001", "USLACKBOT"} <= {member["id"] for member in members}
    assert "UEVE000001" not in {member["id"] for member in members}


async def test_user_groups_and_their_disabled_one(client: AsyncWebClient, playground: Playground) -> None:
    groups = (await client.usergroups_list(include_users=True))["usergroups"]
    by_handle = {group["handle"]: group for group in groups}
    assert by_handle["orders-leads"]["users"] == ["ULENA00001"]
    assert "old-crew" not in by_handle
    everything = (await client.usergroups_list(include_disabled=True))["usergroups"]
    [disabled] = [group for group in everything if group["handle"] == "old-crew"]
    assert disabled["date_delete"] > 0
    assert (await client.usergroups_users_list(usergroup="SORDERS001"))["users"][0] == "UALICE0001"
    with pytest.raises(SlackApiError, match="no_such_subteam"):
        await client.usergroups_users_list(usergroup="SOLDCREW01")
    playground.world.user_groups_available = False
    with pytest.raises(SlackApiError, match="plan_upgrade_required"):
        await client.usergroups_list()


async def test_a_plan_change_of_people_reaches_the_app(install: Install) -> None:
    installed = await install()
    seen: list[Any] = []

    @installed.app.event("user_change")
    async def user_change(event: Any) -> None:
        seen.append(event["user"]["deleted"])

    @installed.app.event("subteam_members_changed")
    async def members_changed(event: Any) -> None:
        seen.append(event["removed_users"])

    installed.playground.deactivate("lena")
    installed.playground.remove_from_group("@orders-leads", "lena")
    await installed.playground.until(lambda: len(installed.playground.deliveries()) == 2)
    await installed.playground.until(lambda: all(d.acknowledged for d in installed.playground.deliveries()))
    assert sorted(map(str, seen)) == ["True", "['ULENA00001']"]
    shown = (await installed.client.users_info(user="ULENA00001"))["user"]
    assert shown["deleted"]


async def test_deactivated_people_and_bots_cannot_act(playground: Playground) -> None:
    for name in ("dan", "ci", "slackbot"):
        with pytest.raises(ActError) as raised:
            await playground.actor(name).say("#orders", "x")
        assert raised.value.code == "cannot_act"


async def test_guests_and_partners_see_only_their_channels(playground: Playground) -> None:
    await playground.actor("alice").say("#platform", "not for guests")
    assert playground.actor("omar").sees("#platform")
    assert playground.actor("grace").sees("#platform") == []
    assert playground.actor("eve").sees("#platform") == []
    with pytest.raises(ActError):
        await playground.actor("grace").say("#platform", "hello?")


async def test_a_partner_can_press_but_not_run_commands(install: Install) -> None:
    installed = await install()
    pressed_by: list[tuple[str, str]] = []

    @installed.app.action("go")
    async def go(ack: Any, body: Any) -> None:
        await ack()
        pressed_by.append((body["user"]["team_id"], body["team"]["id"]))

    button = {"type": "button", "action_id": "go", "text": {"type": "plain_text", "text": "Go"}}
    await installed.client.chat_postMessage(
        channel="CPARTNERS1", text="x", blocks=[{"type": "actions", "elements": [button]}]
    )
    eve = installed.playground.actor("eve")
    assert (await eve.click(eve.sees("#orders-partners")[0], "go")).ok
    assert pressed_by == [("TPARTNER01", "TACME00001")]
    sent = await eve.command("#orders-partners", "/platform status")
    assert not sent.ok
    assert "is not a valid command" in (sent.notice or "")
    assert installed.playground.deliveries("slash_commands") == []


async def test_a_click_on_its_way_when_the_account_closed_still_arrives(install: Install) -> None:
    installed = await install()

    @installed.app.action("go")
    async def go(ack: Any, respond: Any) -> None:
        await ack()
        await respond(text="You left.", replace_original=False)

    button = {"type": "button", "action_id": "go", "text": {"type": "plain_text", "text": "Go"}}
    await installed.client.chat_postMessage(
        channel="CORDERS001", text="x", blocks=[{"type": "actions", "elements": [button]}]
    )
    omar = installed.playground.actor("omar")
    [message] = omar.sees("#orders")
    installed.playground.deactivate("omar")
    with pytest.raises(ActError):
        await omar.click(message, "go")
    assert (await omar.click(message, "go", force=True)).ok
    await omar.wait_for_message("#orders", "You left.")


async def test_an_organization_wide_installation_has_no_team_in_its_payloads(install: Install) -> None:
    installed = await install()
    installed.playground.world.org_install = True

    @installed.app.command("/platform")
    async def answer(ack: Any) -> None:
        await ack()

    await installed.playground.actor("alice").command("#orders", "/platform x")
    [delivery] = installed.playground.deliveries("slash_commands")
    assert delivery.payload["is_enterprise_install"] == "true"
    assert delivery.payload["enterprise_id"]


def test_a_workspace_that_names_nobody_is_refused() -> None:
    broken = {
        "team": {"id": "T1", "name": "T", "domain": "t"},
        "people": [],
        "channels": [{"id": "C1", "name": "a", "topic": "", "members": ["UNOBODY"]}],
    }
    with pytest.raises(WorkspaceError, match="channels: a names UNOBODY"):
        parse_workspace(broken)
