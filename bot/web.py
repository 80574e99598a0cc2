"""The HTTP surface: Slack's endpoint, liveness, readiness, metrics. Decides nothing; Bolt verifies what Slack sends."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.app.async_app import AsyncApp

from bot.errors import StartError

SLACK_PATH = "/slack/events"
BODY_LIMIT_BYTES = 1024 * 1024
Ready = Callable[[], Awaitable[dict[str, bool]]]


def build(*, slack: AsyncApp | None, ready: Ready, metrics: CollectorRegistry) -> web.Application:
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
    return app


def _slack_endpoint(slack: AsyncApp) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def endpoint(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await slack.async_dispatch(await to_bolt_request(request)))

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
