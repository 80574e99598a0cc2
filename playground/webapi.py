"""The Web API's front: arguments, token, scopes, rate limits, ordered faults, the call log. What methods do is theirs.

https://docs.slack.dev/apis/web-api: everything answers HTTP 200 with `ok`, except 429 and what a fault was ordered to break.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from typing import Any

from aiohttp import web

from playground.arguments import ApiError, Arguments
from playground.faults import ApiFault
from playground.methods import METHODS, Method
from playground.world import ApiCall, World

Json = dict[str, Any]

HTTP_OK = 200
HTTP_TOO_MANY_REQUESTS = 429
BAD_GATEWAY_PAGE = "<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>"


class WebApi:
    def __init__(self, world: World) -> None:
        self._world = world
        # Set at stop, so that hung calls end before the server waits for them.
        self.stopping = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        try:
            values = await _read_values(request)
        except ValueError:
            return self._answer(name, {}, {"ok": False, "error": "invalid_json"})
        fault = self._world.faults.take_api(name)
        if fault is not None and fault.kind != "lost_answer":
            return await self._break(request, name, values, fault)
        response = await self._call(request, name, values)
        if fault is not None:
            return _reset(request)
        return response

    async def _call(self, request: web.Request, name: str, values: Json) -> web.Response:
        method = METHODS.get(name)
        try:
            if method is None:
                raise ApiError("unknown_method", req_method=name)
            self._check_token(request, method)
            arguments = Arguments(values)
            if (limited := self._limited(name, method, arguments, values)) is not None:
                return limited
            self._check_scopes(method)
            answer = {"ok": True, **await method.handler(self._world, arguments)}
        except ApiError as error:
            answer = {"ok": False, "error": error.code, **error.extra}
        return self._answer(name, values, answer, accepted=method.scopes if method else ())

    def _check_token(self, request: web.Request, method: Method) -> None:
        """Only the Authorization header counts."""
        if method.caller == "anyone":
            return
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise ApiError("not_authed")
        credentials = self._world.credentials
        tokens = {"bot": credentials.bot_token, "app": credentials.app_token}
        if hmac.compare_digest(token.encode(), tokens[method.caller].encode()):
            return
        if any(hmac.compare_digest(token.encode(), known.encode()) for known in tokens.values()):
            raise ApiError("not_allowed_token_type")
        raise ApiError("invalid_auth")

    def _check_scopes(self, method: Method) -> None:
        granted = self._world.app.scopes
        if method.scopes and not any(scope in granted for scope in method.scopes):
            raise ApiError("missing_scope", needed=method.scopes[0], provided=",".join(granted))

    def _limited(self, name: str, method: Method, arguments: Arguments, values: Json) -> web.Response | None:
        channel = arguments.text("channel") if method.per_channel else None
        wait = self._world.limits.retry_after_seconds(name, tier=method.tier, channel=channel)
        return None if wait is None else self._rate_limited(name, values, wait)

    def _rate_limited(self, name: str, values: Json, retry_after_seconds: int) -> web.Response:
        answer = {"ok": False, "error": "ratelimited"}
        headers = {"Retry-After": str(retry_after_seconds)}
        return self._answer(name, values, answer, status=HTTP_TOO_MANY_REQUESTS, headers=headers)

    def _answer(
        self,
        name: str,
        values: Json,
        answer: Json,
        *,
        status: int = HTTP_OK,
        headers: dict[str, str] | None = None,
        accepted: tuple[str, ...] = (),
    ) -> web.Response:
        call = self._log(name, values, status, answer)
        all_headers = {
            "x-oauth-scopes": ",".join(self._world.app.scopes),
            "x-accepted-oauth-scopes": ",".join(accepted),
            "x-slack-req-id": f"{call.number:032x}",
            "Cache-Control": "no-store",
            **(headers or {}),
        }
        return web.json_response(answer, status=status, headers=all_headers)

    def _log(self, name: str, values: Json, status: int, answer: Json) -> ApiCall:
        shown = {key: value for key, value in values.items() if key != "token"}
        return self._world.log_call(name, shown, status=status, answer=answer)

    async def _break(
        self, request: web.Request, name: str, values: Json, fault: ApiFault
    ) -> web.StreamResponse:
        if fault.kind == "ratelimited":
            return self._rate_limited(name, values, fault.retry_after_seconds)
        if fault.kind == "error":
            return self._answer(name, values, {"ok": False, "error": fault.code})
        if fault.kind == "http_error":
            return self._answer(name, values, {"ok": False, "error": fault.code}, status=fault.status)
        self._log(name, values, 0, {"fault": fault.kind})
        if fault.kind == "html_502":
            return web.Response(status=502, text=BAD_GATEWAY_PAGE, content_type="text/html")
        if fault.kind == "hang":
            await self.stopping.wait()
        return _reset(request)


def _reset(request: web.Request) -> web.Response:
    """Cuts the connection under the caller; the response is never sent."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _read_values(request: web.Request) -> Json:
    """Query, form and JSON together; ValueError when a JSON body is none."""
    values: Json = dict(request.query)
    if request.content_type == "application/json":
        if body := await request.text():
            parsed = json.loads(body)
            if not isinstance(parsed, dict):
                raise ValueError("the body is not an object")
            values |= parsed
    elif request.can_read_body:
        values |= {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
    return values
