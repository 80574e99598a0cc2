"""A playground with a small real Bolt app against it, over Socket Mode or signed HTTP. Nothing of the bot is involved."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.async_app import AsyncBoltRequest
from slack_sdk.web.async_client import AsyncWebClient

from playground.server import Playground

SCOPES = [
    "app_mentions:read",
    "channels:history",
    "channels:join",
    "channels:read",
    "chat:write",
    "commands",
    "groups:history",
    "groups:read",
    "im:history",
    "im:read",
    "im:write",
    "reactions:write",
    "team:read",
    "usergroups:read",
    "users:read",
    "users:read.email",
]
EVENTS = [
    "app_home_opened",
    "app_mention",
    "message.channels",
    "message.im",
    "subteam_members_changed",
    "user_change",
]


def make_manifest(**changes: Any) -> dict[str, Any]:
    """`scopes`, `events`, `should_escape`, `home_tab`, `messages_tab`, `socket_mode` differ from the usual app."""
    return {
        "display_information": {"name": "Platform"},
        "features": {
            "app_home": {
                "home_tab_enabled": changes.get("home_tab", True),
                "messages_tab_enabled": changes.get("messages_tab", True),
            },
            "bot_user": {"display_name": "platform"},
            "slash_commands": [
                {
                    "command": "/platform",
                    "description": "The platform",
                    "usage_hint": "status",
                    "should_escape": changes.get("should_escape", True),
                }
            ],
        },
        "oauth_config": {"scopes": {"bot": changes.get("scopes", SCOPES)}},
        "settings": {
            "event_subscriptions": {"bot_events": changes.get("events", EVENTS)},
            "interactivity": {"is_enabled": True},
            "socket_mode_enabled": changes.get("socket_mode", True),
        },
    }


@dataclass
class Installed:
    """A playground and the real Bolt app that serves it."""

    playground: Playground
    app: AsyncApp
    client: AsyncWebClient


StartPlayground = Callable[..., Awaitable[Playground]]
Install = Callable[..., Awaitable[Installed]]


@pytest.fixture
async def cleanup() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def start_playground(cleanup: AsyncExitStack) -> StartPlayground:
    async def start(manifest: dict[str, Any] | None = None, **options: Any) -> Playground:
        return await cleanup.enter_async_context(Playground(manifest or make_manifest(), **options))

    return start


async def eventually(look: Callable[[], object], *, timeout_seconds: float = 5.0) -> None:
    """For what happens in the app under test, of which the playground is not told."""
    deadline = time.monotonic() + timeout_seconds
    while not look():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


def web_client(playground: Playground, token: str | None = None) -> AsyncWebClient:
    """Without retries, so that a test sees each answer."""
    return AsyncWebClient(token=token or playground.bot_token, base_url=playground.api_url, retry_handlers=[])


@pytest.fixture
async def playground(start_playground: StartPlayground) -> Playground:
    return await start_playground()


@pytest.fixture
def client(playground: Playground) -> AsyncWebClient:
    return web_client(playground)


@pytest.fixture
def install_over_socket(start_playground: StartPlayground, cleanup: AsyncExitStack) -> Install:
    async def install(manifest: dict[str, Any] | None = None, **options: Any) -> Installed:
        playground = await start_playground(manifest, **options)
        app = AsyncApp(client=web_client(playground), signing_secret=playground.signing_secret)
        handler = AsyncSocketModeHandler(app, playground.app_token)
        await handler.connect_async()
        cleanup.push_async_callback(handler.close_async)
        await playground.until_connected()
        return Installed(playground, app, app.client)

    return install


@pytest.fixture
def install_over_http(cleanup: AsyncExitStack) -> Install:
    async def install(manifest: dict[str, Any] | None = None, **options: Any) -> Installed:
        apps: list[AsyncApp] = []

        async def receive(request: web.Request) -> web.Response:
            body = await request.text()
            headers = {key: [value] for key, value in request.headers.items()}
            answer = await apps[0].async_dispatch(AsyncBoltRequest(body=body, headers=headers))
            first = {key: values[0] for key, values in answer.headers.items()}
            return web.Response(status=answer.status, text=answer.body, headers=first)

        server = web.Application()
        server.router.add_post("/slack/events", receive)
        runner = web.AppRunner(server, access_log=None)
        await runner.setup()
        cleanup.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
        playground = await cleanup.enter_async_context(
            Playground(manifest or make_manifest(), delivery="http", request_url=url, **options)
        )
        apps.append(AsyncApp(client=web_client(playground), signing_secret=playground.signing_secret))
        return Installed(playground, apps[0], apps[0].client)

    return install


@pytest.fixture(params=["socket", "http"])
def install(request: pytest.FixtureRequest) -> Install:
    """Each test runs over both deliveries."""
    chosen: Install = request.getfixturevalue(f"install_over_{request.param}")
    return chosen
