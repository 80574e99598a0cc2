"""The app's registration, read from a Slack app manifest: what the app may do and how Slack reaches it.

Pure. Granted scopes, slash commands, subscribed events and surfaces come from here and nowhere else: what the manifest
lacks does not work, as with Slack.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

# A bot event arrives only when the app subscribed to it and holds one of these scopes.
EVENT_SCOPES: dict[str, tuple[str, ...]] = {
    "app_home_opened": (),
    "app_mention": ("app_mentions:read",),
    "app_uninstalled": (),
    "channel_archive": ("channels:read",),
    "channel_unarchive": ("channels:read",),
    "member_joined_channel": ("channels:read", "groups:read"),
    "member_left_channel": ("channels:read", "groups:read"),
    "message.channels": ("channels:history",),
    "message.groups": ("groups:history",),
    "message.im": ("im:history",),
    "reaction_added": ("reactions:read",),
    "subteam_created": ("usergroups:read",),
    "subteam_members_changed": ("usergroups:read",),
    "subteam_updated": ("usergroups:read",),
    "tokens_revoked": (),
    "user_change": ("users:read",),
}


class ManifestError(ValueError):
    """The file is not a Slack app manifest."""


@dataclass(frozen=True)
class SlashCommand:
    command: str
    description: str
    usage_hint: str = ""
    should_escape: bool = False


@dataclass(frozen=True)
class AppRegistration:
    name: str
    bot_name: str
    scopes: tuple[str, ...]
    commands: dict[str, SlashCommand]
    events: frozenset[str]
    socket_mode: bool
    interactive: bool
    home_tab: bool
    messages_tab: bool
    messages_tab_read_only: bool
    org_deploy: bool
    app_id: str = "A0APP00001"
    bot_id: str = "B0APPBOT01"
    bot_user_id: str = "U0APPBOT01"

    def receives(self, event: str) -> bool:
        needed = EVENT_SCOPES.get(event, ())
        return event in self.events and (not needed or any(scope in self.scopes for scope in needed))


@dataclass(frozen=True)
class Credentials:
    """Held in memory only; `repr` must never show them, because test reports print values."""

    bot_token: str = field(repr=False)
    app_token: str = field(repr=False)
    signing_secret: str = field(repr=False)


def load_manifest(source: Mapping[str, Any] | Path) -> AppRegistration:
    if isinstance(source, Path):
        source = yaml.safe_load(source.read_text(encoding="utf-8"))
    if not isinstance(source, Mapping) or "display_information" not in source:
        raise ManifestError("not a Slack app manifest: display_information is missing")
    return parse_manifest(source)


def parse_manifest(source: Mapping[str, Any]) -> AppRegistration:
    features: Mapping[str, Any] = source.get("features", {})
    settings: Mapping[str, Any] = source.get("settings", {})
    home: Mapping[str, Any] = features.get("app_home", {})
    name = source["display_information"]["name"]
    known = ("command", "description", "usage_hint", "should_escape")
    commands = [
        SlashCommand(**{key: entry[key] for key in known if key in entry})
        for entry in features.get("slash_commands", [])
    ]
    return AppRegistration(
        name=name,
        bot_name=features.get("bot_user", {}).get("display_name", name),
        scopes=tuple(source.get("oauth_config", {}).get("scopes", {}).get("bot", ())),
        commands={command.command: command for command in commands},
        events=frozenset(settings.get("event_subscriptions", {}).get("bot_events", ())),
        socket_mode=bool(settings.get("socket_mode_enabled", False)),
        interactive=bool(settings.get("interactivity", {}).get("is_enabled", False)),
        home_tab=bool(home.get("home_tab_enabled", False)),
        messages_tab=bool(home.get("messages_tab_enabled", True)),
        messages_tab_read_only=bool(home.get("messages_tab_read_only_enabled", False)),
        org_deploy=bool(settings.get("org_deploy_enabled", False)),
    )


def make_credentials(
    bot_token: str | None = None, app_token: str | None = None, signing_secret: str | None = None
) -> Credentials:
    return Credentials(
        bot_token=bot_token or f"xoxb-playground-{secrets.token_hex(12)}",
        app_token=app_token or f"xapp-playground-{secrets.token_hex(12)}",
        signing_secret=signing_secret or secrets.token_hex(16),
    )
