"""The HTTP surface: Slack's endpoint, hooks of the company's systems, liveness, readiness, metrics.

Decides nothing: Bolt verifies what Slack sends, and each backend what its own system does.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.app.async_app import AsyncApp

from bot.errors import StartError
from bot.hooks import Reception

SLACK_PATH = "/slack/events"
HOOKS_PATH = "/hooks"
BODY_LIMIT_BYTES = 1024 * 1024
"""GitHub may send 25 MiB. A push that large is not worth the memory of whoever has no secret: it is found by asking."""
BODY_SECONDS = 10.0
"""How long a hook's sender may take to send."""
Ready = Callable[[], Awaitable[dict[str, bool]]]


def build(
    *, slack: AsyncApp | None, ready: Ready, metrics: CollectorRegistry, hooks: Reception | None = None
) -> web.Application:
    """`slack` None leaves Slack's endpoint out (Socket Mode). `ready` names what must work and whether it does."""
    app = web.Application(client_max_size=BODY_LIMIT_BYTES)

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def readyz(_request: web.Request) -> web.Response:
        state = await ready()
        return web.json_response(state, status=200 if all(state.values()) else 503)

    async def show_metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", show_metrics)
    if slack is not None:
        app.router.add_post(SLACK_PATH, _slack_endpoint(slack))
    if hooks is not None:
        for name in hooks.names:
            app.router.add_post(f"{HOOKS_PATH}/{name}", _hook_endpoint(hooks, name))
    return app


def _slack_endpoint(slack: AsyncApp) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def endpoint(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await slack.async_dispatch(await to_bolt_request(request)))

    return endpoint


def _hook_endpoint(hooks: Reception, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def endpoint(request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await request.read()
        except TimeoutError as error:
            hooks.refused(name, "too_slow")
            raise web.HTTPRequestTimeout from error
        except web.HTTPRequestEntityTooLarge:
            hooks.refused(name, "too_large")
            raise
        answer = await hooks.receive(name, request.headers, body)
        return web.json_response({"status": answer.word}, status=answer.status)

    return endpoint


@asynccontextmanager
async def serving(app: web.Application, *, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the context is open; yields the port. Raises StartError when it is in use."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            site = web.TCPSite(runner, host, port)
            await site.start()
        except OSError as error:
            # asyncio puts its own words and the address into the message; the system's word for the number is enough.
            why = os.strerror(error.errno).lower() if error.errno else str(error)
            raise StartError(
                f"Port {port} cannot be used: {why}.",
                fix="Choose another with --port.",
            ) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
