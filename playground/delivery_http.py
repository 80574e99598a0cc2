"""HTTP delivery to the configured request URL: v0 signatures, form or JSON bodies, retry headers, no redirects.

https://docs.slack.dev/authentication/verifying-requests-from-slack. The only outbound connection the playground ever makes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import urlencode

import aiohttp

from playground.delivery import DeliveryError, Parcel

Json = dict[str, Any]

FORM = "application/x-www-form-urlencoded"
HTTP_OK = 200
HTTP_SERVER_ERROR = 500


def sign(signing_secret: str, timestamp: str, body: bytes) -> str:
    base = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.new(signing_secret.encode(), base, hashlib.sha256).hexdigest()


def encode(parcel: Parcel) -> tuple[str, bytes]:
    """(content type, body) in the shape Slack uses for this kind."""
    if parcel.kind == "slash_commands":
        return FORM, urlencode(
            {key: "" if value is None else value for key, value in parcel.payload.items()}
        ).encode()
    if parcel.kind == "interactive":
        return FORM, urlencode({"payload": json.dumps(parcel.payload)}).encode()
    return "application/json", json.dumps(parcel.payload).encode()


class HttpDelivery:
    def __init__(self, *, request_url: str, signing_secret: str) -> None:
        self._request_url = request_url
        self._signing_secret = signing_secret
        self._session: aiohttp.ClientSession | None = None
        self._reached = True

    @property
    def connected(self) -> bool:
        """Whether the last request reached the app; assumed until one did not."""
        return self._reached

    async def send(self, parcel: Parcel) -> Json | None:
        content_type, body = encode(parcel)
        headers: dict[str, str] = {}
        if parcel.retry_num:
            headers = {
                "X-Slack-Retry-Num": str(parcel.retry_num),
                "X-Slack-Retry-Reason": parcel.retry_reason or "unknown_error",
            }
        return await self._post(content_type, body, headers)

    async def repeat(self, parcel: Parcel) -> None:
        try:
            await self.send(parcel)
        except DeliveryError:
            return

    async def verify_request_url(self, challenge: str) -> bool:
        """Whether the app echoes the challenge, as Slack demands before it accepts a request URL."""
        body = json.dumps({"type": "url_verification", "token": "", "challenge": challenge}).encode()
        answer = await self._post("application/json", body, {})
        return answer is not None and challenge in (answer.get("challenge"), answer.get("text"))

    async def ssl_check(self) -> None:
        """Slack probes distributed apps like this; any 200 will do, anything else raises DeliveryError."""
        await self._post(FORM, urlencode({"ssl_check": "1", "token": ""}).encode(), {})

    async def cut(self) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, content_type: str, body: bytes, headers: dict[str, str]) -> Json | None:
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        # Real time on purpose: the app compares it with its own clock, which a test may not be able to move.
        timestamp = str(int(time.time()))
        signed = {
            "Content-Type": content_type,
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": sign(self._signing_secret, timestamp, body),
            **headers,
        }
        try:
            async with self._session.post(
                self._request_url, data=body, headers=signed, allow_redirects=False
            ) as response:
                text = await response.text()
        except (aiohttp.ClientError, OSError) as error:
            self._reached = False
            raise DeliveryError("dispatch_failed", "connection_failed") from error
        self._reached = True
        return _answer(response, text)


def _answer(response: aiohttp.ClientResponse, text: str) -> Json | None:
    if response.status != HTTP_OK:
        code = "http_service_error" if response.status >= HTTP_SERVER_ERROR else "http_client_error"
        no_retry = response.headers.get("x-slack-no-retry") == "1"
        raise DeliveryError(code, "http_error", no_retry=no_retry)
    if not text.strip():
        return None
    if response.content_type == "application/json":
        try:
            parsed = json.loads(text)
        except ValueError as error:
            raise DeliveryError("invalid_command_response", "http_error") from error
        return parsed if isinstance(parsed, dict) and parsed else None
    return {"text": text}
