"""What Gitea and Forgejo tell: only what is signed is heard, and what is heard is a hint."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest
from fake_gitea import BASE_URL, TOKEN, FakeGitea

from bot.errors import BackendErrorKind, PermanentBackendError
from integrations import gitea
from integrations._gitea_webhook import GiteaHooks
from integrations._hook_secrets import HookSecrets
from integrations.ports import Hint, Hooked

SECRET = "sample secret"
PUSH: dict[str, Any] = {
    "ref": "refs/heads/release",
    "before": "1" * 40,
    "after": "2" * 40,
    "repository": {"id": 7, "name": "orders", "owner": {"login": "Acme"}, "full_name": "acme/orders"},
    "sender": {"login": "alice"},
}


@pytest.fixture
def hooks() -> GiteaHooks:
    secrets = HookSecrets.of(("NEW", "OLD"), {"NEW": SECRET, "OLD": "older"})
    return GiteaHooks(secrets, organisation="acme")


def signed(
    body: bytes, *, secret: str = SECRET, sender: str = "Gitea", event: str = "push"
) -> dict[str, str]:
    return {
        f"X-{sender}-Signature": hmac.new(secret.encode(), body, "sha256").hexdigest(),
        f"X-{sender}-Event": event,
        f"X-{sender}-Delivery": "0d7a1b2c-1",
    }


def body_of(**changes: Any) -> bytes:
    return json.dumps({**PUSH, **changes}).encode()


@pytest.mark.parametrize("sender", ["Gitea", "Forgejo"])
@pytest.mark.parametrize("secret", [SECRET, "older"])
def test_a_push_hints_at_the_branch_that_moved(hooks: GiteaHooks, sender: str, secret: str) -> None:
    body = body_of()
    found = hooks.receive(signed(body, secret=secret, sender=sender), body)
    assert found == (Hint("0d7a1b2c-1", "orders", branch="release"),)


def test_forgejo_s_own_signature_is_the_one_that_counts(hooks: GiteaHooks) -> None:
    body = body_of()
    headers = signed(body) | {"X-Forgejo-Signature": "0" * 64}
    with pytest.raises(PermanentBackendError):
        hooks.receive(headers, body)


@pytest.mark.parametrize(
    "headers",
    [
        {}, signed(body_of(), secret="wrong"), signed(body_of(), secret=""), signed(b"other"),
        {**signed(body_of()), "X-Gitea-Signature": "sha256=" + signed(body_of())["X-Gitea-Signature"]},
    ],
)  # fmt: skip
def test_what_is_not_signed_is_not_heard(hooks: GiteaHooks, headers: dict[str, str]) -> None:
    with pytest.raises(PermanentBackendError) as caught:
        hooks.receive(headers, body_of())
    assert caught.value.kind is BackendErrorKind.DENIED


@pytest.mark.parametrize(
    ("event", "body"),
    [
        ("issues", b"{}"),
        ("push", body_of(ref="refs/tags/v1")),
        ("push", body_of(repository={"name": "orders", "owner": {"login": "elsewhere"}})),
    ],
)
def test_what_moves_nothing_of_ours_hints_at_nothing(hooks: GiteaHooks, event: str, body: bytes) -> None:
    assert hooks.receive(signed(body, event=event), body) == ()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", body_of(ref=None), body_of(repository={})])
def test_what_cannot_be_read_is_refused(hooks: GiteaHooks, body: bytes) -> None:
    with pytest.raises(PermanentBackendError) as caught:
        hooks.receive(signed(body), body)
    assert caught.value.kind is BackendErrorKind.INVALID


def test_a_delivery_needs_its_name(hooks: GiteaHooks) -> None:
    body = body_of()
    with pytest.raises(PermanentBackendError):
        hooks.receive(signed(body) | {"X-Gitea-Delivery": "two words"}, body)


@pytest.mark.parametrize(
    ("secrets", "is_open"),
    [({"GITEA_TOKEN": TOKEN}, False), ({"GITEA_TOKEN": TOKEN, "GITEA_WEBHOOK_SECRET": SECRET}, True)],
)
def test_without_a_secret_nothing_is_listened_to(
    secrets: dict[str, str], is_open: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = gitea.Settings(base_url=BASE_URL, organisation="acme")
    host = gitea.connect(settings, secrets, FakeGitea(tmp_path_factory.getbasetemp()).client())
    assert isinstance(host, Hooked)
    assert host.hooks.is_open is is_open
    assert ("/hooks/gitea" in host.hooks.finding().detail) is is_open
