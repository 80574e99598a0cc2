"""What a person can do and read at a client: the Home tab, menus, what others do not see, what is not theirs to press."""

from __future__ import annotations

from typing import Any

import pytest

from playground.actor import buttons, shown_text, view_text
from playground.acts_messages import ActError
from playground.server import Playground

from .conftest import Install, StartPlayground, make_manifest, web_client


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def button(action_id: str, label: str) -> dict[str, Any]:
    return {"type": "button", "action_id": action_id, "text": plain(label)}


def row(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"type": "actions", "block_id": "row", "elements": list(elements)}


async def test_pressing_in_the_home_tab(install: Install) -> None:
    installed = await install()
    pressed: list[Any] = []

    @installed.app.action("new")
    async def new(ack: Any, body: Any) -> None:
        await ack()
        pressed.append((body["container"]["type"], body["view"]["type"], body["user"]["id"]))

    home = {
        "type": "home",
        "blocks": [{"type": "header", "text": plain("Hello")}, row(button("new", "New request"))],
    }
    await installed.client.views_publish(user_id="UALICE0001", view=home)
    alice = installed.playground.actor("Alice Adams")
    view = alice.home()
    assert view is not None
    assert "Hello" in view_text(view)
    assert [element["text"]["text"] for element in buttons(view)] == ["New request"]
    assert (await alice.click(view, "New request")).ok
    assert pressed == [("view", "home", "UALICE0001")]


async def test_an_overflow_menu_and_a_select_in_a_message(install: Install) -> None:
    installed = await install()
    chosen: list[Any] = []

    @installed.app.action("menu")
    async def menu(ack: Any, body: Any) -> None:
        await ack()
        chosen.append(body["actions"][0]["selected_option"]["value"])

    @installed.app.action("who")
    async def who(ack: Any, body: Any) -> None:
        await ack()
        chosen.append(body["actions"][0]["selected_user"])
        assert body["state"]["values"]["row"]["who"]["selected_user"] == "ULENA00001"

    items = [{"text": plain("Logs"), "value": "logs"}, {"text": plain("Undo"), "value": "undo"}]
    blocks = [
        row(
            {"type": "overflow", "action_id": "menu", "options": items},
            {"type": "users_select", "action_id": "who"},
        )
    ]
    await installed.client.chat_postMessage(channel="CORDERS001", text="x", blocks=blocks)
    alice = installed.playground.actor("alice")
    [message] = alice.sees("#orders")
    assert (await alice.choose(message, "menu", "Undo")).ok
    assert (await alice.choose(message, "who", "ULENA00001")).ok
    assert chosen == ["undo", "ULENA00001"]
    with pytest.raises(ActError):
        await alice.choose(message, "menu", "Explode")


async def test_a_link_button_asks_the_app_to_acknowledge_too(install: Install) -> None:
    installed = await install()

    @installed.app.action("docs")
    async def docs(ack: Any) -> None:
        await ack()

    link = button("docs", "Read") | {"url": "https://example.com"}
    await installed.client.chat_postMessage(channel="CORDERS001", text="x", blocks=[row(link)])
    alice = installed.playground.actor("alice")
    assert (await alice.click(alice.sees("#orders")[0], "Read")).ok
    assert (
        installed.playground.deliveries("block_actions")[0].payload["actions"][0]["url"]
        == "https://example.com"
    )


async def test_nobody_presses_what_they_do_not_see(playground: Playground) -> None:
    client = web_client(playground)
    await client.chat_postMessage(channel="CORDLEADS1", text="x", blocks=[row(button("go", "Go"))])
    await client.chat_postEphemeral(
        channel="CORDERS001", user="UALICE0001", text="psst", blocks=[row(button("go", "Go"))]
    )
    [for_leads] = playground.app_messages("#orders-leads")
    [for_alice] = playground.actor("alice").ephemerals("#orders")
    for name, message in (("alice", for_leads), ("lena", for_alice)):
        with pytest.raises(ActError) as raised:
            await playground.actor(name).click(message, "Go")
        assert raised.value.code == "message_not_found"
    assert shown_text(for_leads) == "x\nGo"


async def test_an_app_that_is_not_interactive(start_playground: StartPlayground) -> None:
    manifest = make_manifest()
    manifest["settings"]["interactivity"]["is_enabled"] = False
    playground = await start_playground(manifest)
    await web_client(playground).chat_postMessage(
        channel="CORDERS001", text="x", blocks=[row(button("go", "Go"))]
    )
    alice = playground.actor("alice")
    pressed = await alice.click(alice.sees("#orders")[0], "Go")
    assert pressed.notice == "This app is not configured to handle interactive responses."
    assert playground.deliveries("block_actions") == []


async def test_writing_to_the_app(install: Install) -> None:
    installed = await install()
    heard: list[str] = []

    @installed.app.event("message")
    async def message(event: Any) -> None:
        heard.append((event["channel_type"], event["text"]))

    alice = installed.playground.actor("alice")
    alice.open_messages_tab()
    await alice.say("app", "help")
    await installed.playground.until(
        lambda: (
            all(d.acknowledged for d in installed.playground.deliveries("message"))
            and installed.playground.deliveries("message")
        )
    )
    opened = installed.playground.deliveries("app_home_opened")[0].payload["event"]
    assert opened["tab"] == "messages"
    assert heard == [("im", "help")]


async def test_edits_and_deletions_are_events_too(install: Install) -> None:
    installed = await install(make_manifest(events=["message.channels"]))
    posted = await installed.client.chat_postMessage(channel="CORDERS001", text="one")
    await installed.client.chat_update(channel="CORDERS001", ts=posted["ts"], text="two")
    await installed.client.chat_delete(channel="CORDERS001", ts=posted["ts"])
    await installed.playground.until(lambda: len(installed.playground.deliveries("message")) == 3)
    events = [delivery.payload["event"] for delivery in installed.playground.deliveries("message")]
    assert [event.get("subtype") for event in events] == [None, "message_changed", "message_deleted"]
    assert events[0]["bot_id"] == "B0APPBOT01"
    assert events[1]["message"]["text"] == "two"
