"""Channels and messages as values, and how Slack shows them to an app.

Pure: rendering and entity escaping only. What happens when a message is posted is posting.py's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
ChannelKind = Literal["public", "private", "dm"]

MAX_TEXT_CHARACTERS = 40_000
PAST_VERSIONS_KEPT = 5

# What Slack keeps of a `<…>`: mentions, special mentions and links. Everything else is text and gets escaped.
_TOKEN = re.compile(r"<(?:@[UW][^<>]*|#[CG][^<>]*|![^<>]+|(?:[a-z][a-z0-9+.-]*:)[^<>\s|]+(?:\|[^<>]*)?)>")
_BARE_AMPERSAND = re.compile(r"&(?!amp;|lt;|gt;)")


@dataclass
class Channel:
    id: str
    name: str
    kind: ChannelKind
    topic: str = ""
    members: list[str] = field(default_factory=list)
    archived: bool = False
    ext_shared: bool = False
    read_only: bool = False
    created: int = 0
    last_microseconds: int = 0

    @property
    def is_private(self) -> bool:
        return self.kind != "public"

    def next_ts(self, now: float) -> str:
        """Unique and rising within the channel, even when the clock stands still."""
        self.last_microseconds = max(int(now * 1_000_000), self.last_microseconds + 1)
        return format_ts(self.last_microseconds)


@dataclass
class Message:
    ts: str
    channel: str
    user: str
    text: str
    blocks: list[Json] | None = None
    thread_ts: str | None = None
    subtype: str | None = None
    bot_id: str | None = None
    app_id: str | None = None
    metadata: Json | None = None
    edited_ts: str | None = None
    broadcast: bool = False
    # Only one person sees an ephemeral message; `system` marks what the workspace itself says, such as a failed command.
    viewer: str | None = None
    system: bool = False
    replies: list[str] = field(default_factory=list)
    reactions: dict[str, list[str]] = field(default_factory=dict)
    past_blocks: list[list[Json]] = field(default_factory=list)

    @property
    def ephemeral(self) -> bool:
        return self.viewer is not None

    def replace_content(self, text: str, blocks: list[Json] | None) -> None:
        if self.blocks:
            # A client that has not drawn the change yet still shows, and sends clicks on, the former version.
            self.past_blocks = [*self.past_blocks, self.blocks][-PAST_VERSIONS_KEPT:]
        self.text = text
        self.blocks = blocks


def format_ts(microseconds: int) -> str:
    return f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}"


def escape_text(text: str) -> str:
    """Text as Slack stores it: `&`, `<` and `>` as entities, except in the tokens it understands."""
    pieces: list[str] = []
    end = 0
    for match in _TOKEN.finditer(text):
        pieces += [_escape_plain(text[end : match.start()]), match.group()]
        end = match.end()
    pieces.append(_escape_plain(text[end:]))
    return "".join(pieces)


def _escape_plain(text: str) -> str:
    return _BARE_AMPERSAND.sub("&amp;", text).replace("<", "&lt;").replace(">", "&gt;")


def message_object(
    message: Message,
    *,
    team_id: str,
    replies: list[Message],
    parent_user: str | None = None,
    with_metadata: bool = False,
) -> Json:
    """Slack's message object, as in conversations.history, chat.postMessage and block_actions."""
    shown: Json = {
        "type": "message",
        "user": message.user,
        "ts": message.ts,
        "text": message.text,
        "team": team_id,
    }
    if message.subtype:
        shown["subtype"] = message.subtype
    if message.bot_id:
        shown |= {"bot_id": message.bot_id, "app_id": message.app_id}
    if message.blocks is not None:
        shown["blocks"] = message.blocks
    if message.edited_ts:
        shown["edited"] = {"user": message.user, "ts": message.edited_ts}
    if message.thread_ts:
        shown["thread_ts"] = message.thread_ts
        if message.thread_ts != message.ts:
            shown["parent_user_id"] = parent_user
    if replies:
        shown |= {
            "thread_ts": message.ts,
            "reply_count": len(replies),
            "reply_users": sorted({reply.user for reply in replies}),
            "reply_users_count": len({reply.user for reply in replies}),
            "latest_reply": replies[-1].ts,
            "is_locked": False,
        }
    if message.reactions:
        shown["reactions"] = [
            {"name": name, "users": users, "count": len(users)} for name, users in message.reactions.items()
        ]
    if message.metadata and with_metadata:
        shown["metadata"] = message.metadata
    return shown


def channel_object(channel: Channel, *, team_id: str, app_user: str) -> Json:
    """Slack's conversation object as the app's bot sees it."""
    shown: Json = {
        "id": channel.id,
        "created": channel.created,
        "is_archived": channel.archived,
        "is_im": channel.kind == "dm",
        "is_org_shared": False,
        "context_team_id": team_id,
        "updated": channel.created * 1000,
    }
    if channel.kind == "dm":
        others = [member for member in channel.members if member != app_user]
        return shown | {"user": others[0] if others else app_user, "is_user_deleted": False, "priority": 0}
    return shown | {
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": True,
        "is_group": False,
        "is_mpim": False,
        "is_private": channel.is_private,
        "is_general": False,
        "is_shared": channel.ext_shared,
        "is_ext_shared": channel.ext_shared,
        "is_pending_ext_shared": False,
        "is_member": app_user in channel.members,
        "is_read_only": channel.read_only,
        "creator": channel.members[0] if channel.members else app_user,
        "topic": {"value": channel.topic, "creator": "", "last_set": 0},
        "purpose": {"value": "", "creator": "", "last_set": 0},
        "previous_names": [],
        "num_members": len(channel.members),
    }
