"""The HTTP surface: alive, ready, metrics, and nothing of Slack's without a signature."""

from __future__ import annotations

import hashlib
import hmac
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult

from bot import web
from bot.errors import StartError

SECRET = "signing-secret-of-the-test"
BODY = urlencode({"command": "/platform", "text": "help", "user_id": "U1", "team_id": "T1"})


async def authorize() -> AuthorizeResult:
    return AuthorizeResult(enterprise_id=None, team_id="T1", bot_token="none", bot_user_id="UBOT")


def bolt_app() -> AsyncApp:
    """A real Bolt app with one command."""
    app = AsyncApp(
        signing_secret=SECRET, authorize=authorize, request_verification_enabled=True,
        process_before_response=True,
    )  # fmt: skip

    async def on_command(ack: Callable[..., Awaitable[None]]) -> None:
        await ack("heard")

    app.command("/platform")(on_command)
    return app


def signed(body: str, *, at: float | None = None, secret: str = SECRET) -> dict[str, str]:
    """Headers as Slack sends them: docs.slack.dev, "Verifying requests from Slack"."""
    moment = str(int(at if at is not None else time.time()))
    digest = hmac.new(secret.encode(), f"v0:{moment}:{body}".encode(), hashlib.sha256).hexdigest()
    return {
        "X-Slack-Request-Timestamp": moment,
        "X-Slack-Signature": f"v0={digest}",
        "Content-Type": "application/x-www-form-urlencoded",
    }


@asynccontextmanager
async def served(
    *,
    slack: AsyncApp | None = None,
    state: dict[str, bool] | None = None,
    registry: CollectorRegistry | None = None,
) -> AsyncIterator[aiohttp.ClientSession]:
    async def ready() -> dict[str, bool]:
        return state if state is not None else {"database": True}

    app = web.build(slack=slack, ready=ready, metrics=registry or CollectorRegistry())
    async with (
        web.serving(app, host="127.0.0.1", port=0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield session


async def test_the_process_lives() -> None:
    async with served() as http, http.get("/healthz") as answer:
        assert (answer.status, await answer.json()) == (200, {"ok": True})


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ({"database": True, "slack": True}, 200),
        ({"database": True, "slack": False}, 503),
        ({"database": False}, 503),
    ],
)
async def test_ready_means_everything_works_and_says_what_does_not(
    state: dict[str, bool], status: int
) -> None:
    async with served(state=state) as http, http.get("/readyz") as answer:
        assert (answer.status, await answer.json()) == (status, state)


async def test_metrics_are_prometheus_text() -> None:
    registry = CollectorRegistry()
    Counter("platform_things", "Things.", registry=registry).inc(3)
    async with served(registry=registry) as http, http.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert "platform_things_total 3.0" in await answer.text()


async def test_what_slack_signed_reaches_the_app() -> None:
    async with served(slack=bolt_app()) as http:
        answer = await http.post(web.SLACK_PATH, data=BODY, headers=signed(BODY))
        assert (answer.status, await answer.text()) == (200, "heard")


FORGED = {
    "no signature": {"Content-Type": "application/x-www-form-urlencoded"},
    "another secret": signed(BODY, secret="guessed"),
    "another body": signed(BODY + "&text=promote"),
    "an old one, replayed": signed(BODY, at=time.time() - 3600),
}


@pytest.mark.parametrize("headers", FORGED.values(), ids=FORGED.keys())
async def test_what_slack_did_not_sign_is_refused(headers: dict[str, str]) -> None:
    async with served(slack=bolt_app()) as http:
        answer = await http.post(web.SLACK_PATH, data=BODY, headers=headers)
        assert answer.status == 401
        assert "heard" not in await answer.text()


async def test_a_body_that_is_too_large_is_refused_before_it_is_read_by_the_app() -> None:
    body = "x" * (web.BODY_LIMIT_BYTES + 1)
    async with served(slack=bolt_app()) as http:
        answer = await http.post(web.SLACK_PATH, data=body, headers=signed(body))
        assert answer.status == 413


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_slacks_endpoint_takes_posts_only(method: str) -> None:
    async with served(slack=bolt_app()) as http:
        answer = await http.request(method, web.SLACK_PATH)
        assert answer.status == 405


async def test_with_socket_mode_there_is_no_endpoint_for_slack() -> None:
    async with served() as http:
        answer = await http.post(web.SLACK_PATH, data=BODY, headers=signed(BODY))
        assert answer.status == 404


async def test_a_port_in_use_is_said_with_the_way_out() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        app = web.build(slack=None, ready=_ready, metrics=CollectorRegistry())
        with pytest.raises(StartError) as refused:
            async with web.serving(app, host="127.0.0.1", port=port):
                pass
    assert refused.value.sentence == (
        f"Port {port} cannot be used: address already in use. Choose another with --port."
    )


async def _ready() -> dict[str, bool]:
    return {}


async def test_the_port_is_free_again_afterwards() -> None:
    app = web.build(slack=None, ready=_ready, metrics=CollectorRegistry())
    async with web.serving(app, host="127.0.0.1", port=0) as port:
        pass
    again = web.build(slack=None, ready=_ready, metrics=CollectorRegistry())
    async with web.serving(again, host="127.0.0.1", port=port) as same:
        assert same == port
