"""Slack's rate limits, kept before they are hit: one message a second and channel, edits by tier 3, with small bursts.

Source: docs.slack.dev, "Rate limits": chat.postMessage about one a second per channel; usergroups.list tier 2, chat.update and
conversations.* as used here and users.lookupByEmail tier 3, users.info tier 4, so 20, 50 and 100 a minute, for each method in a
workspace. A tier is what Slack grants at least, and bursts of no said size are welcome. So what is beyond it is tried, edits spread over
their channels; once Slack said 429, the documented rate is kept for a while.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

CHANNELS_REMEMBERED = 2000
UNUSED_KEPT_SECONDS = 60.0
"""How long after its moment a turn is kept for who has not come yet: as long as a card is claimed."""
STRICT_SECONDS = 300.0
"""How long the documented rate is kept for the whole workspace after a 429."""
WORKSPACE = ""
"""In the place of a channel: what is limited for all of them together."""


@dataclass(frozen=True)
class Limit:
    """`burst` is a little less than what is taken to be allowed: calls may reach Slack closer together than they leave."""

    per_second: float
    burst: float


_TIER_3 = Limit(50 / 60, 18.0)
LIMITS = {
    "chat.postMessage": Limit(1.0, 3.0),
    "chat.update": _TIER_3,
    "conversations.open": _TIER_3,
    "conversations.history": _TIER_3,
    "conversations.replies": _TIER_3,
    "usergroups.list": Limit(20 / 60, 8.0),
    "users.info": Limit(100 / 60, 40.0),
    "users.lookupByEmail": _TIER_3,
}


@dataclass
class _Bucket:
    """So many `tokens` at the moment `at`, which is in the future while Slack wants nothing."""

    limit: Limit
    tokens: float
    at: float
    strict_until: float = 0.0
    """Of the workspace's: until then it counts what goes to channels, too."""

    def seconds(self, now: float) -> float:
        """Until the next turn."""
        if now > self.at:
            self.tokens = min(self.limit.burst, self.tokens + (now - self.at) * self.limit.per_second)
            self.at = now
        return self.at - now + max(0.0, (1 - self.tokens) / self.limit.per_second)


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
        self._booked: dict[tuple[str, str], float] = {}
        self._forget_at = 0.0

    def take(self, method: str, channel_id: str, *, patience: float = float("inf")) -> float:
        """Seconds to wait for this channel's turn; the turn is taken only when that is within `patience`."""
        now, buckets = self._now(), list(self._counting(method, channel_id))
        seconds = max((bucket.seconds(now) for bucket in buckets), default=0.0)
        if seconds <= patience:
            for bucket in buckets:
                bucket.tokens -= 1
        return seconds

    def book(self, method: str, channel_id: str, name: str) -> float:
        """Seconds until the turn of `name`, which keeps it until it is `used`: who comes back for it has lost nothing."""
        now, turn = self._now(), (method, name)
        if turn not in self._booked:
            self._forget_unused(now)
            self._booked[turn] = now + self.take(method, channel_id)
        return max(0.0, self._booked[turn] - now)

    def used(self, method: str, name: str) -> None:
        self._booked.pop((method, name), None)

    def _forget_unused(self, now: float) -> None:
        """Now and then, and not at every booking: in a rush there are thousands, and each may still be used."""
        if now >= self._forget_at:
            self._forget_at = now + UNUSED_KEPT_SECONDS
            oldest = now - UNUSED_KEPT_SECONDS
            self._booked = {turn: at for turn, at in self._booked.items() if at > oldest}

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            await self._sleep(seconds)

    def hold(self, method: str, channel_id: str, *, seconds: float) -> None:
        """Slack said 429: nothing more of this kind before `seconds` have passed; of posts, to this channel.

        What was booked is booked anew.
        """
        self._booked = {turn: at for turn, at in self._booked.items() if turn[0] != method}
        for (of, _), debtor in self._buckets.items():
            debtor.tokens = max(debtor.tokens, 0.0) if of == method else debtor.tokens
        bucket = self._bucket(method, channel_id if method == "chat.postMessage" else WORKSPACE)
        bucket.tokens, bucket.at = 1.0, self._now() + seconds
        bucket.strict_until = bucket.at + STRICT_SECONDS

    def _counting(self, method: str, channel_id: str) -> Iterator[_Bucket]:
        if (method, WORKSPACE) in self._buckets:
            workspace = self._bucket(method, WORKSPACE)
            if workspace.strict_until > self._now():
                yield workspace
        if channel_id != WORKSPACE:
            yield self._bucket(method, channel_id)

    def _bucket(self, method: str, channel_id: str) -> _Bucket:
        key = (method, channel_id)
        bucket = self._buckets.get(key)
        if bucket is None:
            limit = LIMITS[method]
            bucket = self._buckets[key] = _Bucket(limit, tokens=limit.burst, at=self._now())
            if len(self._buckets) > CHANNELS_REMEMBERED:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket
