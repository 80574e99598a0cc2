"""Events: which of them the app subscribed to and may see, and sending them without making anybody wait.

The retries are delivery.py's; this module only says that something happened.
"""

from __future__ import annotations

from typing import Any

from playground.messages import Channel, Message
from playground.payloads import event_callback
from playground.workspace import UserGroup, user_object
from playground.world import World

Json = dict[str, Any]

_MESSAGE_EVENTS = {"public": "message.channels", "private": "message.groups", "dm": "message.im"}
_CHANNEL_TYPES = {"public": "channel", "private": "group", "dm": "im"}


def emit(world: World, subscription: str, event: Json, *, channel: Channel | None = None) -> None:
    if not world.app.receives(subscription):
        return
    payload = event_callback(world, event, ext_shared=channel is not None and channel.ext_shared)
    world.background.spawn(world.deliveries.deliver_event(payload))


def now_ts(world: World) -> str:
    return f"{world.clock.now():.6f}"


def message_posted(world: World, message: Message) -> None:
    """The message event, and app_mention when a person named the app; only where the app is a member."""
    channel = world.state.channels[message.channel]
    if world.app.bot_user_id not in channel.members:
        return
    shown = world.message_object(message) | {
        "channel": channel.id,
        "event_ts": message.ts,
        "channel_type": _CHANNEL_TYPES[channel.kind],
    }
    emit(world, _MESSAGE_EVENTS[channel.kind], shown, channel=channel)
    mentioned = f"<@{world.app.bot_user_id}>" in message.text
    if mentioned and channel.kind != "dm" and message.bot_id is None:
        mention = {key: value for key, value in shown.items() if key != "channel_type"} | {
            "type": "app_mention"
        }
        emit(world, "app_mention", mention, channel=channel)


def message_changed(world: World, message: Message) -> None:
    """Apps hear of edits too, their own included; the inner message says whose it is."""
    shown = world.message_object(message)
    _message_subtype(world, message, "message_changed", {"message": shown, "hidden": True})


def message_deleted(world: World, message: Message) -> None:
    _message_subtype(world, message, "message_deleted", {"deleted_ts": message.ts, "hidden": True})


def _message_subtype(world: World, message: Message, subtype: str, content: Json) -> None:
    channel = world.state.channels[message.channel]
    if world.app.bot_user_id not in channel.members:
        return
    at = now_ts(world)
    event = {
        "type": "message",
        "subtype": subtype,
        "channel": channel.id,
        "channel_type": _CHANNEL_TYPES[channel.kind],
        "ts": at,
        "event_ts": at,
        **content,
    }
    emit(world, _MESSAGE_EVENTS[channel.kind], event, channel=channel)


def home_opened(world: World, user: str, *, tab: str) -> None:
    event: Json = {
        "type": "app_home_opened",
        "user": user,
        "channel": world.app_channel(user).id,
        "tab": tab,
        "event_ts": now_ts(world),
    }
    view = world.views.home(user)
    if tab == "home" and view is not None:
        event["view"] = world.views.view_object(view)
    emit(world, "app_home_opened", event)


def member_joined(world: World, user: str, channel: Channel) -> None:
    event = {
        "type": "member_joined_channel",
        "user": user,
        "channel": channel.id,
        "channel_type": "G" if channel.is_private else "C",
        "team": world.workspace.team_id,
        "event_ts": now_ts(world),
    }
    emit(world, "member_joined_channel", event, channel=channel)


def member_left(world: World, user: str, channel: Channel) -> None:
    event = {
        "type": "member_left_channel",
        "user": user,
        "channel": channel.id,
        "channel_type": "G" if channel.is_private else "C",
        "team": world.workspace.team_id,
        "event_ts": now_ts(world),
    }
    emit(world, "member_left_channel", event, channel=channel)


def user_changed(world: World, user: str) -> None:
    with_email = "users:read.email" in world.app.scopes
    person = user_object(world.person(user), with_email=with_email, updated=int(world.clock.now()))
    emit(world, "user_change", {"type": "user_change", "user": person, "event_ts": now_ts(world)})


def user_group_changed(world: World, group: UserGroup, *, added: list[str], removed: list[str]) -> None:
    event = {
        "type": "subteam_members_changed",
        "subteam_id": group.id,
        "team_id": world.workspace.team_id,
        "date_update": int(world.clock.now()),
        "added_users": added,
        "added_users_count": str(len(added)),
        "removed_users": removed,
        "removed_users_count": str(len(removed)),
        "event_ts": now_ts(world),
    }
    emit(world, "subteam_members_changed", event)


def channel_archived(world: World, channel: Channel) -> None:
    event = {"type": "channel_archive", "channel": channel.id, "user": "USLACKBOT", "event_ts": now_ts(world)}
    emit(world, "channel_archive", event, channel=channel)
