"""Slack's rate limits, kept before they are hit: one message a second and channel, edits by tier 3, with small bursts.

Source: docs.slack.dev, "Rate limits" (chat.postMessage about one a second per channel; chat.update tier 3, 50 a minute).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

CHANNELS_REMEMBERED = 2000


@dataclass(frozen=True)
class Limit:
    per_second: float
    burst: float


LIMITS = {"chat.postMessage": Limit(1.0, 4.0), "chat.update": Limit(50 / 60, 20.0)}


@dataclass
class _Bucket:
    tokens: float
    at: float
    held_until: float = 0.0


class Pace:
    """Token buckets per method and channel. `now` is monotonic seconds."""

    def __init__(
        self,
        *,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()

    def take(self, method: str, channel_id: str, *, patience: float) -> float:
        """Seconds to wait for this channel's turn; the turn is taken only when that is within `patience`."""
        limit, bucket, now = LIMITS[method], self._bucket(method, channel_id), self._now()
        bucket.tokens = min(limit.burst, bucket.tokens + (now - bucket.at) * limit.per_second)
        bucket.at = now
        seconds = max((1 - bucket.tokens) / limit.per_second, bucket.held_until - now, 0.0)
        if seconds <= patience:
            bucket.tokens -= 1
        return seconds

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            await self._sleep(seconds)

    def hold(self, channel_id: str, *, seconds: float) -> None:
        """Slack said 429: nothing more goes to this channel before `seconds` have passed."""
        for method in LIMITS:
            self._bucket(method, channel_id).held_until = self._now() + seconds

    def _bucket(self, method: str, channel_id: str) -> _Bucket:
        key = (method, channel_id)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(tokens=LIMITS[method].burst, at=self._now())
            if len(self._buckets) > CHANNELS_REMEMBERED:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket
