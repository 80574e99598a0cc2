"""users.*, usergroups.*, team.info, bots.info: who is there.

Each function is one Web API method: it answers the body without `ok`, or raises ApiError.
"""

from __future__ import annotations

from typing import Any

from playground.arguments import ApiError, Arguments, paged
from playground.messages import channel_object
from playground.workspace import Person, user_group_object, user_object
from playground.world import World

Json = dict[str, Any]

_TYPES = {"public": "public_channel", "private": "private_channel", "dm": "im"}


async def list_users(world: World, arguments: Arguments) -> Json:
    """People of other companies are seen in their messages only, not in the list."""
    shown = [_user(world, person) for person in world.workspace.people.values() if person.kind != "external"]
    page, cursor = paged(shown, arguments)
    return {"members": page, "cache_ts": int(world.clock.now()), "response_metadata": {"next_cursor": cursor}}


async def user_info(world: World, arguments: Arguments) -> Json:
    person = world.workspace.people.get(arguments.required("user"))
    if person is None:
        raise ApiError("user_not_found")
    shown = _user(world, person)
    if arguments.flag("include_locale"):
        shown["locale"] = "en-US"
    return {"user": shown}


async def lookup_by_email(world: World, arguments: Arguments) -> Json:
    email = arguments.required("email").lower()
    for person in world.workspace.people.values():
        # Deactivated accounts and people of other companies are not found by their address.
        if person.email and person.email.lower() == email and person.kind not in ("deactivated", "external"):
            return {"user": _user(world, person)}
    raise ApiError("users_not_found")


async def user_conversations(world: World, arguments: Arguments) -> Json:
    user = arguments.text("user") or world.app.bot_user_id
    if user not in world.workspace.people:
        raise ApiError("user_not_found")
    wanted = arguments.names("types") or ["public_channel"]
    skip_archived = arguments.flag("exclude_archived")
    app_user = world.app.bot_user_id
    shown = [
        channel_object(channel, team_id=world.workspace.team_id, app_user=app_user)
        for channel in world.state.channels_of(user)
        if _TYPES[channel.kind] in wanted
        and (channel.kind == "public" or app_user in channel.members)
        and not (skip_archived and channel.archived)
    ]
    page, cursor = paged(shown, arguments)
    return {"channels": page, "response_metadata": {"next_cursor": cursor}}


async def list_user_groups(world: World, arguments: Arguments) -> Json:
    _check_user_groups(world, arguments)
    with_disabled, with_users = arguments.flag("include_disabled"), arguments.flag("include_users")
    return {
        "usergroups": [
            user_group_object(group, team_id=world.workspace.team_id, include_users=with_users)
            for group in world.workspace.user_groups.values()
            if with_disabled or not group.disabled
        ]
    }


async def list_user_group_members(world: World, arguments: Arguments) -> Json:
    _check_user_groups(world, arguments)
    group = world.workspace.user_groups.get(arguments.required("usergroup"))
    if group is None or (group.disabled and not arguments.flag("include_disabled")):
        raise ApiError("no_such_subteam")
    return {"users": list(group.members)}


async def team_info(world: World, arguments: Arguments) -> Json:
    team = arguments.text("team")
    if team is not None and team != world.workspace.team_id:
        raise ApiError("team_not_found")
    return {
        "team": {
            "id": world.workspace.team_id,
            "name": world.workspace.name,
            "domain": world.workspace.domain,
            "email_domain": "example.com",
            "icon": {"image_default": True},
        }
    }


async def bot_info(world: World, arguments: Arguments) -> Json:
    bot = arguments.text("bot")
    if bot is not None and bot != world.app.bot_id:
        raise ApiError("bot_not_found")
    return {
        "bot": {
            "id": world.app.bot_id,
            "app_id": world.app.app_id,
            "user_id": world.app.bot_user_id,
            "name": world.app.bot_name,
            "deleted": False,
            "updated": 0,
            "icons": {},
        }
    }


def _user(world: World, person: Person) -> Json:
    return user_object(person, with_email="users:read.email" in world.app.scopes)


def _check_user_groups(world: World, arguments: Arguments) -> None:
    if not world.user_groups_available:
        raise ApiError("plan_upgrade_required")
    if world.org_install and arguments.text("team_id") is None:
        # A token of an org-wide installation must say which workspace it means.
        raise ApiError("missing_argument", response_metadata={"messages": ["team_id"]})
