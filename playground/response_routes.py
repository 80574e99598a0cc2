"""The route behind every response_url: checks its lifetime and uses, then does what the app asks.

Answers as Slack's webhooks do: `ok` in plain text, or an error status with a code as its body.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from playground.response_urls import ResponseUrlError
from playground.responses import ResponseRefusedError, respond
from playground.world import World

HTTP_OK = 200
HTTP_BAD_REQUEST = 400
HTTP_NOT_FOUND = 404
HTTP_TOO_MANY_REQUESTS = 429


class ResponseRoutes:
    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[web.AbstractRouteDef]:
        return [web.post("/_response/{team}/{key}", self._handle)]

    async def _handle(self, request: web.Request) -> web.Response:
        payload = await _payload(request)
        if payload is None:
            return self._answer({}, HTTP_BAD_REQUEST, "invalid_payload")
        fault = self._world.faults.take_api("response_url")
        if fault is not None:
            return self._answer(payload, fault.status, "rollup_error")
        wait = self._world.limits.retry_after_seconds(
            "response_url", tier=0, channel=request.match_info["key"]
        )
        if wait is not None:
            return self._answer(payload, HTTP_TOO_MANY_REQUESTS, "ratelimited", {"Retry-After": str(wait)})
        try:
            respond(self._world, self._world.response_urls.check(request.match_info["key"]), payload)
        except ResponseUrlError as error:
            return self._answer(payload, HTTP_NOT_FOUND, error.code)
        except ResponseRefusedError as error:
            return self._answer(payload, HTTP_BAD_REQUEST, error.code)
        return self._answer(payload, HTTP_OK, "ok")

    def _answer(
        self, payload: dict[str, Any], status: int, text: str, headers: dict[str, str] | None = None
    ) -> web.Response:
        self._world.log_call("response_url", payload, status=status, answer={"text": text})
        return web.Response(status=status, text=text, headers=headers)


async def _payload(request: web.Request) -> dict[str, Any] | None:
    try:
        payload = json.loads(await request.text())
    except ValueError:
        return None
    return payload if isinstance(payload, dict) else None
