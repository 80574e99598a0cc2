"""Slash commands, clicks and submitted forms as Slack sends them: signed HTTP/1.1 requests, as bytes that are ready for the socket. Pure.

Source: docs.slack.dev, "Verifying requests from Slack" and "Slash commands",
"Handling user interaction" and "Interaction payloads".
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
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


@dataclass(frozen=True)
class Button:
    """A button of a card: the message it is on, and what it was drawn with."""

    message_ts: str
    block_id: str
    action_id: str
    value: str


def click(caller: Caller, button: Button, *, trigger_id: str, timestamp: int) -> bytes:
    """One pressed button of a message."""
    payload = {
        "type": "block_actions",
        "container": {
            "type": "message",
            "message_ts": button.message_ts,
            "channel_id": caller.channel_id,
            "is_ephemeral": False,
        },
        "channel": {"id": caller.channel_id, "name": "orders"},
        "message": {"type": "message", "ts": button.message_ts, "text": "A card"},
        "state": {"values": {}},
        "response_url": caller.response_url,
        "actions": [
            {
                "type": "button",
                "action_id": button.action_id,
                "block_id": button.block_id,
                "value": button.value,
                "text": {"type": "plain_text", "text": "A button"},
                "action_ts": trigger_id,
            }
        ],
    }
    return _interaction(caller, payload, trigger_id=trigger_id, timestamp=timestamp)


def denial(caller: Caller, button: Button, *, trigger_id: str, timestamp: int) -> bytes:
    """The submitted form behind *Deny…*."""
    payload = {
        "type": "view_submission",
        "view": {
            "id": f"V{trigger_id}",
            "hash": trigger_id,
            "type": "modal",
            "callback_id": "deny",
            "private_metadata": f"{button.value} {button.block_id}",
            "state": {"values": {"reason": {"value": {"type": "plain_text_input", "value": "Not today."}}}},
        },
        "response_urls": [],
    }
    return _interaction(caller, payload, trigger_id=trigger_id, timestamp=timestamp)


def _interaction(caller: Caller, payload: Mapping[str, Any], *, trigger_id: str, timestamp: int) -> bytes:
    whole = {
        "token": "unused",
        "api_app_id": "ABENCH0001",
        "team": {"id": caller.team_id, "domain": "bench"},
        "user": {"id": caller.user_id, "username": "bench", "team_id": caller.team_id},
        "is_enterprise_install": False,
        "trigger_id": trigger_id,
        **payload,
    }
    return post(
        caller.signing_secret,
        urlencode({"payload": json.dumps(whole)}).encode(),
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
