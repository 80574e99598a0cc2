"""Slash commands as Slack sends them: signed HTTP/1.1 requests, as bytes that are ready for the socket. Pure.

Source: docs.slack.dev, "Verifying requests from Slack" and "Slash commands".
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import urlencode

PATH = "/slack/events"


@dataclass(frozen=True)
class Caller:
    """Who types where, and the secret Slack and the app share."""

    signing_secret: str
    user_id: str
    team_id: str
    channel_id: str
    response_url: str


def signature(secret: str, timestamp: int, body: bytes) -> str:
    base = b"v0:%d:%s" % (timestamp, body)
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()


def slash_command(caller: Caller, text: str, *, trigger_id: str, timestamp: int) -> bytes:
    """One typed `/platform …`. Good for five minutes after `timestamp` (seconds), and for one delivery by its `trigger_id`."""
    form = {
        "token": "unused",
        "team_id": caller.team_id,
        "team_domain": "bench",
        "channel_id": caller.channel_id,
        "channel_name": "orders",
        "user_id": caller.user_id,
        "user_name": "bench",
        "command": "/platform",
        "text": text,
        "api_app_id": "ABENCH0001",
        "is_enterprise_install": "false",
        "response_url": caller.response_url,
        "trigger_id": trigger_id,
    }
    return post(
        caller.signing_secret,
        urlencode(form).encode(),
        content_type="application/x-www-form-urlencoded",
        timestamp=timestamp,
    )


def post(secret: str, body: bytes, *, content_type: str, timestamp: int) -> bytes:
    """A signed request whose connection stays open."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Slackbot 1.0 (+https://api.slack.com/robots)\r\n"
        f"Accept: application/json,*/*\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        f"X-Slack-Request-Timestamp: {timestamp}\r\nX-Slack-Signature: {signature(secret, timestamp, body)}\r\n\r\n"
    )
    return head.encode() + body
