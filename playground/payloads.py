"""What Slack sends for a command, a click, a submitted or closed view, a typed suggestion and an event.

Builds mappings and nothing else. Field by field after https://docs.slack.dev/reference/interaction-payloads.
"""

from __future__ import annotations

from typing import Any

from playground.messages import Channel, Message
from playground.views import View
from playground.workspace import Person
from playground.world import World

Json = dict[str, Any]

ENTERPRISE_ID = "EACME00001"


def slash_command(world: World, person: Person, channel: Channel, *, command: str, text: str) -> Json:
    key = world.response_urls.issue("command", user=person.id, channel=channel.id)
    payload = {
        # The deprecated verification token: present, and worth nothing.
        "token": "deprecated",
        "team_id": world.workspace.team_id,
        "team_domain": world.workspace.domain,
        "channel_id": channel.id,
        "channel_name": channel_name(channel),
        "user_id": person.id,
        "user_name": person.handle,
        "command": command,
        "text": text,
        "api_app_id": world.app.app_id,
        # A string, unlike everywhere else.
        "is_enterprise_install": "true" if world.org_install else "false",
        "response_url": world.response_url(key),
        "trigger_id": world.issue_trigger(person.id),
    }
    if world.org_install:
        payload |= {"enterprise_id": ENTERPRISE_ID, "enterprise_name": world.workspace.name}
    return payload


def channel_name(channel: Channel) -> str:
    return {"dm": "directmessage", "private": "privategroup"}.get(channel.kind, channel.name)


def block_actions_on_message(
    world: World,
    person: Person,
    message: Message,
    *,
    action: Json,
    values: Json,
    blocks: list[Json] | None = None,
) -> Json:
    """`blocks` are those the clicked client still showed, when they are no longer the message's."""
    channel = world.state.channels[message.channel]
    origin = "ephemeral" if message.ephemeral else "message"
    key = world.response_urls.issue(
        "ephemeral" if message.ephemeral else "message",
        user=person.id,
        channel=channel.id,
        ts=message.ts,
        thread_ts=message.thread_ts,
    )
    container: Json = {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": channel.id,
        "is_ephemeral": origin == "ephemeral",
    }
    if message.thread_ts:
        container["thread_ts"] = message.thread_ts
    payload = _interaction(world, person, "block_actions") | {
        "container": container,
        "channel": {"id": channel.id, "name": channel_name(channel)},
        "state": {"values": values},
        "response_url": world.response_url(key),
        "trigger_id": world.issue_trigger(person.id),
        "actions": [action],
    }
    if not message.ephemeral:
        shown = world.message_object(message)
        payload["message"] = shown if blocks is None else shown | {"blocks": blocks}
    return payload


def block_actions_on_view(world: World, person: Person, view: View, *, action: Json) -> Json:
    return _interaction(world, person, "block_actions") | {
        "container": {"type": "view", "view_id": view.id},
        "view": world.views.view_object(view),
        "trigger_id": world.issue_trigger(person.id, view_id=view.id),
        "actions": [action],
    }


def view_submission(world: World, person: Person, view: View) -> Json:
    return _interaction(world, person, "view_submission") | {
        "view": world.views.view_object(view),
        "trigger_id": world.issue_trigger(person.id, view_id=view.id),
        "response_urls": _view_response_urls(world, person, view),
    }


def _view_response_urls(world: World, person: Person, view: View) -> list[Json]:
    urls: list[Json] = []
    for block in view.blocks:
        element = block.get("element", {})
        if not element.get("response_url_enabled"):
            continue
        result = view.values.get(block["block_id"], {}).get(element["action_id"], {})
        channel_id = result.get("selected_conversation") or result.get("selected_channel")
        if channel_id:
            key = world.response_urls.issue("view", user=person.id, channel=channel_id)
            urls.append(
                {
                    "block_id": block["block_id"],
                    "action_id": element["action_id"],
                    "channel_id": channel_id,
                    "response_url": world.response_url(key),
                }
            )
    return urls


def view_closed(world: World, person: Person, view: View, *, is_cleared: bool) -> Json:
    return _interaction(world, person, "view_closed") | {
        "view": world.views.view_object(view),
        "is_cleared": is_cleared,
    }


def block_suggestion(world: World, person: Person, *, action_id: str, block_id: str, value: str) -> Json:
    """Without its origin; the caller adds `view`, or `message` and `channel`, and `container`."""
    return _interaction(world, person, "block_suggestion") | {
        "action_id": action_id,
        "block_id": block_id,
        "value": value,
    }


def _interaction(world: World, person: Person, payload_type: str) -> Json:
    team: Json | None = {"id": world.workspace.team_id, "domain": world.workspace.domain}
    enterprise: Json | None = None
    if world.org_install:
        team, enterprise = None, {"id": ENTERPRISE_ID, "name": world.workspace.name}
    return {
        "type": payload_type,
        "user": {
            "id": person.id,
            "username": person.handle,
            "name": person.handle,
            # Where the person belongs, which need not be where the click happened.
            "team_id": person.team_id,
        },
        "api_app_id": world.app.app_id,
        "token": "deprecated",
        "team": team,
        "enterprise": enterprise,
        "is_enterprise_install": world.org_install,
    }


def event_callback(world: World, event: Json, *, ext_shared: bool) -> Json:
    now = world.clock.now()
    number = world.state.next_number("event")
    return {
        "token": "deprecated",
        "team_id": world.workspace.team_id,
        "api_app_id": world.app.app_id,
        "event": event,
        "type": "event_callback",
        # The time keeps ids unique when the workspace starts afresh beside a bot that remembers the old ones.
        "event_id": f"Ev{int(now):08X}{number:06d}",
        "event_time": int(now),
        "authorizations": [
            {
                "enterprise_id": ENTERPRISE_ID if world.org_install else None,
                "team_id": None if world.org_install else world.workspace.team_id,
                "user_id": world.app.bot_user_id,
                "is_bot": True,
                "is_enterprise_install": world.org_install,
            }
        ],
        "is_ext_shared_channel": ext_shared,
        "event_context": f"4-{number}",
    }
