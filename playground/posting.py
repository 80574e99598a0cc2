"""What happens when a message appears, changes or disappears: stored, shown to those who may see it, reported to the app.

Rights are checked before, by the caller. Ephemeral messages go to one person and are never stored in a channel's history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playground import events
from playground.client_view import client_message
from playground.messages import MAX_TEXT_CHARACTERS, Channel, Message, escape_text
from playground.views import with_block_ids
from playground.world import World

Json = dict[str, Any]


@dataclass(frozen=True)
class Content:
    text: str
    blocks: list[Json] | None = None
    metadata: Json | None = None


def post_by_person(
    world: World, user: str, channel: Channel, text: str, *, thread_ts: str | None = None
) -> Message:
    """`text` is already encoded (see slash_text.py)."""
    message = Message(
        ts=channel.next_ts(world.clock.now()), channel=channel.id, user=user, text=text, thread_ts=thread_ts
    )
    return _publish(world, message)


def post_by_app(
    world: World, channel: Channel, content: Content, *, thread_ts: str | None = None, broadcast: bool = False
) -> Message:
    ts = channel.next_ts(world.clock.now())
    message = Message(
        ts=ts,
        channel=channel.id,
        user=world.app.bot_user_id,
        text=escape_text(content.text)[:MAX_TEXT_CHARACTERS],
        blocks=_named(content.blocks, ts),
        thread_ts=thread_ts,
        bot_id=world.app.bot_id,
        app_id=world.app.app_id,
        metadata=content.metadata,
        broadcast=broadcast,
        subtype="thread_broadcast" if broadcast else None,
    )
    return _publish(world, message)


def _named(blocks: list[Json] | None, ts: str) -> list[Json] | None:
    return with_block_ids(blocks, ts) if blocks else None


def _publish(world: World, message: Message) -> Message:
    channel = world.state.channels[message.channel]
    world.state.add_message(message)
    world.state.mark_read(message.user, channel.id, message.ts)
    world.feed.tell(channel.members, {"type": "message", "message": client_message(world, message)})
    _refresh_parent(world, message)
    events.message_posted(world, message)
    world.changed()
    return message


def _refresh_parent(world: World, message: Message) -> None:
    """A reply changes the count under its parent."""
    if message.thread_ts is None or message.thread_ts == message.ts:
        return
    parent = world.state.message(message.channel, message.thread_ts)
    if parent is not None:
        members = world.state.channels[message.channel].members
        world.feed.tell(members, {"type": "message_changed", "message": client_message(world, parent)})


def change(world: World, message: Message, content: Content) -> None:
    """The new text and blocks replace both old ones; only a change of text leaves the mark "edited"."""
    text = escape_text(content.text)
    channel = world.state.channels[message.channel]
    if content.blocks is None or text != message.text:
        message.edited_ts = f"{world.clock.now():.6f}"
    message.replace_content(text, _named(content.blocks, message.ts))
    if content.metadata is not None:
        message.metadata = content.metadata or None
    world.state.save_message(message)
    world.feed.tell(channel.members, {"type": "message_changed", "message": client_message(world, message)})
    events.message_changed(world, message)
    world.changed()


def remove(world: World, message: Message) -> None:
    channel = world.state.channels[message.channel]
    world.state.remove_message(message)
    world.feed.tell(channel.members, {"type": "message_deleted", "channel": channel.id, "ts": message.ts})
    _refresh_parent(world, message)
    events.message_deleted(world, message)
    world.changed()


def post_ephemeral(
    world: World, viewer: str, channel: Channel, content: Content, *, thread_ts: str | None = None
) -> Message:
    ts = channel.next_ts(world.clock.now())
    message = Message(
        ts=ts,
        channel=channel.id,
        user=world.app.bot_user_id,
        text=escape_text(content.text),
        blocks=_named(content.blocks, ts),
        thread_ts=thread_ts,
        bot_id=world.app.bot_id,
        app_id=world.app.app_id,
        viewer=viewer,
    )
    return _show_ephemeral(world, message)


def system_notice(world: World, viewer: str, channel: Channel, text: str) -> Message:
    """What the workspace itself tells one person, such as that a command failed."""
    ts = channel.next_ts(world.clock.now())
    message = Message(
        ts=ts, channel=channel.id, user="USLACKBOT", text=escape_text(text), viewer=viewer, system=True
    )
    return _show_ephemeral(world, message)


def _show_ephemeral(world: World, message: Message) -> Message:
    assert message.viewer is not None
    world.state.ephemerals[message.viewer, message.channel][message.ts] = message
    world.feed.tell([message.viewer], {"type": "ephemeral", "message": client_message(world, message)})
    world.changed()
    return message


def replace_ephemeral(world: World, message: Message, content: Content) -> None:
    assert message.viewer is not None
    message.replace_content(escape_text(content.text), _named(content.blocks, message.ts))
    world.feed.tell(
        [message.viewer], {"type": "ephemeral_replaced", "message": client_message(world, message)}
    )
    world.changed()


def remove_ephemeral(world: World, message: Message) -> None:
    assert message.viewer is not None
    del world.state.ephemerals[message.viewer, message.channel][message.ts]
    gone = {"type": "ephemeral_deleted", "channel": message.channel, "ts": message.ts}
    world.feed.tell([message.viewer], gone)
    world.changed()
