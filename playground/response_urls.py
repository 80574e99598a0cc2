"""Response URLs: five uses within thirty minutes, each bound to the command or interaction it was issued for.

Keeps and checks them only; what a response does stands in responses.py.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from playground.clock import Clock

LIFETIME_SECONDS = 30 * 60.0
MAX_USES = 5
REMEMBERED = 5_000

Origin = Literal["command", "message", "ephemeral", "view"]


class ResponseUrlError(Exception):
    """`code` becomes the body of a 404 answer: used_url, expired_url or invalid_url."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class ResponseUrl:
    key: str
    origin: Origin
    user: str
    channel: str
    issued_at: float
    # The message the interaction came from; None for commands and views.
    ts: str | None = None
    thread_ts: str | None = None
    uses: int = 0


class ResponseUrls:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._issued: OrderedDict[str, ResponseUrl] = OrderedDict()

    def issue(
        self, origin: Origin, *, user: str, channel: str, ts: str | None = None, thread_ts: str | None = None
    ) -> str:
        """The key that ends the URL. It is a secret: whoever holds it may write."""
        key = secrets.token_hex(12)
        self._issued[key] = ResponseUrl(
            key=key,
            origin=origin,
            user=user,
            channel=channel,
            ts=ts,
            thread_ts=thread_ts,
            issued_at=self._clock.now(),
        )
        if len(self._issued) > REMEMBERED:
            self._issued.popitem(last=False)
        return key

    def check(self, key: str) -> ResponseUrl:
        url = self._issued.get(key)
        if url is None:
            raise ResponseUrlError("invalid_url")
        if self._clock.now() - url.issued_at > LIFETIME_SECONDS:
            raise ResponseUrlError("expired_url")
        if url.uses >= MAX_USES:
            raise ResponseUrlError("used_url")
        return url
