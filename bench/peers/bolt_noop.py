"""slack-bolt for Python as its documentation shows it, with nothing to do: AsyncApp on aiohttp, `process_before_response`.

`python bench/peers/bolt_noop.py PORT [--poll] [--listeners N]`: with `--poll` Bolt looks for the ack every 10 ms, which is its
default; with more listeners it tries them one after the other.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult

SECRET = "bench-signing-secret"  # noqa: S105 - of the bench alone


def build(*, poll: bool, listeners: int) -> AsyncApp:
    authorized = AuthorizeResult(
        enterprise_id=None,
        team_id="TACME00001",
        bot_token="xoxb-bench",  # noqa: S106 - of the bench alone
        bot_id="B1",
        bot_user_id="U1",
    )

    async def authorize() -> AuthorizeResult:
        return authorized

    app = AsyncApp(signing_secret=SECRET, authorize=authorize, process_before_response=not poll)
    for index in range(listeners):
        app.command(f"/other-{index}")(_acknowledge)
    app.command("/platform")(_acknowledge)
    return app


async def _acknowledge(ack: Callable[..., Awaitable[Any]]) -> None:
    await ack()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--poll", action="store_true")
    parser.add_argument("--listeners", type=int, default=0)
    options = parser.parse_args()
    app = build(poll=options.poll, listeners=options.listeners)

    async def endpoint(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await app.async_dispatch(await to_bolt_request(request)))

    server = web.Application()
    server.router.add_post("/slack/events", endpoint)
    web.run_app(server, host="127.0.0.1", port=options.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
