"""The manifest: generated, least, accepted by Slack's own schema, and explained in docs/slack.md."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bot import manifest
from bot.registry import load_commands
from playground.manifest import parse_manifest

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT.parent / "shared" / "reference" / "manifest.schema.json"
URL = "https://platform.example.com/slack/events"

# docs.slack.dev: one page per method and per event; "(read)" where any kind of conversation has a scope of its own.
SCOPES_OF_METHODS: dict[str, set[str]] = {
    "auth_test": set(),
    "apps_connections_open": set(),
    "chat_postMessage": {"chat:write"},
    "chat_postEphemeral": {"chat:write"},
    "chat_update": {"chat:write"},
    "conversations_history": {"channels:history", "groups:history", "im:history"},
    "conversations_info": {"channels:read", "groups:read"},
    "conversations_open": {"im:write"},
    "conversations_replies": {"channels:history", "groups:history", "im:history"},
    "usergroups_list": {"usergroups:read"},
    "users_info": {"users:read"},
    "users_lookupByEmail": {"users:read.email"},
    "views_open": set(),
    "views_publish": set(),
}
SCOPES_OF_EVENTS: dict[str, set[str]] = {
    "app_home_opened": set(),
    "app_mention": {"app_mentions:read"},
    "message.im": {"im:history"},
    "subteam_members_changed": {"usergroups:read"},
    "subteam_updated": {"usergroups:read"},
    "user_change": {"users:read"},
}


def methods_called() -> set[str]:
    """Names of Web API methods that the code calls on a client, or hands over to be called."""
    families = (
        "api_",
        "apps_",
        "auth_",
        "chat_",
        "conversations_",
        "team_",
        "usergroups_",
        "users_",
        "views_",
    )
    return {
        node.attr
        for file in (ROOT / "bot").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith(families)
        and isinstance(node.value, ast.Name | ast.Attribute)
        and "client" in ast.unparse(node.value)
    }


def test_the_file_in_the_repository_is_what_the_code_says() -> None:
    assert (ROOT / "manifest.yml").read_text(encoding="utf-8") == manifest.render(load_commands())


@pytest.mark.parametrize("url", ["", URL])
def test_slacks_own_schema_accepts_it(url: str) -> None:
    if not SCHEMA.exists():
        pytest.skip(f"Slack's manifest schema is not beside this repository ({SCHEMA.name})")
    made = json.loads(json.dumps(manifest.build(load_commands(), url=url)))
    validator = jsonschema.validators.validator_for(json.loads(SCHEMA.read_text()))
    found = validator(json.loads(SCHEMA.read_text())).iter_errors(made)
    assert [f"{error.json_path}: {error.message}" for error in found] == []


@pytest.mark.parametrize("url", ["", URL])
def test_the_playground_installs_it(url: str) -> None:
    installed = parse_manifest(manifest.build(load_commands(), url=url))
    assert set(installed.scopes) == set(manifest.SCOPES)


def test_without_an_address_everything_comes_by_socket() -> None:
    made = manifest.build(load_commands())
    assert made["settings"]["socket_mode_enabled"] is True
    assert "url" not in json.dumps(made).replace(manifest.LONG_DESCRIPTION, "")


def test_with_an_address_everything_comes_there() -> None:
    made = manifest.build(load_commands(), url=URL)
    assert made["settings"]["socket_mode_enabled"] is False
    settings, (command,) = made["settings"], made["features"]["slash_commands"]
    addresses = {
        command["url"],
        settings["event_subscriptions"]["request_url"],
        settings["interactivity"]["request_url"],
        settings["interactivity"]["message_menu_options_url"],
    }
    assert addresses == {URL}


def test_the_usage_hint_names_every_verb() -> None:
    (command,) = manifest.build(load_commands())["features"]["slash_commands"]
    assert set(command["usage_hint"].split(" | ")) == set(load_commands())
    assert command["should_escape"] is True, "typed people arrive as ids"


def test_texts_keep_slacks_lengths() -> None:
    made: dict[str, Any] = manifest.build(load_commands())
    about = made["display_information"]
    assert len(about["name"]) <= 35
    assert len(about["description"]) <= 140
    assert 174 <= len(about["long_description"]) <= 4000


def test_every_method_the_code_calls_is_known_with_its_scopes() -> None:
    assert methods_called() == set(SCOPES_OF_METHODS), "list the method with the scopes its page names"


def test_every_event_is_known_with_its_scopes() -> None:
    assert set(manifest.EVENTS) == set(SCOPES_OF_EVENTS)


def test_the_scopes_are_exactly_those_that_are_needed() -> None:
    needed = {"commands"}.union(*SCOPES_OF_METHODS.values(), *SCOPES_OF_EVENTS.values())
    assert set(manifest.SCOPES) == needed


def test_the_document_lists_the_same_scopes_for_the_same_reasons() -> None:
    document = (ROOT / "docs" / "slack.md").read_text(encoding="utf-8")
    document = document.partition("| scope | needed |")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `([^`]+)` \| (.+?) \|$", document, flags=re.MULTILINE))
    assert rows == dict(manifest.SCOPES)


def test_every_reason_says_what_for() -> None:
    assert all(reason.startswith(("to ", "as ")) for reason in manifest.SCOPES.values())


def test_the_text_is_yaml_that_says_where_it_comes_from() -> None:
    text = manifest.render(load_commands(), url=URL)
    assert text.startswith("# Generated by `python -m bot manifest`")
    assert yaml.safe_load(text) == manifest.build(load_commands(), url=URL)
