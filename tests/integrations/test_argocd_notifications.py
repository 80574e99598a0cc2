"""The ConfigMap that makes Argo CD tell the bot: what it must hold, whoever edits it next."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

FILE = Path(__file__).resolve().parents[2] / "deploy" / "argocd" / "notifications-cm.yaml"


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    shipped = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert shipped["metadata"] == {"name": "argocd-notifications-cm", "namespace": "argocd"}
    return {key: yaml.safe_load(text) for key, text in shipped["data"].items()}


def test_no_trigger_fires_once_per_revision(data: dict[str, Any]) -> None:
    """A rollback brings a revision that was notified before: it would be silent."""
    triggers = {key: value for key, value in data.items() if key.startswith("trigger.")}
    assert {one["oncePer"] for rules in triggers.values() for one in rules} == {
        "app.status.operationState.startedAt",
        "app.status.health.lastTransitionTime",
    }


def test_the_token_comes_from_the_secret(data: dict[str, Any]) -> None:
    headers = {each["name"]: each["value"] for each in data["service.webhook.platform-bot"]["headers"]}
    assert headers["Authorization"] == "Bearer $platform-bot-token"


def test_the_body_is_json_whatever_an_application_says(data: dict[str, Any]) -> None:
    call = data["template.platform-bot-event"]["webhook"]["platform-bot"]
    # Without a method Argo CD sends a GET.
    assert (call["method"], call["path"]) == ("POST", "/hooks/argocd")
    values = re.findall(r"\{\{(.*?)\}\}", call["body"])
    assert all(each.startswith("toJson ") for each in values)
    body = json.loads(re.sub(r"\{\{.*?\}\}", '"x"', call["body"]))
    assert set(body) == {"app", "namespace", "project", "labels", "sync", "health", "operation"}


def test_everything_named_exists(data: dict[str, Any]) -> None:
    (subscription,) = data["subscriptions"]
    assert subscription["recipients"] == ["platform-bot"]
    assert all(f"trigger.{each}" in data for each in subscription["triggers"])
    sent = {
        name
        for key, rules in data.items()
        if key.startswith("trigger.")
        for one in rules
        for name in one["send"]
    }
    assert all(f"template.{each}" in data for each in sent)
