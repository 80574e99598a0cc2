"""The control API over HTTP: a test in another process acts, looks, breaks things and moves time."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from playground.server import Playground

from .conftest import Install

Json = dict[str, Any]


async def control(playground: Playground, action: str, *, status: int = 200, **body: Any) -> Json:
    url = f"{playground.base_url}_control/{action}"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        assert response.status == status, await response.text()
        return await response.json() if response.content_type == "application/json" else {}


async def log(playground: Playground, which: str, **query: str) -> list[Json]:
    url = f"{playground.base_url}_control/{which}"
    async with aiohttp.ClientSession() as session, session.get(url, params=query) as response:
        entries: list[Json] = (await response.json())[which]
        return entries


async def test_acting_and_seeing_as_a_person(install: Install) -> None:
    installed = await install()
    playground = installed.playground

    @installed.app.command("/platform")
    async def answer(ack: Any, body: Any, client: Any) -> None:
        await ack("fine")
        field = {
            "type": "input",
            "block_id": "f",
            "label": {"type": "plain_text", "text": "F"},
            "element": {
                "type": "static_select",
                "action_id": "f",
                "options": [{"text": {"type": "plain_text", "text": "A"}, "value": "a"}],
            },
        }
        view = {
            "type": "modal",
            "callback_id": "form",
            "title": {"type": "plain_text", "text": "Form"},
            "submit": {"type": "plain_text", "text": "Send"},
            "blocks": [field],
        }
        await client.views_open(trigger_id=body["trigger_id"], view=view)

    @installed.app.view("form")
    async def submitted(ack: Any) -> None:
        await ack()

    sent = await control(playground, "say", **{"as": "alice", "channel": "#orders", "text": "/platform x"})
    assert (sent["ok"], sent["kind"], sent["message"]["text"]) == (True, "command", "fine")
    await playground.actor("alice").wait_for_view("Form")
    seen = await control(playground, "seen", **{"as": "alice", "channel": "#orders"})
    assert [message["text"] for message in seen["messages"]] == ["fine"]
    assert [view["title"]["text"] for view in seen["views"]] == ["Form"]
    assert (await control(playground, "choose", **{"as": "alice", "action_id": "f", "value": "A"}))["ok"]
    assert (await control(playground, "submit", **{"as": "alice"}))["ok"]
    [delivery] = await log(playground, "deliveries", type="view_submission")
    assert delivery["outcome"] == "acked"
    assert delivery["latency_ms"] > 0
    assert delivery["payload"]["view"]["state"]["values"]["f"]["f"]["selected_option"]["value"] == "a"


async def test_clicking_by_label(install: Install) -> None:
    installed = await install()

    @installed.app.action("go")
    async def go(ack: Any) -> None:
        await ack()

    button = {"type": "button", "action_id": "go", "text": {"type": "plain_text", "text": "Go"}}
    posted = await installed.client.chat_postMessage(
        channel="CORDERS001", text="x", blocks=[{"type": "actions", "elements": [button]}]
    )
    where = {"as": "lena", "channel": "#orders", "ts": posted["ts"]}
    assert await control(installed.playground, "click", **where, button="Go") == {"ok": True, "notice": None}
    refused = await control(installed.playground, "click", **where, button="Stop", status=400)
    assert refused["error"] == "action_not_found"


async def test_ordering_faults_and_reading_the_call_log(
    client: AsyncWebClient, playground: Playground
) -> None:
    await control(playground, "fail_call", method="auth.test", kind="ratelimited", retry_after_seconds=9)
    with pytest.raises(SlackApiError):
        await client.auth_test()
    await client.auth_test()
    calls = await log(playground, "calls", method="auth.test")
    assert [call["status"] for call in calls] == [429, 200]
    await control(playground, "fail_call", method="auth.test", kind="reset")
    await control(playground, "clear_faults")
    assert (await client.auth_test())["ok"]
    await control(playground, "disturb_delivery", type="slash_commands", kind="drop")
    await control(playground, "fail_call", method="x", kind="meteor", status=400)
    await control(playground, "disturb_delivery", type="x", kind="meteor", status=400)


async def test_moving_time(playground: Playground) -> None:
    now = (await control(playground, "clock", freeze=True))["now"]
    assert (await control(playground, "clock", advance=3600))["now"] == pytest.approx(now + 3600)
    assert (await control(playground, "clock", set=1_800_000_000))["now"] == pytest.approx(1_800_000_000)
    assert (await control(playground, "clock", freeze=False))["now"] >= 1_800_000_000


async def test_changing_people_groups_channels_and_settings(
    client: AsyncWebClient, playground: Playground
) -> None:
    await control(playground, "person", person="omar", kind="deactivated")
    assert (await client.users_info(user="UOMAR00001"))["user"]["deleted"]
    members = await control(playground, "group", group="@orders-leads", add="alice", remove="lena")
    assert members == {"members": ["UALICE0001"]}
    await control(playground, "group", group="orders", disabled=True)
    with pytest.raises(SlackApiError, match="no_such_subteam"):
        await client.usergroups_users_list(usergroup="SORDERS001")
    joined = await control(playground, "channel", channel="#orders", join="eve", leave="grace")
    assert "UEVE000001" in joined["members"]
    assert "UGRACE0001" not in joined["members"]
    await control(playground, "channel", channel="#deploys", archived=True)
    with pytest.raises(SlackApiError, match="is_archived"):
        await client.chat_postMessage(channel="CDEPLOYS01", text="x")
    await control(
        playground, "settings", rate_limits=True, smart_punctuation=True, user_groups_available=False
    )
    with pytest.raises(SlackApiError, match="plan_upgrade_required"):
        await client.usergroups_list()
    await control(playground, "settings", gravity=False, status=400)


async def test_connections(install_over_socket: Install) -> None:
    installed = await install_over_socket()
    before = installed.playground.connections_opened
    await control(installed.playground, "disconnect", reason="refresh_requested")
    await installed.playground.until(lambda: installed.playground.connections_opened > before)
    await control(installed.playground, "cut")


async def test_what_makes_no_sense_is_said(playground: Playground) -> None:
    assert (await control(playground, "say", text="x", status=400))["error"] == "invalid_arguments"
    assert (await control(playground, "home", **{"as": "nobody"}, status=400))["error"] == "invalid_arguments"
    assert (await control(playground, "close", **{"as": "alice"}, status=400))["error"] == "view_not_found"
    await control(playground, "explode", status=404)
