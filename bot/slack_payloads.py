"""Slack's payloads as our values, and our replies as Slack's bodies. Pure: no client, no clock.

Shapes: docs.slack.dev, "Slash commands", "Handling user interaction" and "Interaction payloads".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot import slack_text, views
from bot.command import Reply
from bot.domain import Invocation, Origin, canonical_json
from bot.errors import PlatformError

Payload = Mapping[str, Any]
DENY_CALLBACK = "deny"


def dedupe_key(*parts: str) -> str:
    """A delivery's identity as a hash: trigger ids and the like are never stored."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def parse_command(payload: Payload) -> Invocation:
    return Invocation(
        dedupe_key=dedupe_key("command", payload["trigger_id"]),
        user_id=payload["user_id"],
        team_id=payload["team_id"],
        channel_id=payload["channel_id"],
        text=payload.get("text", ""),
        origin=Origin.SLASH,
    )


@dataclass(frozen=True)
class Click:
    """One pressed button: `name` and `arguments` are the parts of its action id (`run:promote:production`)."""

    name: str
    arguments: tuple[str, ...]
    value: str
    block_id: str
    user_id: str
    team_id: str
    channel_id: str
    trigger_id: str
    response_url: str
    key: str


def parse_click(payload: Payload) -> Click:
    action = payload["actions"][0]
    container = payload.get("container", {})
    name, *arguments = action["action_id"].split(":")
    user = payload["user"]
    where = container.get("message_ts") or container.get("view_id") or ""
    return Click(
        name=name,
        arguments=tuple(arguments),
        value=action.get("value", ""),
        block_id=action.get("block_id", ""),
        user_id=user["id"],
        team_id=user.get("team_id") or (payload.get("team") or {}).get("id", ""),
        channel_id=(payload.get("channel") or {}).get("id", "") or container.get("channel_id", ""),
        trigger_id=payload.get("trigger_id", ""),
        response_url=payload.get("response_url", ""),
        key=dedupe_key(
            "click",
            user["id"],
            where,
            action["action_id"],
            action.get("value", ""),
            str(action.get("action_ts", "")),
        ),
    )


def parse_submission(payload: Payload) -> Invocation:
    """A form that came back with errors keeps its id and hash, so what was filled in is part of its identity."""
    view = payload["view"]
    filled_in = canonical_json(view["state"]["values"])
    return Invocation(
        dedupe_key=dedupe_key("form", view["id"], view.get("hash", ""), payload["user"]["id"], filled_in),
        user_id=payload["user"]["id"],
        team_id=payload["user"].get("team_id") or (payload.get("team") or {}).get("id", ""),
        channel_id=view.get("private_metadata", ""),
        text="",
        origin=Origin.MODAL,
    )


def error_reply(error: PlatformError) -> Reply:
    said = slack_text.sentence(error)
    return warning(said)


def warning(text: str) -> Reply:
    return Reply(text, [views.section(f":warning: {text}")])


def message(reply: Reply, *, replace: bool = False) -> dict[str, Any]:
    """A reply as an ephemeral message; everything Slack has two defaults for is said."""
    body: dict[str, Any] = {
        "response_type": "ephemeral",
        "text": reply.text,
        "replace_original": replace,
        "unfurl_links": False,
        "unfurl_media": False,
    }
    if reply.blocks:
        body["blocks"] = views.fit(reply.blocks)
    return body


def note(title: str, reply: Reply) -> views.Block:
    """A reply as a modal, where there is no message to answer in."""
    blocks = reply.blocks or [views.section(reply.text or "Done.")]
    return views.view(callback_id="note", title=title, blocks=blocks)


def deny_form(request_id: str, block_id: str) -> views.Block:
    return views.view(
        callback_id=DENY_CALLBACK,
        title="Deny the request",
        submit="Deny",
        metadata=f"{request_id} {block_id}",
        blocks=[
            views.input_block(
                block_id="reason",
                label="Why?",
                hint="The requester reads it, and it is kept in the audit trail.",
                element=views.plain_input(action_id="value", multiline=True),
                optional=False,
            )
        ],
    )


def acknowledgement(reply: Reply) -> dict[str, Any]:
    body: dict[str, Any] = {"response_type": "ephemeral", "text": reply.text}
    if reply.blocks:
        body["blocks"] = views.fit(reply.blocks)
    return body


def from_click(click: Click) -> Invocation:
    return Invocation(
        dedupe_key=click.key,
        user_id=click.user_id,
        team_id=click.team_id,
        channel_id=click.channel_id,
        text="",
        origin=Origin.BUTTON,
    )


def apology(reference: str) -> Reply:
    text = f"That failed, and it is our fault. Give the platform team this reference: `{reference}`."
    return warning(text)
