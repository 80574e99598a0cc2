"""Socket Mode as Slack speaks it, seen by a bare websocket: tickets, hello, acks, one connection, retries, goodbyes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp

from playground.server import Playground

from .conftest import Install, eventually, make_manifest, web_client


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def ticket_url(playground: Playground) -> str:
    client = web_client(playground, playground.app_token)
    return str((await client.apps_connections_open(app_token=playground.app_token))["url"])


async def connect(playground: Playground, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    socket = await session.ws_connect(await ticket_url(playground))
    hello = await socket.receive_json()
    assert hello["type"] == "hello"
    return socket


async def test_a_ticket_opens_one_connection(playground: Playground, session: aiohttp.ClientSession) -> None:
    url = await ticket_url(playground)
    socket = await session.ws_connect(url)
    hello = await socket.receive_json()
    assert hello["num_connections"] == 1
    assert hello["connection_info"] == {"app_id": "A0APP00001"}
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await session.ws_connect(url)
    assert refused.value.status == 403
    await socket.close()


async def test_a_ticket_expires(playground: Playground, session: aiohttp.ClientSession) -> None:
    url = await ticket_url(playground)
    playground.clock.advance(31)
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await session.ws_connect(url)


async def test_an_envelope_goes_to_one_connection_and_needs_its_ack_there(
    playground: Playground, session: aiohttp.ClientSession
) -> None:
    sockets = [await connect(playground, session) for _ in range(2)]
    sending = asyncio.ensure_future(playground.actor("alice").command("#orders", "/platform status"))
    receiving = {asyncio.ensure_future(socket.receive_json()): socket for socket in sockets}
    done, pending = await asyncio.wait(receiving, return_when=asyncio.FIRST_COMPLETED)
    [got] = done
    envelope = got.result()
    assert envelope["type"] == "slash_commands"
    assert envelope["accepts_response_payload"] is True
    assert envelope["payload"]["text"] == "status"
    [other] = [socket for receive, socket in receiving.items() if receive in pending]
    await other.send_json({"envelope_id": envelope["envelope_id"]})
    await playground.until(playground.ignored_acks)
    assert not sending.done()
    await receiving[got].send_json({"envelope_id": envelope["envelope_id"], "payload": {"text": "fine"}})
    assert (await sending).ok
    for receive in pending:
        receive.cancel()


async def test_without_an_ack_in_three_seconds_the_person_is_told(
    playground: Playground, session: aiohttp.ClientSession
) -> None:
    socket = await connect(playground, session)
    alice = playground.actor("alice")
    sending = asyncio.ensure_future(alice.command("#orders", "/platform status"))
    envelope = await socket.receive_json()
    playground.clock.advance(3.1)
    sent = await sending
    assert sent.notice == '/platform failed with the error "operation_timeout"'
    assert [(m.text, m.system) for m in alice.ephemerals("#orders")] == [(sent.notice, True)]
    await socket.send_json({"envelope_id": envelope["envelope_id"], "payload": {"text": "late"}})
    await playground.until(playground.ignored_acks)
    assert len(alice.ephemerals("#orders")) == 1
    assert len(playground.deliveries("slash_commands")) == 1


async def test_without_a_connection_a_command_fails_at_once(playground: Playground) -> None:
    sent = await playground.actor("alice").command("#orders", "/platform status")
    assert sent.notice == '/platform failed with the error "dispatch_failed"'


async def test_events_are_retried_with_the_same_event_id(
    playground: Playground, session: aiohttp.ClientSession
) -> None:
    socket = await connect(playground, session)
    playground.actor("alice").open_home()
    first = await socket.receive_json()
    assert (first["retry_attempt"], first["retry_reason"]) == (0, "")
    assert first["accepts_response_payload"] is False
    playground.clock.advance(3.1)
    second = await socket.receive_json()
    assert (second["retry_attempt"], second["retry_reason"]) == (1, "timeout")
    playground.clock.advance(3.1)
    await playground.until(
        lambda: len(playground.deliveries()) == 2 and playground.deliveries()[1].outcome == "timeout"
    )
    playground.clock.advance(60)
    third = await socket.receive_json()
    await socket.send_json({"envelope_id": third["envelope_id"]})
    await playground.until(lambda: playground.deliveries()[-1].acknowledged)
    ids = {envelope["payload"]["event_id"] for envelope in (first, second, third)}
    assert len(ids) == 1
    assert len({envelope["envelope_id"] for envelope in (first, second, third)}) == 3
    playground.clock.advance(1000)
    assert [delivery.retry_num for delivery in playground.deliveries()] == [0, 1, 2]


async def test_the_eleventh_connection_is_sent_away(
    playground: Playground, session: aiohttp.ClientSession
) -> None:
    first_ten = [await connect(playground, session) for _ in range(10)]
    eleventh = await session.ws_connect(await ticket_url(playground))
    goodbye = await eleventh.receive_json()
    assert (goodbye["type"], goodbye["reason"]) == ("disconnect", "too_many_websockets")
    assert (await eleventh.receive()).type is aiohttp.WSMsgType.CLOSE
    assert playground.connection_count == len(first_ten)


async def test_a_duplicate_reaches_the_app_twice_and_the_person_once(install: Install) -> None:
    installed = await install()
    seen: list[str] = []

    @installed.app.command("/platform")
    async def answer(ack: Any, command: Any) -> None:
        seen.append(command["trigger_id"])
        await ack("once")

    installed.playground.disturb_delivery("slash_commands", "duplicate")
    alice = installed.playground.actor("alice")
    assert (await alice.command("#orders", "/platform x")).ok
    await eventually(lambda: len(seen) == 2)
    assert len(set(seen)) == 1
    assert [m.text for m in alice.ephemerals("#orders")] == ["once"]


async def test_a_lost_ack_of_an_event_brings_it_again(install: Install) -> None:
    installed = await install()
    seen: list[tuple[str, str | None]] = []

    @installed.app.event("app_home_opened")
    async def opened(body: Any, request: Any) -> None:
        # Socket Mode says 0 on the first attempt, HTTP says nothing.
        retries = request.headers.get("x-slack-retry-num", ["0"])
        seen.append((body["event_id"], retries[0]))

    installed.playground.disturb_delivery("app_home_opened", "lost_ack")
    installed.playground.actor("alice").open_home()
    await installed.playground.until(
        lambda: [d.acknowledged for d in installed.playground.deliveries()] == [False, True]
    )
    assert len({event_id for event_id, _ in seen}) == 1
    assert [retry for _, retry in seen] == ["0", "1"]


async def test_the_real_client_comes_back_after_each_kind_of_goodbye(
    install_over_socket: Install,
) -> None:
    installed = await install_over_socket()
    playground = installed.playground

    @installed.app.command("/platform")
    async def answer(ack: Any) -> None:
        await ack("here")

    alice = playground.actor("alice")
    for reason in ("warning", "refresh_requested"):
        before = playground.connections_opened
        await playground.announce_disconnect(reason)
        await playground.until(
            lambda before=before: playground.connections_opened > before and playground.connection_count == 1
        )
        assert (await alice.command("#orders", "/platform x")).ok
    # A line that breaks is noticed by the client's monitor; link_disabled makes it connect again at once.
    before = playground.connections_opened
    await playground.announce_disconnect("link_disabled")
    await playground.until(lambda: playground.connections_opened > before)


async def test_a_cut_connection_loses_the_command_and_nothing_else(
    playground: Playground, session: aiohttp.ClientSession
) -> None:
    socket = await connect(playground, session)
    playground.disturb_delivery("slash_commands", "disconnect")
    sending = asyncio.ensure_future(playground.actor("alice").command("#orders", "/platform x"))
    while (frame := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
        pass
    assert frame.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.ERROR)
    playground.clock.advance(3.1)
    assert not (await sending).ok
    await connect(playground, session)


async def test_bolt_that_does_not_ack_is_a_timeout_for_the_person(install_over_socket: Install) -> None:
    """Bolt sends no ack at all when no listener matches."""
    installed = await install_over_socket()
    alice = installed.playground.actor("alice")
    sending = asyncio.ensure_future(alice.command("#orders", "/platform x"))
    await installed.playground.until(lambda: installed.playground.deliveries("slash_commands"))
    installed.playground.clock.advance(3.1)
    assert (await sending).notice == '/platform failed with the error "operation_timeout"'


async def test_only_subscribed_events_with_their_scope_arrive(install_over_socket: Install) -> None:
    manifest = make_manifest(events=["app_mention"], scopes=["chat:write", "commands"])
    installed = await install_over_socket(manifest)
    alice = installed.playground.actor("alice")
    alice.open_home()
    await alice.say("#orders", "@platform hello")
    assert installed.playground.deliveries() == []


async def test_two_bolt_apps_share_the_traffic(install_over_socket: Install) -> None:
    """Each payload goes to one of them: two environments on one app steal from each other."""
    installed = await install_over_socket()
    playground = installed.playground
    other = AsyncApp(client=web_client(playground), signing_secret=playground.signing_secret)
    handler = AsyncSocketModeHandler(other, playground.app_token)
    await handler.connect_async()
    await playground.until_connected(connections=2)
    seen: list[str] = []
    for name, app in (("one", installed.app), ("two", other)):

        def listen(name: str = name, app: AsyncApp = app) -> None:
            @app.command("/platform")
            async def answer(ack: Any) -> None:
                seen.append(name)
                await ack()

        listen()
    for _ in range(4):
        await playground.actor("alice").command("#orders", "/platform x")
    assert sorted(seen) == ["one", "one", "two", "two"]
    await handler.close_async()
