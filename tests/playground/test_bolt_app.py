"""A real Bolt app lives in the playground as it lives in Slack: over Socket Mode and over signed HTTP, unchanged."""

from __future__ import annotations

from typing import Any

from .conftest import Install

MODAL = {
    "type": "modal",
    "callback_id": "ask",
    "title": {"type": "plain_text", "text": "Ask"},
    "submit": {"type": "plain_text", "text": "Send"},
    "blocks": [
        {
            "type": "input",
            "block_id": "reason",
            "label": {"type": "plain_text", "text": "Reason"},
            "element": {"type": "plain_text_input", "action_id": "text"},
        }
    ],
}
BUTTON = {
    "type": "actions",
    "block_id": "decision",
    "elements": [
        {
            "type": "button",
            "action_id": "approve",
            "value": "42",
            "text": {"type": "plain_text", "text": "Approve"},
        }
    ],
}


async def test_a_command_is_answered_privately_and_a_message_posted(install: Install) -> None:
    installed = await install()

    @installed.app.command("/platform")
    async def answer(ack: Any, command: Any, client: Any) -> None:
        await ack(f"You said {command['text']}")
        await client.chat_postMessage(channel="CDEPLOYS01", text="*orders* deployed")

    alice = installed.playground.actor("alice")
    sent = await alice.command("#orders", "/platform status orders")
    assert sent.ok
    assert [m.text for m in alice.ephemerals("#orders")] == ["You said status orders"]
    await installed.playground.actor("lena").wait_for_message("#deploys", "deployed")


async def test_a_click_opens_a_modal_whose_submission_changes_the_message(install: Install) -> None:
    installed = await install()
    app, playground = installed.app, installed.playground
    posted = await installed.client.chat_postMessage(channel="CORDERS001", text="Promote?", blocks=[BUTTON])

    @app.action("approve")
    async def ask(ack: Any, body: Any, client: Any) -> None:
        await ack()
        assert body["actions"][0]["value"] == "42"
        await client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    @app.view("ask")
    async def decide(ack: Any, view: Any, client: Any) -> None:
        await ack()
        reason = view["state"]["values"]["reason"]["text"]["value"]
        await client.chat_update(channel="CORDERS001", ts=posted["ts"], text=f"Approved: {reason}")

    lena = playground.actor("lena")
    message = await lena.wait_for_message("#orders", "Promote?")
    assert (await lena.click(message, "Approve")).ok
    await lena.wait_for_view("Ask")
    assert (await lena.submit({"text": "looks good"})).ok
    assert lena.views() == []
    changed = await lena.wait_for_message("#orders", "Approved: looks good")
    assert changed.blocks is None


async def test_opening_the_home_tab_publishes_it(install: Install) -> None:
    installed = await install()

    @installed.app.event("app_home_opened")
    async def publish(event: Any, client: Any) -> None:
        view = {"type": "home", "blocks": [{"type": "divider"}]}
        await client.views_publish(user_id=event["user"], view=view)

    alice = installed.playground.actor("alice")
    assert alice.open_home() is None
    view = await installed.playground.until(alice.home)
    assert view is not None
    assert view.type == "home"
    assert installed.playground.actor("lena").home() is None


async def test_a_person_mentions_the_app(install: Install) -> None:
    installed = await install()

    @installed.app.event("app_mention")
    async def reply(event: Any, say: Any) -> None:
        await say(text=f"Hello <@{event['user']}>", thread_ts=event["ts"])

    alice = installed.playground.actor("alice")
    await alice.say("#orders", "hey @platform")
    await alice.wait_for_message("#orders", "Hello <@UALICE0001>")
