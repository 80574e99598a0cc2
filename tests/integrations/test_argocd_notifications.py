"""The ConfigMap that makes Argo CD tell the bot: what it must hold, whoever edits it next."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from integrations._argocd_hook import hints, parse_notification
from integrations._argocd_shapes import ENVIRONMENT_LABEL, MANAGED_BY_LABEL, REQUEST_INFO, SERVICE_LABEL

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


def test_the_hook_reads_what_is_sent_and_knows_it_by_its_state(data: dict[str, Any]) -> None:
    """The template filled in as Argo CD does, with an application as the bot creates it."""
    app = {
        "metadata": {
            "name": "orders-staging",
            "namespace": "argocd",
            "labels": {
                MANAGED_BY_LABEL: "platform-bot", SERVICE_LABEL: "orders", ENVIRONMENT_LABEL: "staging",
            },
        },
        "spec": {"project": "orders"},
        "status": {
            "sync": {"status": "Synced", "revision": "a" * 40, "comparedTo": {}},
            "health": {"status": "Healthy", "lastTransitionTime": "2026-11-20T09:00:00Z"},
            "operationState": {
                "phase": "Succeeded",
                "startedAt": "2026-11-20T08:59:00Z",
                "operation": {"info": [{"name": REQUEST_INFO, "value": "r-1"}], "sync": {}},
            },
        },
    }  # fmt: skip
    (hint,) = hints(parse_notification(filled(data, app)))
    assert (hint.service, hint.environment, hint.request_id) == ("orders", "staging", "r-1")
    assert (hint,) == hints(parse_notification(filled(data, app)))
    app["status"]["health"] = {"status": "Degraded"}
    assert hints(parse_notification(filled(data, app)))[0].delivery != hint.delivery
    app["status"] = {}
    assert hints(parse_notification(filled(data, app)))[0].request_id == ""


def filled(data: dict[str, Any], app: dict[str, Any]) -> bytes:
    """`{{toJson .app.a.b}}` -> the JSON of what stands there, null where nothing does."""

    def value(match: re.Match[str]) -> str:
        found: Any = app
        for part in match[1].split("."):
            found = (found or {}).get(part)
        return json.dumps(found)

    body: str = data["template.platform-bot-event"]["webhook"]["platform-bot"]["body"]
    return re.sub(r"\{\{toJson \.app\.([\w.]+)\}\}", value, body).encode()


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
