"""What tests order goes wrong exactly as often as ordered: rate limits, server errors, hangs, resets, lost answers."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from playground.server import Playground

from .conftest import Install, web_client


async def test_a_call_is_rate_limited_once(client: AsyncWebClient, playground: Playground) -> None:
    playground.fail_call("chat.postMessage", "ratelimited", retry_after_seconds=7)
    with pytest.raises(SlackApiError) as raised:
        await client.chat_postMessage(channel="CORDERS001", text="x")
    response = raised.value.response
    assert (response.status_code, response["error"], response.headers["Retry-After"]) == (
        429,
        "ratelimited",
        "7",
    )
    assert (await client.chat_postMessage(channel="CORDERS001", text="x"))["ok"]


async def test_the_sdk_waits_and_tries_again(playground: Playground) -> None:
    playground.fail_call("auth.test", "ratelimited", retry_after_seconds=0)
    patient = AsyncWebClient(
        token=playground.bot_token,
        base_url=playground.api_url,
        retry_handlers=[AsyncRateLimitErrorRetryHandler()],
    )
    assert (await patient.auth_test())["ok"]
    assert [call.status for call in playground.calls("auth.test")] == [429, 200]


async def test_a_server_error(client: AsyncWebClient, playground: Playground) -> None:
    playground.fail_call("auth.test", "http_error", status=503, code="service_unavailable")
    with pytest.raises(SlackApiError) as raised:
        await client.auth_test()
    assert raised.value.response.status_code == 503


async def test_a_gateway_answers_html(client: AsyncWebClient, playground: Playground) -> None:
    playground.fail_call("*", "html_502")
    with pytest.raises(SlackApiError):
        await client.auth_test()
    assert (await client.auth_test())["ok"]


async def test_an_error_code_of_choice(client: AsyncWebClient, playground: Playground) -> None:
    playground.fail_call("chat.update", "error", code="edit_window_closed", times=2)
    for _ in range(2):
        with pytest.raises(SlackApiError, match="edit_window_closed"):
            await client.chat_update(channel="CORDERS001", ts="1.0", text="x")
    with pytest.raises(SlackApiError, match="message_not_found"):
        await client.chat_update(channel="CORDERS001", ts="1.0", text="x")


async def test_a_reset_does_nothing_and_a_lost_answer_has_done_it(
    client: AsyncWebClient, playground: Playground
) -> None:
    playground.fail_call("chat.postMessage", "reset")
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel="CORDERS001", text="first")
    assert playground.app_messages("#orders") == []
    playground.fail_call("chat.postMessage", "lost_answer")
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel="CORDERS001", text="second")
    assert [message.text for message in playground.app_messages("#orders")] == ["second"]


async def test_the_default_retry_of_the_sdk_posts_twice_when_the_answer_is_lost(
    playground: Playground,
) -> None:
    """The reason why a bot removes that handler from its posting client."""
    playground.fail_call("chat.postMessage", "lost_answer")
    default = AsyncWebClient(token=playground.bot_token, base_url=playground.api_url)
    await default.chat_postMessage(channel="CORDERS001", text="once?")
    assert [message.text for message in playground.app_messages("#orders")] == ["once?", "once?"]


async def test_a_call_hangs_until_the_caller_gives_up(playground: Playground) -> None:
    playground.fail_call("auth.test", "hang")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(web_client(playground).auth_test(), timeout=0.1)
    assert (await web_client(playground).auth_test())["ok"]


async def test_a_hanging_call_does_not_hold_up_the_stop(playground: Playground) -> None:
    playground.fail_call("auth.test", "hang")
    calling = asyncio.ensure_future(web_client(playground).auth_test())
    await playground.until(lambda: playground.calls("auth.test"))
    async with asyncio.timeout(3):
        await playground.stop()
    with pytest.raises(aiohttp.ClientError):
        await calling


async def test_faults_can_be_called_off(client: AsyncWebClient, playground: Playground) -> None:
    playground.fail_call("auth.test", "reset", times=5)
    playground.clear_faults()
    assert (await client.auth_test())["ok"]


async def test_a_dropped_command_never_arrives(install: Install) -> None:
    installed = await install()
    playground = installed.playground
    playground.disturb_delivery("slash_commands", "drop")
    sending = asyncio.ensure_future(playground.actor("alice").command("#orders", "/platform x"))
    await playground.until(lambda: playground.deliveries("slash_commands"))
    playground.clock.advance(3.1)
    assert not (await sending).ok


async def test_a_lost_ack_tells_the_person_of_an_error_although_the_app_did_the_work(
    install: Install,
) -> None:
    installed = await install()
    done: list[str] = []

    @installed.app.command("/platform")
    async def answer(ack, command) -> None:  # type: ignore[no-untyped-def]
        await ack("done")
        done.append(command["text"])

    installed.playground.disturb_delivery("slash_commands", "lost_ack")
    sent = await installed.playground.actor("alice").command("#orders", "/platform x")
    assert not sent.ok
    assert done == ["x"]


async def test_a_delayed_event_arrives_when_its_time_has_come(install: Install) -> None:
    installed = await install()
    playground = installed.playground
    playground.disturb_delivery("app_home_opened", "delay", seconds=600)
    playground.actor("alice").open_home()
    await asyncio.sleep(0)
    assert playground.deliveries() == []
    playground.clock.advance(600)
    await playground.until(lambda: playground.deliveries())


# -- Slack's own limits --------------------------------------------------------------------------------------------------


async def test_limits_are_off_unless_switched_on(client: AsyncWebClient) -> None:
    for _ in range(30):
        await client.users_list()


async def test_a_tier_is_used_up_and_fills_with_time(client: AsyncWebClient, playground: Playground) -> None:
    playground.clock.freeze()
    playground.limit_rates()
    for _ in range(20):
        await client.users_list()
    with pytest.raises(SlackApiError) as raised:
        await client.users_list()
    assert raised.value.response.headers["Retry-After"] == "3"
    assert (await client.users_info(user="UALICE0001"))["ok"]
    playground.clock.advance(3)
    assert (await client.users_list())["ok"]


async def test_posts_are_limited_per_channel(client: AsyncWebClient, playground: Playground) -> None:
    playground.clock.freeze()
    playground.limit_rates()
    for _ in range(3):
        await client.chat_postMessage(channel="CORDERS001", text="x")
    with pytest.raises(SlackApiError, match="ratelimited"):
        await client.chat_postMessage(channel="CORDERS001", text="x")
    assert (await client.chat_postMessage(channel="CDEPLOYS01", text="x"))["ok"]
    playground.clock.advance(1)
    assert (await client.chat_postMessage(channel="CORDERS001", text="x"))["ok"]
