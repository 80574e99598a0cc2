"""What comes in from GitHub is believed only with a signature, and read into small values."""

from __future__ import annotations

import hmac
import json
import os
from pathlib import Path
from typing import Any

import pytest
from fake_github import TOKEN, FakeGitHub
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import BackendErrorKind, PermanentBackendError
from integrations import github
from integrations._github_webhook import (
    DeploymentReported,
    GitHubHooks,
    Pushed,
    Source,
    WorkflowRan,
    hints,
    is_genuine,
    parse_event,
)
from integrations._hook_secrets import HookSecrets
from integrations.ports import Finding, Hint, Hooked

SHA = "a" * 40
ABSENT = "0" * 40
WHERE = {"repository": {"name": "orders", "owner": {"login": "acme"}}, "sender": {"login": "alice"}}
SOURCE = Source("d-1", "acme", "orders", "alice")


def signed(body: bytes, secret: str) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()


def read(event: str, body: dict[str, Any]) -> object:
    return parse_event(event, "d-1", json.dumps({**WHERE, **body}).encode())


def test_github_s_own_example_is_genuine() -> None:
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert is_genuine(b"Hello, World!", signature, ["It's a Secret to Everybody"])


def test_while_a_secret_is_replaced_both_are_good() -> None:
    for secret in ("old", "new"):
        assert is_genuine(b"x", signed(b"x", secret), ["new", "old"])
    assert not is_genuine(b"x", signed(b"x", "old"), ["new"])


@pytest.mark.parametrize(
    "signature", ["", "sha256=", "sha1=" + "a" * 40, "sha256=" + "A" * 64, "sha256=" + "é" * 64]
)
def test_what_is_no_signature_is_refused(signature: str) -> None:
    assert not is_genuine(b"x", signature, ["secret"])


def test_an_empty_secret_opens_nothing() -> None:
    assert not is_genuine(b"x", signed(b"x", ""), [""])
    assert not is_genuine(b"x", signed(b"x", "secret"), [])


@given(body=st.binary(), change=st.binary(min_size=1))
def test_one_byte_more_is_another_body(body: bytes, change: bytes) -> None:
    signature = signed(body, "secret")
    assert is_genuine(body, signature, ["secret"])
    assert not is_genuine(body + change, signature, ["secret"])


def test_a_push_says_what_moved_where() -> None:
    body = {"ref": "refs/heads/main", "before": ABSENT, "after": SHA, "forced": False}
    assert read("push", body) == Pushed(SOURCE, "refs/heads/main", None, SHA, forced=False)
    gone = read("push", {**body, "before": SHA, "after": ABSENT, "sender": None})
    assert gone == Pushed(Source("d-1", "acme", "orders", ""), "refs/heads/main", SHA, None, forced=False)


def test_a_deployment_status_names_the_request_where_it_is_ours() -> None:
    deployment = {"id": 7, "sha": SHA, "environment": "production", "payload": {"request_id": "req-1"}}
    body = {"action": "created", "deployment": deployment, "deployment_status": {"state": "success"}}
    expected = DeploymentReported(SOURCE, 7, SHA, "production", "success", "req-1")
    assert read("deployment_status", body) == expected
    deployment["payload"] = '{"request_id": "req-1"}'
    assert read("deployment_status", body) == expected
    for foreign in ("", "{", [], {"request_id": 3}):
        deployment["payload"] = foreign
        found = read("deployment_status", body)
        assert isinstance(found, DeploymentReported)
        assert found.request_id is None


def test_a_workflow_run_may_not_have_ended() -> None:
    run = {
        "id": 9, "name": None, "head_branch": None, "head_sha": SHA, "status": "in_progress", "conclusion": None,
        "run_attempt": 2, "html_url": "https://github.com/acme/orders/actions/runs/9",
    }  # fmt: skip
    found = read("workflow_run", {"action": "in_progress", "workflow_run": run})
    assert isinstance(found, WorkflowRan)
    assert (found.status, found.conclusion, found.attempt) == ("in_progress", "", 2)


def test_events_nobody_asked_for_are_no_events() -> None:
    assert parse_event("star", "d-1", b"anything") is None


@given(event=st.sampled_from(["push", "deployment_status", "workflow_run"]), body=st.binary())
def test_garbage_is_refused_in_our_words(event: str, body: bytes) -> None:
    with pytest.raises(PermanentBackendError) as caught:
        parse_event(event, "d-1", body)
    assert caught.value.kind is BackendErrorKind.INVALID


def test_a_delivery_without_an_id_cannot_be_told_from_its_replay() -> None:
    with pytest.raises(PermanentBackendError, match="delivery id"):
        parse_event("push", "", b"{}")


# ---------------------------------------------------------------- hints


def hinted(event: str, body: dict[str, Any]) -> Hint | None:
    found = read(event, body)
    assert isinstance(found, Pushed | DeploymentReported | WorkflowRan)
    return next(iter(hints(found)), None)


def test_a_push_hints_at_the_branch_and_a_tag_at_nothing() -> None:
    body = {"before": ABSENT, "after": SHA, "forced": False}
    assert hinted("push", {**body, "ref": "refs/heads/release/eu"}) == Hint(
        "d-1", "orders", branch="release/eu"
    )
    assert hinted("push", {**body, "ref": "refs/tags/v1"}) is None


def test_a_secret_is_looked_up_by_name_and_check_says_when_there_is_none() -> None:
    two = HookSecrets.of(["NEW", "OLD", "EMPTY"], {"NEW": " n ", "OLD": "o", "EMPTY": " ", "OTHER": "x"})
    assert two.values == ("n", "o")
    assert "values" not in repr(two)
    assert two.finding("github").detail == "listens at /hooks/github"
    none = GitHubHooks(HookSecrets.of(["NEW", "OLD"], {}), organisation="acme")
    assert not none.is_open
    assert none.finding() == Finding(
        "webhooks", ok=True, detail="off, so it is asked instead: set NEW or OLD"
    )


# ---------------------------------------------------------------- held against GitHub's own examples

PLACE = os.environ.get("GITHUB_WEBHOOK_EXAMPLES", "")


@pytest.mark.skipif(not PLACE, reason="GITHUB_WEBHOOK_EXAMPLES names no examples of GitHub's webhooks")
@pytest.mark.parametrize("event", ["push", "deployment_status", "workflow_run"])
def test_every_published_example_is_read(event: str) -> None:
    """`npm install @octokit/webhooks-examples`, then its api.github.com/index.json."""
    published = json.loads(Path(PLACE).read_text(encoding="utf-8"))
    examples = next(one["examples"] for one in published if one["name"] == event)
    for example in examples:
        found = parse_event(event, "d-1", json.dumps(example).encode())
        assert found is not None
        assert found.source.repository == example["repository"]["name"]
        assert all(hint.service == found.source.repository for hint in hints(found))
    assert len(examples) > 3


@pytest.mark.parametrize(
    ("secrets", "said"),
    [
        ({}, "off, so it is asked instead: set GITHUB_WEBHOOK_SECRET"),
        ({"GITHUB_WEBHOOK_SECRET": "s"}, "listens at /hooks/github"),
    ],
)
async def test_check_says_whether_webhooks_are_listened_to(secrets: dict[str, str], said: str) -> None:
    fake = FakeGitHub()
    settings = github.Settings(organisation="acme")
    async with fake.client(settings.base_url) as client:
        host = github.connect(settings, {"GITHUB_TOKEN": TOKEN, **secrets}, client)
        assert isinstance(host, Hooked)
        assert [one.detail for one in await host.check() if one.subject == "webhooks"] == [said]
