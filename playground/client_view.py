"""Messages, people and channels as the browser page draws them (contract in docs/playground.md).

Renders what is there and tells open pages of views; routes stand in client_api.py.
"""

from __future__ import annotations

from typing import Any

from playground.messages import Channel, Message
from playground.workspace import Person
from playground.world import World

Json = dict[str, Any]


def client_message(world: World, message: Message) -> Json:
    replies = world.state.replies(message)
    event_type = (message.metadata or {}).get("event_type")
    return {
        "ts": message.ts,
        "channel": message.channel,
        "thread_ts": message.thread_ts,
        "user": message.user,
        "text": message.text,
        "blocks": message.blocks,
        "edited": message.edited_ts is not None,
        "ephemeral": message.ephemeral,
        "system": message.system,
        "reply_count": len(replies),
        "latest_reply": replies[-1].ts if replies else None,
        "pending": False,
        "metadata_id": event_type,
        "reactions": message.reactions,
    }


def client_person(person: Person) -> Json:
    return {
        "id": person.id,
        "name": person.handle,
        "real_name": person.name,
        "title": person.title,
        "kind": "bot" if person.kind == "slackbot" else person.kind,
        "initials": person.initials,
        "color": person.color,
        "can_act": person.can_act,
    }


def client_channel(world: World, channel: Channel, user: str) -> Json:
    unread, mentions = _unread(world, channel, user)
    others = [member for member in channel.members if member != user]
    is_app = channel.kind == "dm" and world.app.bot_user_id in channel.members
    partner = others[0] if channel.kind == "dm" and others else None
    name = channel.name
    if partner is not None:
        name = world.app.name if is_app else world.workspace.people[partner].name
    return {
        "id": channel.id,
        "name": name,
        "kind": "app" if is_app else channel.kind,
        "topic": channel.topic,
        "is_member": user in channel.members,
        "bot_is_member": world.app.bot_user_id in channel.members,
        "unread": unread,
        "mentions": mentions,
        "latest": world.state.latest(channel.id),
        "with": partner,
        "archived": channel.archived,
        "ext_shared": channel.ext_shared,
    }


def _unread(world: World, channel: Channel, user: str) -> tuple[int, int]:
    if user not in channel.members:
        return 0, 0
    last_read = world.state.reads.get((user, channel.id))
    unread = [m for m in world.state.timeline(channel.id, after=last_read) if m.user != user]
    names = {f"<@{user}>", "<!channel>", "<!here>", "<!everyone>"}
    names |= {
        f"<!subteam^{group.id}" for group in world.workspace.user_groups.values() if user in group.members
    }
    mentions = sum(any(name in message.text for name in names) for message in unread)
    # Every message of a direct conversation is meant for its reader.
    return len(unread), len(unread) if channel.kind == "dm" else mentions


def sidebar(world: World, user: str) -> Json:
    """Guests and people of other companies see only the channels they are in."""
    person = world.person(user)
    world.app_channel(user)
    named: list[Channel] = []
    direct: list[Channel] = []
    for channel in world.state.channels.values():
        is_member = user in channel.members
        if channel.kind == "dm":
            direct += [channel] if is_member else []
        elif is_member or (channel.kind == "public" and person.kind == "member" and not channel.archived):
            named.append(channel)
    direct.sort(key=lambda channel: world.app.bot_user_id not in channel.members)
    return {
        "channels": [client_channel(world, channel, user) for channel in named],
        "direct": [client_channel(world, channel, user) for channel in direct],
    }


def shown_stack(world: World, user: str) -> list[Json]:
    return [world.views.view_object(view) for view in world.views.stack(user)]


def show_stack(world: World, user: str) -> None:
    """Tells the person's pages what is open now, and everybody who waits that something changed."""
    world.feed.tell([user], {"type": "views", "stack": shown_stack(world, user)})
    world.changed()


def show_home(world: World, user: str) -> None:
    view = world.views.home(user)
    if view is not None:
        world.feed.tell([user], {"type": "home", "view": world.views.view_object(view)})
    world.changed()
