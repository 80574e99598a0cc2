"""The table of Web API methods: function, rate-limit tier, token, and the scopes of which one suffices.

https://docs.slack.dev/apis/web-api/rate-limits for tiers; each method's page for scopes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from playground import methods_chat, methods_conversations, methods_people, methods_views
from playground.arguments import ApiError, Arguments
from playground.delivery_socket import SocketDelivery
from playground.world import World

Json = dict[str, Any]
Handler = Callable[[World, Arguments], Awaitable[Json]]

SPECIAL = 0


@dataclass(frozen=True)
class Method:
    """`per_channel` marks posts, which Slack limits to about one a second in each channel."""

    handler: Handler
    tier: int
    scopes: tuple[str, ...] = ()
    caller: Literal["bot", "app", "anyone"] = "bot"
    per_channel: bool = False


async def api_test(_world: World, arguments: Arguments) -> Json:
    if (error := arguments.text("error")) is not None:
        raise ApiError(error)
    return {"args": {}}


async def auth_test(world: World, _arguments: Arguments) -> Json:
    return {
        "url": world.base_url,
        "team": world.workspace.name,
        "team_id": world.workspace.team_id,
        "user": world.app.bot_name,
        "user_id": world.app.bot_user_id,
        "bot_id": world.app.bot_id,
        "app_id": world.app.app_id,
        "is_enterprise_install": world.org_install,
    }


async def open_connection(world: World, _arguments: Arguments) -> Json:
    transport = world.deliveries.transport
    if not isinstance(transport, SocketDelivery):
        raise ApiError("not_allowed", detail="Socket Mode is not enabled for this app")
    address = world.base_url.replace("http", "ws", 1)
    return {"url": f"{address}_socket?ticket={transport.issue_ticket()}&app_id={world.app.app_id}"}


_ANY_READ = ("channels:read", "groups:read", "im:read", "mpim:read")
_ANY_HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")

METHODS: dict[str, Method] = {
    "api.test": Method(api_test, 4, caller="anyone"),
    "auth.test": Method(auth_test, SPECIAL),
    "apps.connections.open": Method(open_connection, 1, caller="app"),
    "bots.info": Method(methods_people.bot_info, 3, ("users:read",)),
    "chat.delete": Method(methods_chat.delete, 3, ("chat:write",)),
    "chat.getPermalink": Method(methods_chat.get_permalink, SPECIAL),
    "chat.postEphemeral": Method(methods_chat.post_ephemeral, 4, ("chat:write",)),
    "chat.postMessage": Method(methods_chat.post_message, SPECIAL, ("chat:write",), per_channel=True),
    "chat.update": Method(methods_chat.update, 3, ("chat:write",)),
    "conversations.history": Method(methods_conversations.history, 3, _ANY_HISTORY),
    "conversations.info": Method(methods_conversations.info, 3, _ANY_READ),
    "conversations.join": Method(methods_conversations.join, 3, ("channels:join",)),
    "conversations.list": Method(methods_conversations.list_channels, 2, _ANY_READ),
    "conversations.members": Method(methods_conversations.members, 4, _ANY_READ),
    "conversations.open": Method(methods_conversations.open_direct, 3, ("im:write", "mpim:write")),
    "conversations.replies": Method(methods_conversations.replies, 3, _ANY_HISTORY),
    "reactions.add": Method(methods_chat.add_reaction, 3, ("reactions:write",)),
    "team.info": Method(methods_people.team_info, 3, ("team:read",)),
    "usergroups.list": Method(methods_people.list_user_groups, 2, ("usergroups:read",)),
    "usergroups.users.list": Method(methods_people.list_user_group_members, 2, ("usergroups:read",)),
    "users.conversations": Method(methods_people.user_conversations, 2, _ANY_READ),
    "users.info": Method(methods_people.user_info, 4, ("users:read",)),
    "users.list": Method(methods_people.list_users, 2, ("users:read",)),
    "users.lookupByEmail": Method(methods_people.lookup_by_email, 3, ("users:read.email",)),
    "views.open": Method(methods_views.open_view, 4),
    "views.publish": Method(methods_views.publish_view, 4),
    "views.push": Method(methods_views.push_view, 4),
    "views.update": Method(methods_views.update_view, 4),
}
