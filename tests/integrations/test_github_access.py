"""Who the bot is to GitHub, what its settings may be, and what the check says is missing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fake_github import TOKEN, FakeGitHub, Fault
from github_stage import (
    APP,
    SECRETS,
    SETTINGS,
    create,
    opened,
    refused,
    start,
)
from pydantic import ValidationError

from bot.errors import BackendErrorKind, PermanentBackendError, StartError, TemporaryBackendError
from integrations import github
from integrations._github_auth import app_claims, sign_rs256
from integrations._github_check import PERMISSIONS
from integrations.ports import Entity, Finding, Surroundings


@pytest.fixture
def fake() -> FakeGitHub:
    return FakeGitHub()


@pytest.fixture
async def host(fake: FakeGitHub) -> AsyncIterator[github.GitHub]:
    async with opened(fake) as made:
        yield made


# ---------------------------------------------------------------- who we are


async def test_an_app_works_with_short_tokens_renewed_in_time(fake: FakeGitHub) -> None:
    async with opened(fake, app_id="42") as host:
        await start(host)
        assert len(fake.state.tokens) == 1
        fake.clock.seconds += 3600 - 299
        await host.find_commit("orders", "main")
        assert len(fake.state.tokens) == 2


async def test_a_revoked_token_is_replaced_at_once(fake: FakeGitHub) -> None:
    async with opened(fake, app_id="42") as host:
        await create(host)
        fake.state.tokens = dict.fromkeys(fake.state.tokens, fake.clock.started)
        assert await host.find_repository("orders") is not None


async def test_many_callers_share_one_new_token(fake: FakeGitHub) -> None:
    async with opened(fake, app_id="42", installation_id=77) as host:
        await asyncio.gather(*(host.find_repository(f"orders-{number}") for number in range(10)))
    assert len(fake.state.tokens) == 1
    assert not any(one.path.endswith("/installation") for one in fake.seen)


async def test_an_app_signs_in_again_after_an_outage_that_outlived_its_token(fake: FakeGitHub) -> None:
    async with opened(fake, app_id="42") as host:
        await create(host)
        outage = Fault("unreachable", times=10**6)
        fake.faults.append(outage)
        fake.clock.seconds += 3600
        for _ in range(3):
            with pytest.raises(TemporaryBackendError):
                await host.find_repository("orders")
        outage.times = 0
        assert "open" in host.breaker_state()
        fake.clock.seconds += 31
        assert await host.find_repository("orders") is not None


async def test_an_app_that_is_not_installed_says_what_to_click(fake: FakeGitHub) -> None:
    fake.installation = {}
    async with opened(fake, app_id="42") as host:
        error = await refused(BackendErrorKind.NOT_FOUND, host.find_repository("orders"))
        assert "Install App" in error.sentence


async def test_no_secret_is_ever_logged_or_shown(fake: FakeGitHub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    words = {"message": f"Bad credentials {TOKEN} ghs_42_eyJhbGciOi.x.y"}
    async with opened(fake, app_id="42") as host:
        await create(host)
        shown = [repr(vars(host)), repr(github.Settings(**APP))]
        fake.faults.append(Fault("answer", times=9, answer=(403, {}, words)))
        error = await refused(BackendErrorKind.DENIED, create(host))
    everything = " ".join([caplog.text, error.sentence, *shown])
    for secret in (*fake.state.tokens, TOKEN, "sample key", "ghs_42", "jwt:42"):
        assert secret not in everything


@pytest.mark.parametrize(
    ("settings", "variable"), [(SETTINGS, "GITHUB_TOKEN"), (APP, "GITHUB_APP_PRIVATE_KEY")]
)
async def test_without_its_secret_it_does_not_open(
    tmp_path: Path, settings: dict[str, Any], variable: str
) -> None:
    class NoEntities:
        async def put_entity(self, entity: Entity) -> None: ...

        async def find_entity(self, name: str) -> Entity | None: ...

        async def search_entities(self, text: str, *, limit: int) -> list[Entity]:
            return []

        async def delete_entity(self, name: str) -> None: ...

    place = Surroundings(state_folder=tmp_path, base_folder=tmp_path, entities=NoEntities(), secrets={})
    with pytest.raises(StartError) as caught:
        async with github.open(github.Settings(**settings), place):
            pass
    assert variable in caught.value.sentence


def test_the_app_s_claims_live_nine_minutes_and_forgive_a_minute(fake: FakeGitHub) -> None:
    now = fake.clock.now()
    claims = app_claims("42", now)
    assert claims == {"iss": "42", "iat": now.timestamp() - 60, "exp": now.timestamp() + 540}


def test_a_real_key_signs_what_its_public_half_verifies() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    token = sign_rs256({"iss": "42"}, pem.decode())
    assert jwt.decode(token, key.public_key(), algorithms=["RS256"]) == {"iss": "42"}
    with pytest.raises(PermanentBackendError, match="cannot be read") as caught:
        sign_rs256({"iss": "42"}, "not a key")
    assert "not a key" not in str(caught.value.__cause__)


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"organisation": "a/b"},
        {"organisation": "acme", "base_url": "http://github.example"},
        {"organisation": "acme", "app_id": "Iv1.x"},
        {"organisation": "acme", "undo": "forget"},
        {"organisation": "acme", "tokens": "x"},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        github.Settings(**settings)


async def test_enterprise_server_has_its_own_addresses(fake: FakeGitHub) -> None:
    settings = github.Settings(organisation="acme", base_url="https://github.example/api/v3")
    assert settings.graphql_url == "https://github.example/api/graphql"
    assert github.Settings(organisation="acme").graphql_url == "https://api.github.com/graphql"
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(404, json={"message": "Not Found"})

    async with httpx.AsyncClient(base_url=settings.base_url, transport=httpx.MockTransport(answer)) as client:
        host = github.connect(settings, SECRETS, client)
        assert await host.find_repository("orders") is None
    assert asked == ["https://github.example/api/v3/repos/acme/orders"]


# ---------------------------------------------------------------- check


async def failing(host: github.GitHub) -> dict[str, Finding]:
    return {finding.subject: finding for finding in await host.check() if not finding.ok}


async def test_the_check_of_a_good_set_up_is_good_and_changes_nothing(fake: FakeGitHub) -> None:
    for settings in (SETTINGS, APP):
        async with opened(fake, **settings) as host:
            assert await failing(host) == {}
    assert [one.path for one in fake.writes] == ["/app/installations/77/access_tokens"]


@pytest.mark.parametrize("permission", PERMISSIONS)
async def test_the_check_names_each_missing_permission(fake: FakeGitHub, permission: str) -> None:
    fake.installation["permissions"].pop(permission)
    async with opened(fake, app_id="42") as host:
        wrong = await failing(host)
    assert [*wrong] == [f"permission {permission}"]
    assert PERMISSIONS[permission][0] in wrong[f"permission {permission}"].fix


async def test_the_check_knows_an_app_that_cannot_work(fake: FakeGitHub) -> None:
    fake.installation |= {"suspended_at": "2026-11-20T09:00:00Z", "repository_selection": "selected"}
    fake.installation["permissions"]["contents"] = "read"
    async with opened(fake, app_id="42", organisation="acme") as host:
        wrong = await failing(host)
    assert [*wrong] == ["App", "repositories of the App", "permission contents"]
    assert all(finding.fix for finding in wrong.values())


async def test_the_check_reads_the_scopes_of_a_token(fake: FakeGitHub) -> None:
    fake.scopes = "repo"
    async with opened(fake) as host:
        assert [*await failing(host)] == ["scope workflow", "scope read:org"]
    fake.scopes = None
    async with opened(fake) as host:
        assert await failing(host) == {}
        assert any("fine-grained" in finding.detail for finding in await host.check())


async def test_the_check_names_an_organisation_that_is_not_there(fake: FakeGitHub) -> None:
    async with opened(fake, organisation="nobody") as host:
        assert [*await failing(host)] == ["organisation"]
