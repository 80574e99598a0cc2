"""conversations.*: what the app may know of channels, read in them, open and join.

Each function is one Web API method: it answers the body without `ok`, or raises ApiError. A private channel without the app
is channel_not_found everywhere.
"""

from __future__ import annotations

from typing import Any

from playground import events
from playground.arguments import ApiError, Arguments, paged
from playground.messages import Channel, Message, channel_object
from playground.methods_chat import check_may_message
from playground.world import World

Json = dict[str, Any]

_TYPES = {"public": "public_channel", "private": "private_channel", "dm": "im"}
_READ_SCOPES = {"public": "channels:read", "private": "groups:read", "dm": "im:read"}
_HISTORY_SCOPES = {"public": "channels:history", "private": "groups:history", "dm": "im:history"}
HISTORY_PAGE = 100


async def list_channels(world: World, arguments: Arguments) -> Json:
    wanted = arguments.names("types") or ["public_channel"]
    for kind, name in _TYPES.items():
        if name in wanted:
            _need_scope(world, _READ_SCOPES[kind])
    skip_archived = arguments.flag("exclude_archived")
    shown = [
        _object(world, channel)
        for channel in world.state.channels.values()
        if _TYPES[channel.kind] in wanted
        and (channel.kind == "public" or world.app.bot_user_id in channel.members)
        and not (skip_archived and channel.archived)
    ]
    page, cursor = paged(shown, arguments)
    return {"channels": page, "response_metadata": {"next_cursor": cursor}}


async def info(world: World, arguments: Arguments) -> Json:
    channel = _visible(world, arguments)
    _need_scope(world, _READ_SCOPES[channel.kind])
    shown = _object(world, channel)
    if not arguments.flag("include_num_members"):
        shown.pop("num_members", None)
    return {"channel": shown}


async def members(world: World, arguments: Arguments) -> Json:
    channel = _visible(world, arguments)
    _need_scope(world, _READ_SCOPES[channel.kind])
    page, cursor = paged(channel.members, arguments)
    return {"members": page, "response_metadata": {"next_cursor": cursor}}


async def history(world: World, arguments: Arguments) -> Json:
    """Newest first. `latest` and `oldest` are exclusive unless `inclusive`."""
    channel = _readable(world, arguments)
    found = _within(world.state.timeline(channel.id), arguments)
    page, cursor = paged(found[::-1], arguments, default_limit=HISTORY_PAGE)
    return _message_page(world, page, cursor, arguments)


async def replies(world: World, arguments: Arguments) -> Json:
    """The parent and its replies, oldest first; of a reply's ts, that reply alone."""
    channel = _readable(world, arguments)
    parent = world.state.message(channel.id, arguments.required("ts"))
    if parent is None:
        raise ApiError("thread_not_found")
    answers = _within(world.state.replies(parent), arguments)
    page, cursor = paged([parent, *answers], arguments, default_limit=HISTORY_PAGE)
    return _message_page(world, page, cursor, arguments)


async def open_direct(world: World, arguments: Arguments) -> Json:
    channel_id = arguments.text("channel")
    if channel_id is not None:
        return {"channel": {"id": _visible(world, arguments).id}}
    users = arguments.names("users")
    if not users:
        raise ApiError("users_list_not_supplied")
    if len(users) > 1:
        # Group conversations are not imitated; saying so is better than opening the wrong one.
        raise ApiError("method_not_supported_for_channel_type")
    person = world.workspace.people.get(users[0])
    if person is None:
        raise ApiError("user_not_found")
    check_may_message(world, person)
    existing = world.state.find_direct(person.id, world.app.bot_user_id)
    channel = existing or world.app_channel(person.id)
    world.changed()
    shown = _object(world, channel) if arguments.flag("return_im") else {"id": channel.id}
    already = {"no_op": True, "already_open": True} if existing else {}
    return {"channel": shown, **already}


async def join(world: World, arguments: Arguments) -> Json:
    channel = _visible(world, arguments)
    if channel.kind != "public":
        raise ApiError("method_not_supported_for_channel_type")
    if channel.archived:
        raise ApiError("is_archived")
    if world.app.bot_user_id in channel.members:
        return {"channel": _object(world, channel), "warning": "already_in_channel"}
    channel.members.append(world.app.bot_user_id)
    world.state.save_channel(channel)
    events.member_joined(world, world.app.bot_user_id, channel)
    world.feed.tell_everyone({"type": "sidebar"})
    world.changed()
    return {"channel": _object(world, channel)}


def _object(world: World, channel: Channel) -> Json:
    return channel_object(channel, team_id=world.workspace.team_id, app_user=world.app.bot_user_id)


def _need_scope(world: World, scope: str) -> None:
    if scope not in world.app.scopes:
        raise ApiError("missing_scope", needed=scope, provided=",".join(world.app.scopes))


def _visible(world: World, arguments: Arguments) -> Channel:
    channel = world.state.channels.get(arguments.required("channel"))
    if channel is None or (channel.is_private and world.app.bot_user_id not in channel.members):
        raise ApiError("channel_not_found")
    return channel


def _readable(world: World, arguments: Arguments) -> Channel:
    channel = _visible(world, arguments)
    _need_scope(world, _HISTORY_SCOPES[channel.kind])
    if world.app.bot_user_id not in channel.members:
        raise ApiError("not_in_channel")
    return channel


def _within(messages: list[Message], arguments: Arguments) -> list[Message]:
    oldest, latest = arguments.text("oldest") or "0", arguments.text("latest")
    inclusive = arguments.flag("inclusive")
    found = [m for m in messages if m.ts > oldest or (inclusive and m.ts == oldest)]
    if latest is not None:
        found = [m for m in found if m.ts < latest or (inclusive and m.ts == latest)]
    return found


def _message_page(world: World, page: list[Message], cursor: str, arguments: Arguments) -> Json:
    with_metadata = arguments.flag("include_all_metadata")
    return {
        "messages": [world.message_object(message, with_metadata=with_metadata) for message in page],
        "has_more": bool(cursor),
        "response_metadata": {"next_cursor": cursor},
    }
