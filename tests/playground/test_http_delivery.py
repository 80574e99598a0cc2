"""Signed HTTP as Slack sends it, received by a bare server: signatures, bodies, deadlines, retries of events only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier

from playground.server import Playground

from .conftest import Install, StartPlayground, make_manifest, web_client

Answer = Callable[[], Awaitable[web.Response]]


async def acknowledge() -> web.Response:
    return web.Response()


@dataclass
class Receiver:
    """What stands behind the request URL: keeps each request, answers what the test says."""

    playground: Playground
    answers: list[Answer] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def receive(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        answer = self.answers.pop(0) if self.answers else acknowledge
        return await answer()


@pytest.fixture
async def receiver(cleanup: AsyncExitStack, start_playground: StartPlayground) -> Receiver:
    holder: list[Receiver] = []

    async def receive(request: web.Request) -> web.Response:
        return await holder[0].receive(request)

    app = web.Application()
    app.router.add_post("/slack/events", receive)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    cleanup.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    playground = await start_playground(make_manifest(socket_mode=False), request_url=url)
    holder.append(Receiver(playground))
    return holder[0]


def answering(status: int = 200, **options: object) -> Answer:
    async def answer() -> web.Response:
        return web.Response(status=status, **options)  # type: ignore[arg-type]

    return answer


async def never() -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


async def test_a_command_is_a_signed_form(receiver: Receiver) -> None:
    await receiver.playground.actor("alice").command("#orders", "/platform status orders")
    [(headers, body)] = receiver.requests
    verifier = SignatureVerifier(receiver.playground.signing_secret)
    assert verifier.is_valid_request(body, headers)
    assert not verifier.is_valid_request(body + b"x", headers)
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    form = {key: values[0] for key, values in parse_qs(body.decode()).items()}
    assert form["command"] == "/platform"
    assert form["text"] == "status orders"
    assert form["user_id"] == "UALICE0001"
    assert form["channel_name"] == "orders"
    assert form["is_enterprise_install"] == "false"
    assert form["response_url"].startswith(receiver.playground.base_url)


async def test_an_event_is_signed_json_and_retried_with_headers(receiver: Receiver) -> None:
    receiver.answers += [answering(500), never]
    receiver.playground.actor("alice").open_home()
    await receiver.playground.until(lambda: len(receiver.playground.deliveries()) == 2)
    await _until_requests(receiver, 2)
    receiver.playground.clock.advance(3.1)
    await receiver.playground.until(lambda: receiver.playground.deliveries()[1].outcome == "timeout")
    receiver.playground.clock.advance(60)
    await receiver.playground.until(lambda: receiver.playground.deliveries()[-1].acknowledged)
    retries = [
        (headers.get("X-Slack-Retry-Num"), headers.get("X-Slack-Retry-Reason"))
        for headers, _ in receiver.requests
    ]
    assert retries == [(None, None), ("1", "http_error"), ("2", "http_timeout")]
    assert len({json.loads(body)["event_id"] for _, body in receiver.requests}) == 1


async def _until_requests(receiver: Receiver, count: int) -> None:
    async with asyncio.timeout(5):
        while len(receiver.requests) < count:
            await asyncio.sleep(0.005)


async def test_an_app_can_stop_the_retries(receiver: Receiver) -> None:
    receiver.answers += [answering(500, headers={"x-slack-no-retry": "1"})]
    receiver.playground.actor("alice").open_home()
    await receiver.playground.until(
        lambda: (
            receiver.playground.deliveries()[-1:] and receiver.playground.deliveries()[-1].outcome == "failed"
        )
    )
    receiver.playground.clock.advance(1000)
    await asyncio.sleep(0)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (answering(500), "http_service_error"),
        (answering(404), "http_client_error"),
        (answering(302, headers={"Location": "/elsewhere"}), "http_client_error"),
        (answering(200, text="{", content_type="application/json"), "invalid_command_response"),
    ],
)
async def test_a_failed_command_is_told_to_the_person_and_not_repeated(
    receiver: Receiver, answer: Answer, error: str
) -> None:
    receiver.answers += [answer]
    sent = await receiver.playground.actor("alice").command("#orders", "/platform x")
    assert sent.notice == f'/platform failed with the error "{error}"'
    receiver.playground.clock.advance(1000)
    assert len(receiver.requests) == 1


async def test_the_deadline_is_three_seconds(receiver: Receiver) -> None:
    receiver.answers += [never]
    receiver.playground.clock.freeze()
    sending = asyncio.ensure_future(receiver.playground.actor("alice").command("#orders", "/platform x"))
    await _until_requests(receiver, 1)
    receiver.playground.clock.advance(2.9)
    # A whole delivery later, one that had run out of time would have been told.
    await receiver.playground.actor("lena").command("#orders", "/platform y")
    assert not sending.done()
    receiver.playground.clock.advance(0.2)
    assert (await sending).notice == '/platform failed with the error "operation_timeout"'


async def test_a_plain_text_answer_is_shown_to_the_person_alone(receiver: Receiver) -> None:
    receiver.answers += [answering(200, text="All good")]
    alice = receiver.playground.actor("alice")
    await alice.command("#orders", "/platform x")
    assert [(m.text, m.ephemeral) for m in alice.sees("#orders")] == [("All good", True)]


async def test_an_answer_in_channel_publishes_the_typed_line_too(receiver: Receiver) -> None:
    body = json.dumps({"response_type": "in_channel", "text": "Deployed"})
    receiver.answers += [answering(200, text=body, content_type="application/json")]
    await receiver.playground.actor("alice").command("#orders", "/platform deploy --token s3cret")
    seen = receiver.playground.actor("lena").sees("#orders")
    assert [(m.user, m.text) for m in seen] == [
        ("UALICE0001", "/platform deploy --token s3cret"),
        ("U0APPBOT01", "Deployed"),
    ]


async def test_an_answer_with_broken_blocks_is_refused(receiver: Receiver) -> None:
    body = json.dumps({"blocks": [{"type": "nope"}]})
    receiver.answers += [answering(200, text=body, content_type="application/json")]
    sent = await receiver.playground.actor("alice").command("#orders", "/platform x")
    assert sent.notice == '/platform failed with the error "invalid_command_response"'
    assert "invalid_blocks" in (receiver.playground.deliveries()[0].note or "")


async def test_an_app_that_is_down(start_playground: StartPlayground) -> None:
    playground = await start_playground(delivery="http", request_url="http://127.0.0.1:9/slack/events")
    sent = await playground.actor("alice").command("#orders", "/platform x")
    assert sent.notice == '/platform failed with the error "dispatch_failed"'


async def test_http_delivery_needs_an_address(start_playground: StartPlayground) -> None:
    with pytest.raises(ValueError, match="request_url"):
        await start_playground(delivery="http")


async def test_bolt_verifies_the_request_url_and_survives_the_ssl_check(install_over_http: Install) -> None:
    installed = await install_over_http()
    assert await installed.playground.verify_request_url()
    await installed.playground.ssl_check()


async def test_in_http_mode_no_socket_can_be_opened(install_over_http: Install) -> None:
    installed = await install_over_http()
    with pytest.raises(TypeError):
        await installed.playground.until_connected()
    with_app_token = web_client(installed.playground, installed.playground.app_token)
    with pytest.raises(SlackApiError, match="not_allowed"):
        await with_app_token.apps_connections_open(app_token=installed.playground.app_token)
