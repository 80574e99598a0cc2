"""chat.* and reactions.add: who may write where, what a message may hold, what may still be changed.

Each function is one Web API method: it answers the body without `ok`, or raises ApiError.
"""

from __future__ import annotations

import json
from typing import Any

from playground import posting
from playground.arguments import ApiError, Arguments, invalid_arguments
from playground.messages import Channel, Message
from playground.posting import Content
from playground.validate_blocks import MAX_MESSAGE_TEXT_CHARACTERS, check_message_blocks, text_characters
from playground.workspace import Person
from playground.world import World

Json = dict[str, Any]

MAX_UPDATE_TEXT_CHARACTERS = 4000
MAX_MARKDOWN_TEXT_CHARACTERS = 12_000
MAX_METADATA_BYTES = 16_000


async def post_message(world: World, arguments: Arguments) -> Json:
    channel = _destination(world, arguments.required("channel"))
    content = _content(arguments)
    _check_may_write(world, channel)
    thread_ts = _thread(world, channel, arguments.text("thread_ts"))
    message = posting.post_by_app(
        world,
        channel,
        content,
        thread_ts=thread_ts,
        broadcast=arguments.flag("reply_broadcast") and bool(thread_ts),
    )
    shown = world.message_object(message, with_metadata=True)
    return {"channel": channel.id, "ts": message.ts, "message": shown}


async def update(world: World, arguments: Arguments) -> Json:
    channel = _known_channel(world, arguments.required("channel"))
    message = _own_message(world, channel, arguments.required("ts"), refused="cant_update_message")
    content = _content(arguments, fallback=message, text_limit=MAX_UPDATE_TEXT_CHARACTERS)
    if channel.archived:
        raise ApiError("is_inactive")
    posting.change(world, message, content)
    shown = world.message_object(message)
    return {"channel": channel.id, "ts": message.ts, "text": message.text, "message": shown}


async def delete(world: World, arguments: Arguments) -> Json:
    channel = _known_channel(world, arguments.required("channel"))
    message = _own_message(world, channel, arguments.required("ts"), refused="cant_delete_message")
    posting.remove(world, message)
    return {"channel": channel.id, "ts": message.ts}


async def post_ephemeral(world: World, arguments: Arguments) -> Json:
    channel = _known_channel(world, arguments.required("channel"))
    viewer = arguments.required("user")
    content = _content(arguments)
    _check_may_write(world, channel)
    person = world.workspace.people.get(viewer)
    if person is None:
        raise ApiError("user_not_found")
    if viewer not in channel.members or not person.can_act:
        raise ApiError("user_not_in_channel")
    thread_ts = _thread(world, channel, arguments.text("thread_ts"))
    message = posting.post_ephemeral(world, viewer, channel, content, thread_ts=thread_ts)
    return {"message_ts": message.ts}


async def get_permalink(world: World, arguments: Arguments) -> Json:
    channel = _known_channel(world, arguments.required("channel"))
    ts = arguments.required("message_ts")
    if world.state.message(channel.id, ts) is None:
        raise ApiError("message_not_found")
    link = f"{world.base_url}archives/{channel.id}/p{ts.replace('.', '')}"
    return {"channel": channel.id, "permalink": link}


async def add_reaction(world: World, arguments: Arguments) -> Json:
    channel = _known_channel(world, arguments.required("channel"))
    name = arguments.required("name").strip(":")
    message = world.state.message(channel.id, arguments.required("timestamp"))
    if message is None:
        raise ApiError("message_not_found")
    if world.app.bot_user_id not in channel.members:
        raise ApiError("not_in_channel")
    users = message.reactions.setdefault(name, [])
    if world.app.bot_user_id in users:
        raise ApiError("already_reacted")
    users.append(world.app.bot_user_id)
    world.state.save_message(message)
    world.changed()
    return {}


# -- where -------------------------------------------------------------------------------------------------------------


def _destination(world: World, reference: str) -> Channel:
    """A channel, or the direct conversation that posting to a person's id opens."""
    person = world.workspace.people.get(reference)
    if person is None:
        return _known_channel(world, reference.removeprefix("#"), by_name=True)
    check_may_message(world, person)
    return world.app_channel(person.id)


def check_may_message(world: World, person: Person) -> None:
    if person.kind == "deactivated":
        raise ApiError("user_disabled")
    if person.kind in ("bot", "slackbot"):
        raise ApiError("cannot_dm_bot")
    if not world.app.messages_tab:
        raise ApiError("messages_tab_disabled")


def _known_channel(world: World, reference: str, *, by_name: bool = False) -> Channel:
    """A private channel without the app does not exist for it."""
    channel = world.state.channel_named(reference) if by_name else world.state.channels.get(reference)
    if channel is None or (channel.is_private and world.app.bot_user_id not in channel.members):
        raise ApiError("channel_not_found")
    return channel


def _check_may_write(world: World, channel: Channel) -> None:
    if channel.archived:
        raise ApiError("is_archived")
    if world.app.bot_user_id not in channel.members and "chat:write.public" not in world.app.scopes:
        raise ApiError("not_in_channel")
    if channel.read_only:
        raise ApiError("restricted_action_read_only_channel")


def _thread(world: World, channel: Channel, thread_ts: str | None) -> str | None:
    """A reply to a reply belongs to its parent's thread; a parent that is gone still takes replies in Slack's answer."""
    if thread_ts is None:
        return None
    parent = world.state.message(channel.id, thread_ts)
    if parent is None:
        raise ApiError("thread_not_found")
    return parent.thread_ts or parent.ts


def _own_message(world: World, channel: Channel, ts: str, *, refused: str) -> Message:
    """Ephemeral messages are not among them: they cannot be changed by their ts."""
    message = world.state.message(channel.id, ts)
    if message is None:
        raise ApiError("message_not_found")
    if message.bot_id != world.app.bot_id:
        raise ApiError(refused)
    return message


# -- what --------------------------------------------------------------------------------------------------------------


def _content(
    arguments: Arguments, *, fallback: Message | None = None, text_limit: int | None = None
) -> Content:
    text = arguments.text("text") or ""
    markdown = arguments.text("markdown_text")
    blocks = checked_blocks(arguments)
    if markdown is not None:
        if text or blocks:
            raise ApiError("markdown_text_conflict")
        if len(markdown) > MAX_MARKDOWN_TEXT_CHARACTERS:
            raise ApiError("msg_too_long")
        blocks = [{"type": "markdown", "text": markdown}]
        text = markdown
    if text_limit is not None and len(text) > text_limit:
        raise ApiError("msg_too_long")
    if arguments.json_list("attachments"):
        # Taking them and showing nothing would be worse than refusing.
        raise invalid_arguments(
            "[ERROR] attachments are not imitated here; use blocks [json-pointer:/attachments]"
        )
    if not text and not blocks:
        raise ApiError("no_text")
    if not text and blocks and fallback is not None:
        text = fallback.text
    return Content(text=text, blocks=blocks or None, metadata=_metadata(arguments))


def checked_blocks(arguments: Arguments) -> list[Json] | None:
    try:
        blocks = arguments.json("blocks")
    except ValueError:
        raise ApiError("invalid_blocks_format") from None
    if blocks is None:
        return None
    if not isinstance(blocks, list):
        raise ApiError("invalid_blocks_format")
    if problems := check_message_blocks(blocks):
        raise ApiError(
            "invalid_blocks", response_metadata={"messages": [str(problem) for problem in problems]}
        )
    if text_characters(blocks) > MAX_MESSAGE_TEXT_CHARACTERS:
        raise ApiError("msg_blocks_too_long")
    return blocks


def _metadata(arguments: Arguments) -> Json | None:
    try:
        metadata = arguments.json("metadata")
    except ValueError:
        raise ApiError("invalid_metadata_format") from None
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise ApiError("invalid_metadata_format")
    if not metadata:
        return {}
    if not isinstance(metadata.get("event_type"), str) or not isinstance(metadata.get("event_payload"), dict):
        raise ApiError("invalid_metadata_schema")
    if len(json.dumps(metadata)) > MAX_METADATA_BYTES:
        raise ApiError("metadata_too_large")
    return metadata
