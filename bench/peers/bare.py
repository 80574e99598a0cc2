"""The limit: aiohttp, the signature checked, an empty answer. Nothing faster can be built on this server."""

from __future__ import annotations

import hashlib
import hmac
import sys
import time
from urllib.parse import parse_qsl

from aiohttp import web

SECRET = "bench-signing-secret"  # noqa: S105 - of the bench alone
MOST_AGE_SECONDS = 300


async def acknowledge(request: web.Request) -> web.Response:
    body = await request.read()
    timestamp = request.headers["X-Slack-Request-Timestamp"]
    base = f"v0:{timestamp}:".encode() + body
    expected = "v0=" + hmac.new(SECRET.encode(), base, hashlib.sha256).hexdigest()
    fresh = abs(time.time() - int(timestamp)) < MOST_AGE_SECONDS
    if not fresh or not hmac.compare_digest(expected, request.headers["X-Slack-Signature"]):
        return web.Response(status=401)
    dict(parse_qsl(body.decode()))
    return web.Response()


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/slack/events", acknowledge)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
