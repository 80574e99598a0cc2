"""Slack's rate limits as token buckets per method, and per channel for posts. Off unless switched on.

Numbers: https://docs.slack.dev/apis/web-api/rate-limits. Slack tolerates small bursts; the bucket of a tier holds one minute.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from playground.clock import Clock

TIER_PER_MINUTE = {1: 1, 2: 20, 3: 50, 4: 100}
SPECIAL_PER_MINUTE = 600
POSTS_PER_SECOND_AND_CHANNEL = 1.0
POST_BURST = 3.0
# apps.connections.open is tier 1, but Slack lets a reconnecting client through.
TIER_1_BURST = 5.0


@dataclass
class Bucket:
    capacity: float
    per_second: float
    tokens: float
    filled_at: float

    def take(self, now: float) -> float:
        """Zero when a token was there, else the seconds until the next one."""
        self.tokens = min(self.capacity, self.tokens + (now - self.filled_at) * self.per_second)
        self.filled_at = now
        if self.tokens >= 1.0:
            self.tokens -= 1.0
            return 0.0
        return (1.0 - self.tokens) / self.per_second


class RateLimits:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self.enabled = False

    def retry_after_seconds(self, method: str, *, tier: int, channel: str | None) -> int | None:
        """None when the call may pass. `tier` 0 is the special tier; posts count per channel."""
        if not self.enabled:
            return None
        now = self._clock.now()
        wait = self._bucket(method, tier, channel, now).take(now)
        return math.ceil(wait) if wait > 0 else None

    def _bucket(self, method: str, tier: int, channel: str | None, now: float) -> Bucket:
        key = (method, channel or "")
        if key not in self._buckets:
            if channel is not None:
                capacity, per_second = POST_BURST, POSTS_PER_SECOND_AND_CHANNEL
            else:
                per_minute = TIER_PER_MINUTE.get(tier, SPECIAL_PER_MINUTE)
                capacity, per_second = max(float(per_minute), TIER_1_BURST), per_minute / 60
            self._buckets[key] = Bucket(capacity, per_second, capacity, now)
        return self._buckets[key]
