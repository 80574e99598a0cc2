"""The route behind every response_url: checks its lifetime and uses, then does what the app asks.

Answers as Slack's webhooks do: `ok` in plain text, or an error status with a code as its body.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from playground.response_urls import ResponseUrlError
from playground.responses import ResponseRefusedError, respond
from playground.world import ApiCall, World


class ResponseRoutes:
    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[web.AbstractRouteDef]:
        return [web.post("/_response/{team}/{key}", self._handle)]

    async def _handle(self, request: web.Request) -> web.Response:
        payload = await _payload(request)
        if payload is None:
            return self._answer({}, 400, "invalid_payload")
        fault = self._world.faults.take_api("response_url")
        if fault is not None:
            return self._answer(payload, fault.status, "rollup_error")
        wait = self._world.limits.retry_after_seconds(
            "response_url", tier=0, channel=request.match_info["key"]
        )
        if wait is not None:
            return self._answer(payload, 429, "ratelimited", {"Retry-After": str(wait)})
        try:
            respond(self._world, self._world.response_urls.check(request.match_info["key"]), payload)
        except ResponseUrlError as error:
            return self._answer(payload, 404, error.code)
        except ResponseRefusedError as error:
            return self._answer(payload, 400, error.code)
        return self._answer(payload, 200, "ok")

    def _answer(
        self, payload: dict[str, Any], status: int, text: str, headers: dict[str, str] | None = None
    ) -> web.Response:
        number = len(self._world.calls) + 1
        call = ApiCall(number, "response_url", payload, self._world.clock.now(), status, {"text": text})
        self._world.calls.append(call)
        self._world.changed()
        return web.Response(status=status, text=text, headers=headers)


async def _payload(request: web.Request) -> dict[str, Any] | None:
    try:
        payload = json.loads(await request.text())
    except ValueError:
        return None
    return payload if isinstance(payload, dict) else None
