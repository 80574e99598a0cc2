"""GitHub and Argo CD tell the bot, and the bot tells GitHub: what people notice of it, and what no trouble with it costs them."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from memory_backends import MemoryCodeHost, MemoryDelivery, open_world
from memory_world import World, temporary
from stage import PATIENCE_SECONDS, OpenStage, Stage

from bot.command import Backends
from bot.config import Config
from integrations._argocd_hook import ArgoHooks
from integrations._github_webhook import GitHubHooks
from integrations._hook_secrets import HookSecrets
from integrations.ports import DeploymentState, Health, Surroundings

SECRET, TOKEN = "github-says", "argo-says"


class GitHubLike(MemoryCodeHost):
    """A code host that tells, and shows what ran where: `told` is what its pages say."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.hooks = GitHubHooks(HookSecrets.of(["S"], {"S": SECRET}), organisation="acme")
        self.told: list[tuple[str, str]] = []

    async def report_deployment(
        self, name: str, *, revision: str, state: DeploymentState, **_: object
    ) -> None:
        await self.world.reached("code_host.report_deployment")
        self.told.append((revision, state.value))


class ArgoLike(MemoryDelivery):
    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.hooks = ArgoHooks(HookSecrets.of(["T"], {"T": TOKEN}))


@asynccontextmanager
async def telling(world: World, config: Config, surroundings: Surroundings) -> AsyncIterator[Backends]:
    async with open_world(world, config, surroundings) as opened:
        yield replace(opened, code_host=GitHubLike(world), delivery=ArgoLike(world))


@pytest.fixture
async def house(open_stage: OpenStage) -> AsyncIterator[Stage]:
    async with open_stage(delivery="http", opening=telling) as opened:
        yield opened


def told(house: Stage) -> list[tuple[str, str]]:
    code_host = house.bot.backends.code_host
    assert isinstance(code_host, GitHubLike)
    return code_host.told


async def argo_tells(house: Stage, revision: str) -> str:
    labels = {
        "app.kubernetes.io/managed-by": "platform-bot",
        "platform-bot/service": "orders",
        "platform-bot/environment": "staging",
    }
    body = {
        "app": "orders-staging", "namespace": "argocd", "project": "orders", "labels": labels,
        "sync": {"status": "Synced", "revision": revision}, "health": {"status": "Healthy"}, "operation": None,
    }  # fmt: skip
    return await _post(house, "argocd", json.dumps(body).encode(), {"Authorization": f"Bearer {TOKEN}"})


async def github_tells(house: Stage, revision: str) -> str:
    body = {
        "repository": {"name": "orders", "owner": {"login": "acme"}}, "sender": None,
        "ref": "refs/heads/main", "before": "0" * 40, "after": revision, "forced": False,
    }  # fmt: skip
    raw = json.dumps(body).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), raw, "sha256").hexdigest()
    headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "d-1", "X-Hub-Signature-256": signature}
    return await _post(house, "github", raw, headers)


async def _post(house: Stage, name: str, body: bytes, headers: dict[str, str]) -> str:
    url = house.request_url.removesuffix("/slack/events") + f"/hooks/{name}"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        assert answer.status == 202
        said: dict[str, Any] = await answer.json()
        return str(said["status"])


async def until_known(house: Stage, revision: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            known = await house.bot.store.last_deployment("orders", "staging")
            if known is not None and known.revision == revision:
                return
            await asyncio.sleep(0.02)


async def test_what_argo_cd_told_is_known_when_it_cannot_be_asked_any_more(house: Stage) -> None:
    await house.create("orders")
    second = house.world.push("orders", "Add a page")
    assert await argo_tells(house, second) == "accepted"
    await until_known(house, second)
    house.world.fail("delivery.get_application", temporary(), times=100)

    said = await house.types("omar", "/platform status orders")

    assert "*Staging* · unknown" in said
    assert f"Last known: `{second[:7]}`" in said


async def test_what_was_told_before_a_restart_is_not_followed_again(house: Stage) -> None:
    await house.create("orders")
    revision = house.world.head("orders")
    assert (await github_tells(house, revision), await argo_tells(house, revision)) == ("accepted",) * 2
    await house.stop()
    await house.start()
    assert (await github_tells(house, revision), await argo_tells(house, revision)) == ("seen before",) * 2


async def test_a_promotion_is_shown_at_the_code_host_and_so_is_its_way_back(house: Stage) -> None:
    await house.create("orders")
    await house.released("orders")
    first = house.world.head("orders")
    assert told(house)[-2:] == [(first, "in_progress"), (first, "success")]
    bad = house.world.push("orders", "Break it")
    house.world.fares("production", bad, Health.DEGRADED)
    card = await house.promote("orders")
    await house.person("lena").click(card, "approve")
    await house.until_shown(card, "undone")
    assert told(house)[2:] == [
        (bad, "in_progress"), (bad, "failure"), (first, "in_progress"), (first, "success"), (bad, "inactive"),
    ]  # fmt: skip


async def test_a_code_host_that_refuses_every_report_costs_nobody_a_promotion(house: Stage) -> None:
    await house.create("orders")
    house.world.fail("code_host.report_deployment", temporary(), times=100)
    await house.released("orders")
    assert "staging healthy, production healthy" in await house.types("omar", "/platform status orders")
    assert told(house) == []
