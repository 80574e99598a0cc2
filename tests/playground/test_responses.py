"""Response URLs and trigger ids: five uses in thirty minutes, one use in three seconds, and what a response may touch."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from playground.messages import Message
from playground.server import Playground

from .conftest import Install, Installed

BLOCKS: list[dict[str, Any]] = [
    {
        "type": "actions",
        "elements": [{"type": "button", "action_id": "go", "text": {"type": "plain_text", "text": "Go"}}],
    }
]
MODAL = {
    "type": "modal",
    "title": {"type": "plain_text", "text": "Hello"},
    "blocks": [{"type": "divider"}],
}


async def respond(url: str, **payload: Any) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(url, json=payload) as response:
        return response.status, await response.text()


async def url_of_command(playground: Playground) -> str:
    """The URL is valid although no app answers the command."""
    await playground.actor("alice").command("#orders", "/platform x")
    return str(playground.deliveries("slash_commands")[-1].payload["response_url"])


async def url_of_click(playground: Playground, message: Message, person: str = "alice") -> str:
    await playground.actor(person).click(message, "go")
    return str(playground.deliveries("block_actions")[-1].payload["response_url"])


def texts(playground: Playground, person: str = "alice") -> list[str]:
    seen = playground.actor(person).sees("#orders")
    return [message.text for message in seen if not message.system]


async def test_five_uses_and_no_more(playground: Playground) -> None:
    url = await url_of_command(playground)
    for number in range(5):
        assert await respond(url, text=f"{number}") == (200, "ok")
    assert await respond(url, text="6") == (404, "used_url")
    assert texts(playground) == ["0", "1", "2", "3", "4"]


async def test_thirty_minutes(playground: Playground) -> None:
    url = await url_of_command(playground)
    playground.clock.advance(30 * 60 - 1)
    assert (await respond(url, text="just in time"))[0] == 200
    playground.clock.advance(2)
    assert await respond(url, text="late") == (404, "expired_url")
    assert await respond(url + "x", text="guessed") == (404, "invalid_url")


async def test_a_response_is_private_unless_it_says_otherwise(playground: Playground) -> None:
    url = await url_of_command(playground)
    await respond(url, text="for you")
    await respond(url, text="for all", response_type="in_channel")
    assert texts(playground) == ["for you", "for all"]
    assert texts(playground, "lena") == ["for all"]


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ({}, "no_text"),
        ({"blocks": [{"type": "nope"}]}, "invalid_blocks"),
        ({"delete_original": True}, "invalid_payload"),
    ],
)
async def test_a_refused_response_is_not_a_use(
    playground: Playground, payload: dict[str, Any], error: str
) -> None:
    url = await url_of_command(playground)
    for _ in range(6):
        assert await respond(url, **payload) == (400, error)
    assert (await respond(url, text="fine"))[0] == 200


async def test_the_url_of_a_command_replaces_nothing(playground: Playground) -> None:
    url = await url_of_command(playground)
    await respond(url, text="one")
    await respond(url, text="two", replace_original=True)
    assert texts(playground) == ["one", "two"]


async def test_it_works_where_the_app_is_not(playground: Playground) -> None:
    await playground.actor("sam").command("#security-incidents", "/platform x")
    payload = playground.deliveries("slash_commands")[-1].payload
    assert payload["channel_name"] == "privategroup"
    await respond(payload["response_url"], text="quietly")
    assert [m.text for m in playground.actor("sam").sees("#security-incidents") if not m.system] == [
        "quietly"
    ]
    await playground.actor("alice").command("@lena", "/platform x")
    payload = playground.deliveries("slash_commands")[-1].payload
    assert payload["channel_name"] == "directmessage"
    assert (await respond(payload["response_url"], text="psst"))[0] == 200


async def test_a_click_may_replace_or_delete_its_message(
    client: AsyncWebClient, playground: Playground
) -> None:
    await client.chat_postMessage(channel="CORDERS001", text="original", blocks=BLOCKS)
    [message] = playground.app_messages("#orders")
    url = await url_of_click(playground, message)
    await respond(url, text="beside it", replace_original=False)
    assert texts(playground) == ["original", "beside it"]
    await respond(url, text="replaced", replace_original=True)
    assert texts(playground, "lena") == ["replaced"]
    assert message.blocks is None
    await respond(url, delete_original=True)
    assert texts(playground, "lena") == []


async def test_a_click_on_an_ephemeral_message_may_replace_it(
    client: AsyncWebClient, playground: Playground
) -> None:
    await client.chat_postEphemeral(channel="CORDERS001", user="UALICE0001", text="original", blocks=BLOCKS)
    alice = playground.actor("alice")
    [message] = alice.ephemerals("#orders")
    url = await url_of_click(playground, message)
    payload = playground.deliveries("block_actions")[-1].payload
    assert payload["container"]["is_ephemeral"] is True
    assert "message" not in payload
    await respond(url, text="replaced", replace_original=True)
    assert texts(playground) == ["replaced"]
    await respond(url, delete_original=True)
    assert texts(playground) == []


async def test_bolt_responds(install: Install) -> None:
    installed = await install()

    @installed.app.command("/platform")
    async def answer(ack: Any, respond: Any) -> None:
        await ack()
        await respond("later")

    alice = installed.playground.actor("alice")
    await alice.command("#orders", "/platform x")
    await alice.wait_for_message("#orders", "later")


# -- trigger ids -------------------------------------------------------------------------------------------------------


async def trigger(playground: Playground) -> str:
    await playground.actor("alice").command("#orders", "/platform x")
    return str(playground.deliveries("slash_commands")[-1].payload["trigger_id"])


async def test_a_trigger_opens_one_view_within_three_seconds(
    client: AsyncWebClient, playground: Playground
) -> None:
    trigger_id = await trigger(playground)
    playground.clock.advance(2.5)
    await client.views_open(trigger_id=trigger_id, view=MODAL)
    assert [view.payload["title"]["text"] for view in playground.actor("alice").views()] == ["Hello"]
    with pytest.raises(SlackApiError, match="exchanged_trigger_id"):
        await client.views_open(trigger_id=trigger_id, view=MODAL)
    late = await trigger(playground)
    playground.clock.advance(3.1)
    with pytest.raises(SlackApiError, match="expired_trigger_id"):
        await client.views_open(trigger_id=late, view=MODAL)
    with pytest.raises(SlackApiError, match="invalid_trigger_id"):
        await client.views_open(trigger_id="1.2.3", view=MODAL)


async def test_an_invalid_view_does_not_spend_the_trigger(
    client: AsyncWebClient, playground: Playground
) -> None:
    trigger_id = await trigger(playground)
    broken = MODAL | {"title": {"type": "plain_text", "text": "x" * 25}}
    with pytest.raises(SlackApiError) as raised:
        await client.views_open(trigger_id=trigger_id, view=broken)
    assert raised.value.response["error"] == "invalid_arguments"
    assert raised.value.response["response_metadata"]["messages"] == [
        "[ERROR] must be less than 25 characters [json-pointer:/view/title/text]"
    ]
    assert (await client.views_open(trigger_id=trigger_id, view=MODAL))["ok"]


async def test_two_people_press_at_once_and_one_presses_what_is_gone(install: Install) -> None:
    installed: Installed = await install()
    pressed: list[tuple[str, str]] = []

    @installed.app.action("go")
    async def go(ack: Any, body: Any, client: Any) -> None:
        await ack()
        pressed.append((body["user"]["id"], body["message"]["blocks"][0]["elements"][0]["action_id"]))
        await client.chat_update(channel="CORDERS001", ts=body["message"]["ts"], text="Decided")

    await installed.client.chat_postMessage(channel="CORDERS001", text="x", blocks=BLOCKS)
    playground = installed.playground
    [message] = playground.app_messages("#orders")
    await playground.actor("lena").click(message, "Go")
    await playground.until(lambda: message.blocks is None)
    assert (await playground.actor("omar").click(message, "Go")).ok
    assert pressed == [("ULENA00001", "go"), ("UOMAR00001", "go")]
