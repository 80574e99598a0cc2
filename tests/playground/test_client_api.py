"""The browser page's API keeps its contract: what is listed, what is shown to whom, what is pushed live."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from playground.server import Playground

from .conftest import Install

Json = dict[str, Any]


class Page:
    """A browser page that acts as one person."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, person: str) -> None:
        self._session = session
        self._base_url = base_url
        self._person = person

    async def get(self, path: str, *, status: int = 200, **query: str) -> Json:
        url = f"{self._base_url}_client/{path}"
        async with self._session.get(url, params={"as": self._person, **query}) as response:
            assert response.status == status, await response.text()
            answer: Json = await response.json()
            return answer

    async def post(self, path: str, *, status: int = 200, **body: Any) -> Json:
        url = f"{self._base_url}_client/{path}"
        async with self._session.post(url, json={"as": self._person, **body}) as response:
            assert response.status == status, await response.text()
            answer: Json = await response.json()
            return answer

    async def live(self) -> aiohttp.ClientWebSocketResponse:
        socket = await self._session.ws_connect(
            f"{self._base_url}_client/events", params={"as": self._person}
        )
        assert await socket.receive_json() == {"type": "hello"}
        return socket


OpenPage = Callable[[Playground, str], Page]


@pytest.fixture
async def open_page() -> AsyncIterator[OpenPage]:
    async with aiohttp.ClientSession() as session:
        yield lambda playground, person: Page(session, playground.base_url, person)


async def frame(socket: aiohttp.ClientWebSocketResponse, kind: str) -> Json:
    """The next frame of that kind; others in between are passed over."""
    while True:
        found: Json = await socket.receive_json(timeout=5)
        if found["type"] == kind:
            return found


async def test_the_workspace_lists_people_groups_and_commands(
    playground: Playground, open_page: OpenPage
) -> None:
    shown = await open_page(playground, "UALICE0001").get("workspace")
    assert shown["workspace"] == {"id": "TACME00001", "name": "Acme"}
    assert shown["app"] == {
        "id": "A0APP00001",
        "name": "Platform",
        "bot_user_id": "U0APPBOT01",
        "connected": False,
        "home_tab": True,
    }
    people = {person["id"]: person for person in shown["people"]}
    assert people["UALICE0001"] == {
        "id": "UALICE0001",
        "name": "alice",
        "real_name": "Alice Adams",
        "title": "Developer in team orders",
        "kind": "member",
        "initials": "AA",
        "color": "#2f6f4f",
        "can_act": True,
    }
    assert (people["UDAN000001"]["kind"], people["UDAN000001"]["can_act"]) == ("deactivated", False)
    assert people["U0APPBOT01"]["kind"] == people["USLACKBOT"]["kind"] == "bot"
    assert shown["commands"] == [
        {"command": "/platform", "description": "The platform", "usage_hint": "status"}
    ]
    assert {"id": "SOLDCREW01", "handle": "old-crew"}.items() <= shown["user_groups"][-1].items()


async def test_the_sidebar_differs_from_person_to_person(
    client: AsyncWebClient, playground: Playground, open_page: OpenPage
) -> None:
    await client.chat_postMessage(channel="CORDERS001", text="hello <@UALICE0001>")
    await client.chat_postMessage(channel="UALICE0001", text="privately")
    alice, grace = open_page(playground, "UALICE0001"), open_page(playground, "UGRACE0001")
    sidebar = await alice.get("sidebar")
    by_name = {channel["name"]: channel for channel in sidebar["channels"]}
    assert (by_name["orders"]["unread"], by_name["orders"]["mentions"]) == (1, 1)
    assert by_name["payments"]["is_member"] is False
    assert by_name["security-incidents"]["kind"] == "private"
    assert by_name["security-incidents"]["bot_is_member"] is False
    app, *others = sidebar["direct"]
    assert (app["kind"], app["name"], app["unread"]) == ("app", "Platform", 1)
    assert {other["with"] for other in others} == {"ULENA00001", "UOMAR00001"}
    assert [channel["name"] for channel in (await grace.get("sidebar"))["channels"]] == ["orders"]
    await alice.post("read", channel="CORDERS001", ts=by_name["orders"]["latest"])
    sidebar = await alice.get("sidebar")
    assert {c["name"]: c["unread"] for c in sidebar["channels"]}["orders"] == 0


async def test_history_comes_in_pages_oldest_first(
    client: AsyncWebClient, playground: Playground, open_page: OpenPage
) -> None:
    for number in range(5):
        await client.chat_postMessage(channel="CORDERS001", text=f"{number}")
    await client.chat_postEphemeral(channel="CORDERS001", user="UALICE0001", text="psst")
    alice = open_page(playground, "UALICE0001")
    latest = await alice.get("history", channel="CORDERS001", limit="3")
    assert [m["text"] for m in latest["messages"]] == ["2", "3", "4", "psst"]
    assert latest["messages"][-1]["ephemeral"]
    assert latest["has_more"]
    older = await alice.get("history", channel="CORDERS001", before=latest["messages"][0]["ts"])
    assert [m["text"] for m in older["messages"]] == ["0", "1"]
    assert not older["has_more"]
    assert (await alice.get("history", channel="CORDERS001", limit="0", status=400))[
        "error"
    ] == "invalid_limit"
    private = await open_page(playground, "UPAUL00001").get("history", channel="CORDLEADS1", status=400)
    assert private["error"] == "channel_not_found"


async def test_a_thread_begins_with_its_parent(
    client: AsyncWebClient, playground: Playground, open_page: OpenPage
) -> None:
    parent = await client.chat_postMessage(channel="CORDERS001", text="parent")
    alice = open_page(playground, "UALICE0001")
    assert (await alice.post("send", channel="CORDERS001", text="reply", thread_ts=parent["ts"]))["ok"]
    thread = (await alice.get("thread", channel="CORDERS001", thread_ts=parent["ts"]))["messages"]
    assert [m["text"] for m in thread] == ["parent", "reply"]
    assert (thread[0]["reply_count"], thread[0]["latest_reply"]) == (1, thread[1]["ts"])


async def test_sending_a_message_a_command_and_nonsense(install: Install, open_page: OpenPage) -> None:
    installed = await install()

    @installed.app.command("/platform")
    async def answer(ack: Any) -> None:
        await ack("fine")

    alice = open_page(installed.playground, "UALICE0001")
    live = await alice.live()
    assert await alice.post("send", channel="CORDERS001", text="hello @lena") == {
        "ok": True,
        "kind": "message",
    }
    assert (await frame(live, "message"))["message"]["text"] == "hello <@ULENA00001>"
    assert await alice.post("send", channel="CORDERS001", text="/platform x") == {
        "ok": True,
        "kind": "command",
    }
    assert (await frame(live, "ephemeral"))["message"]["text"] == "fine"
    unknown = await alice.post("send", channel="CORDERS001", text="/nope")
    assert (unknown["ok"], unknown["kind"]) == (False, "command")
    notice = (await frame(live, "ephemeral"))["message"]
    assert (notice["text"], notice["system"]) == (unknown["message"], True)
    assert (await alice.post("send", channel="COLDORD001", text="x", status=400))["error"] == "is_archived"
    assert (await alice.post("send", channel="CPAYMENT01", text="x", status=400))["error"] == "not_in_channel"
    dan = open_page(installed.playground, "UDAN000001")
    assert (await dan.post("send", channel="CORDERS001", text="x", status=400))["error"] == "cannot_act"


async def test_pages_are_told_of_everything_they_may_see(
    client: AsyncWebClient, playground: Playground, open_page: OpenPage
) -> None:
    lena = await open_page(playground, "ULENA00001").live()
    paul = await open_page(playground, "UPAUL00001").live()
    posted = await client.chat_postMessage(channel="CORDERS001", text="one")
    await client.chat_update(channel="CORDERS001", ts=posted["ts"], text="two")
    await client.chat_delete(channel="CORDERS001", ts=posted["ts"])
    await client.chat_postMessage(channel="CDEPLOYS01", text="for everybody")
    kinds = [(await lena.receive_json(timeout=5))["type"] for _ in range(4)]
    assert kinds == ["message", "message_changed", "message_deleted", "message"]
    assert (await paul.receive_json(timeout=5))["message"]["text"] == "for everybody"


async def test_pressing_a_button_and_filling_in_a_modal(install: Install, open_page: OpenPage) -> None:
    installed = await install()
    playground = installed.playground
    submitted: list[Any] = []

    @installed.app.action("open")
    async def opened(ack: Any, body: Any, client: Any) -> None:
        await ack()
        view = {
            "type": "modal",
            "callback_id": "form",
            "title": {"type": "plain_text", "text": "Form"},
            "submit": {"type": "plain_text", "text": "Send"},
            "blocks": [
                {
                    "type": "input",
                    "block_id": "service",
                    "label": {"type": "plain_text", "text": "Service"},
                    "element": {"type": "external_select", "action_id": "pick", "min_query_length": 0},
                }
            ],
        }
        await client.views_open(trigger_id=body["trigger_id"], view=view)

    @installed.app.options("pick")
    async def options(ack: Any) -> None:
        await ack(options=[{"text": {"type": "plain_text", "text": "orders"}, "value": "orders"}])

    @installed.app.view("form")
    async def submit(ack: Any, view: Any) -> None:
        await ack()
        submitted.append(view["state"]["values"])

    button = {
        "type": "button",
        "action_id": "open",
        "value": "7",
        "text": {"type": "plain_text", "text": "Open"},
    }
    posted = await installed.client.chat_postMessage(
        channel="CORDERS001", text="x", blocks=[{"type": "actions", "block_id": "row", "elements": [button]}]
    )
    alice = open_page(playground, "UALICE0001")
    live = await alice.live()
    container = {"type": "message", "channel": "CORDERS001", "ts": posted["ts"]}
    press = {"container": container, "block_id": "row", "action_id": "open"}
    # The value of a button is the message's, whatever a page claims.
    assert await alice.post("action", **press, action={"type": "button", "value": "forged"}, state={}) == {
        "ok": True
    }
    assert playground.deliveries("block_actions")[-1].payload["actions"][0]["value"] == "7"
    stack = (await frame(live, "views"))["stack"]
    assert stack == (await alice.get("views"))["stack"]
    view_id = stack[0]["id"]
    in_view = {"container": {"type": "view", "view_id": view_id}, "block_id": "service", "action_id": "pick"}
    found = await alice.post("suggest", **in_view, value="")
    assert [option["value"] for option in found["options"]] == ["orders"]
    missing = await alice.post("view/submit", view_id=view_id, state={})
    assert missing == {"ok": False, "errors": {"service": "Please complete this required field."}}
    state = {"service": {"pick": {"type": "external_select", "selected_option": found["options"][0]}}}
    assert await alice.post("view/submit", view_id=view_id, state=state) == {"ok": True}
    assert (await frame(live, "views"))["stack"] == []
    assert submitted[0]["service"]["pick"]["selected_option"]["value"] == "orders"


async def test_closing_a_view_and_opening_home(
    client: AsyncWebClient, playground: Playground, open_page: OpenPage
) -> None:
    alice = open_page(playground, "UALICE0001")
    assert await alice.post("home") == {"view": None}
    live = await alice.live()
    await client.views_publish(user_id="UALICE0001", view={"type": "home", "blocks": [{"type": "divider"}]})
    assert (await frame(live, "home"))["view"]["type"] == "home"
    assert (await alice.post("home"))["view"]["blocks"][0]["type"] == "divider"
    modal = {"type": "modal", "title": {"type": "plain_text", "text": "x"}, "blocks": [{"type": "divider"}]}
    opened = await client.views_open(trigger_id=playground.issue_trigger("alice"), view=modal)
    assert await alice.post("view/close", view_id=opened["view"]["id"], clear=False) == {"ok": True}
    assert (await alice.get("views"))["stack"] == []
    gone = await alice.post("view/close", view_id=opened["view"]["id"], clear=False, status=400)
    assert gone["error"] == "view_not_found"


async def test_an_app_that_is_not_there_is_a_warning_at_the_button(
    client: AsyncWebClient, playground: Playground, open_page: OpenPage
) -> None:
    button = {"type": "button", "action_id": "go", "text": {"type": "plain_text", "text": "Go"}}
    posted = await client.chat_postMessage(
        channel="CORDERS001", text="x", blocks=[{"type": "actions", "block_id": "row", "elements": [button]}]
    )
    container = {"type": "message", "channel": "CORDERS001", "ts": posted["ts"]}
    pressed = await open_page(playground, "UALICE0001").post(
        "action", container=container, block_id="row", action_id="go", action={"type": "button"}, state={}
    )
    assert pressed == {"ok": False, "message": "This app is not connected right now."}


async def test_the_app_comes_and_goes(install_over_socket: Install, open_page: OpenPage) -> None:
    installed = await install_over_socket()
    page = open_page(installed.playground, "UALICE0001")
    live = await page.live()
    assert (await page.get("workspace"))["app"]["connected"] is True
    await installed.playground.cut_connections()
    assert await frame(live, "app") == {"type": "app", "connected": False}


async def test_people_open_conversations_with_each_other(playground: Playground, open_page: OpenPage) -> None:
    alice = open_page(playground, "UALICE0001")
    opened = (await alice.post("dm", **{"with": "UPAUL00001"}))["channel"]
    assert (opened["kind"], opened["with"], opened["name"]) == ("dm", "UPAUL00001", "Paul Petit")
    assert (await alice.post("send", channel=opened["id"], text="hi"))["ok"]
    lena = await open_page(playground, "ULENA00001").get("history", channel=opened["id"], status=400)
    assert lena["error"] == "channel_not_found"


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        ("send", {"channel": "CORDERS001"}, "invalid_arguments"),
        ("send", {"channel": "CNOWHERE01", "text": "x"}, "channel_not_found"),
        ("send", {"channel": "CORDERS001", "text": " "}, "no_text"),
        ("action", {"block_id": "a", "action_id": "b"}, "invalid_arguments"),
        (
            "action",
            {"container": {"type": "message", "channel": "CORDERS001", "ts": "1.0"}, "action_id": "b"},
            "message_not_found",
        ),
        ("view/submit", {"view_id": "V1"}, "view_not_found"),
        ("dm", {"with": "UNOBODY"}, "user_not_found"),
    ],
)
async def test_what_cannot_be_done_is_said_in_a_sentence(
    playground: Playground, open_page: OpenPage, path: str, body: Json, error: str
) -> None:
    answer = await open_page(playground, "UALICE0001").post(path, status=400, **body)
    assert answer["error"] == error
    assert answer["message"].endswith(".")


async def test_other_web_sites_may_not_act(playground: Playground) -> None:
    async with aiohttp.ClientSession() as session:
        headers = {"Origin": "https://evil.example"}
        for path in ("_client/send", "_control/clock", "api/auth.test"):
            async with session.post(playground.base_url + path, json={}, headers=headers) as response:
                assert response.status == 403
        own = {"Origin": playground.base_url.rstrip("/")}
        async with session.post(playground.base_url + "_control/clock", json={}, headers=own) as response:
            assert response.status == 200


async def test_a_permalink_leads_to_the_page(client: AsyncWebClient, playground: Playground) -> None:
    posted = await client.chat_postMessage(channel="CORDERS001", text="x")
    link = (await client.chat_getPermalink(channel="CORDERS001", message_ts=posted["ts"]))["permalink"]
    async with aiohttp.ClientSession() as session, session.get(link, allow_redirects=False) as response:
        assert response.status == 302
        assert response.headers["Location"].startswith("/#channel=CORDERS001&message=p")
