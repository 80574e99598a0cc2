"""The thinnest Slack that the bot can live with: its Web API answers at once and remembers only what the bench counts.

`python -m bench.fake_slack PORT [--limited]`. It checks nothing; what Slack would refuse is the playground's to say, and the tests'.
With `--limited` it refuses messages above Slack's documented rates, as Slack does.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TEAM_ID = "TACME00001"
LEADS = [f"ULEAD{index:05d}" for index in range(100)]
"""Who may approve: the members of @orders-leads."""
DEVELOPERS = [f"UDEV{index:06d}" for index in range(100)]
GROUPS = {"orders-leads": LEADS, "payments": DEVELOPERS, "platform-admins": LEADS[:1]}


def channel(number: int, *, among: int) -> str:
    """Where card number `number` stands. Several teams have several channels; Slack takes a message a second into each."""
    return f"CBENCH{number % among:04d}"


@dataclass(frozen=True)
class Limit:
    """So many a second into one channel, and a burst of so many."""

    per_second: float
    burst: int

    def seconds(self, count: int) -> float:
        """How long so many messages into one channel take at least."""
        return max(0.0, (count - self.burst) / self.per_second)


LIMITS = {"chat.postMessage": Limit(1.0, 4), "chat.update": Limit(50 / 60, 20)}
"""docs.slack.dev, "Rate limits": a message a second and channel, edits by tier 3; "short bursts" are allowed, of no said size."""


@dataclass
class _Bucket:
    limit: Limit
    tokens: float
    at: float = field(default_factory=time.monotonic)

    def take(self) -> bool:
        now = time.monotonic()
        self.tokens = min(self.limit.burst, self.tokens + (now - self.at) * self.limit.per_second)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Slack:
    """Counts calls; keeps the last messages it was sent, with the time of each."""

    def __init__(self, *, limited: bool = False) -> None:
        self._limited = limited
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self.calls: Counter[str] = Counter()
        self.sent: deque[dict[str, Any]] = deque(maxlen=20_000)
        self._numbers = itertools.count(1)

    async def method(self, request: web.Request) -> web.Response:
        name = request.match_info["method"]
        given = await _given(request)
        self.calls[name] += 1
        if not self._admits(name, str(given.get("channel", ""))):
            self.sent.append({"method": "refused", "at": time.time(), "ts": given.get("ts")})
            refused = {"ok": False, "error": "ratelimited"}
            return web.json_response(refused, status=429, headers={"Retry-After": "1"})
        return web.json_response({"ok": True, **self._answer(name, given)})

    async def response_url(self, request: web.Request) -> web.Response:
        self.calls["response_url"] += 1
        self.sent.append({"method": "response_url", "at": time.time(), "body": await _given(request)})
        return web.Response(text="ok")

    async def told(self, request: web.Request) -> web.Response:
        """For the bench: what was counted, and what was sent since `after` (seconds)."""
        after = float(request.query.get("after", "0"))
        return web.json_response(
            {"calls": self.calls, "sent": [one for one in self.sent if one["at"] >= after]}
        )

    def _admits(self, name: str, channel: str) -> bool:
        if not self._limited or name not in LIMITS:
            return True
        limit = LIMITS[name]
        return self._buckets.setdefault((name, channel), _Bucket(limit, limit.burst)).take()

    def _answer(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        match name:
            case "auth.test":
                return {"team_id": TEAM_ID, "user_id": "UBOT000001", "bot_id": "BBOT000001", "team": "Bench"}
            case "users.info":
                return {"user": _user(str(given.get("user", "")))}
            case "users.lookupByEmail":
                return {"user": _user(DEVELOPERS[0])}
            case "usergroups.list":
                return {
                    "usergroups": [{"handle": name, "users": members} for name, members in GROUPS.items()]
                }
            case "chat.postMessage" | "chat.update":
                ts = given.get("ts") or f"{int(time.time())}.{next(self._numbers):06d}"
                self.sent.append(
                    {"method": name, "at": time.time(), "ts": ts, "channel": given.get("channel")}
                )
                return {"channel": given.get("channel"), "ts": ts}
            case "conversations.history" | "conversations.replies":
                return {"messages": []}
            case "conversations.open":
                return {"channel": {"id": "DBENCH0001"}}
        return {}


def _user(user_id: str) -> dict[str, Any]:
    return {
        "id": user_id,
        "team_id": TEAM_ID,
        "name": user_id.lower(),
        "real_name": user_id.title(),
        "is_email_confirmed": True,
        "profile": {"email": f"{user_id.lower()}@example.com"},
    }


async def _given(request: web.Request) -> dict[str, Any]:
    if request.content_type == "application/json":
        found: dict[str, Any] = await request.json()
        return found
    return {**request.query, **await request.post()}


def build(*, limited: bool = False) -> web.Application:
    slack, app = Slack(limited=limited), web.Application(client_max_size=4 * 2**20)
    app.router.add_route("*", "/api/{method}", slack.method)
    app.router.add_post("/response", slack.response_url)
    app.router.add_get("/told", slack.told)
    return app


if __name__ == "__main__":
    served = build(limited="--limited" in sys.argv)
    web.run_app(served, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
