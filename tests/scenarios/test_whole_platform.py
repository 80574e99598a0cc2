"""The whole story with every backend real, or faked at its transport: what people see, and what exists out there afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from kube import Admin, Server
from stage import OpenStage, Stage, request_id
from whole_platform import NOTHING_OPTIONAL, PATIENCE_SECONDS, Platform, platform

from bot import orphans
from integrations._forge_mark import marked_request
from integrations._kubernetes import Object
from integrations.ports import Health

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def around(server: Server, admin: Admin, tmp_path: Path) -> AsyncIterator[Platform]:
    async with platform(server, admin, tmp_path) as made:
        yield made


async def until_runs(house: Stage, service: str, environment: str, revision: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = await house.bot.backends.delivery.get_application(service, environment)
            if found and (found.revision, found.health) == (revision, Health.HEALTHY):
                return
            await asyncio.sleep(0.05)


async def status_with(house: Stage, service: str, words: str) -> str:
    """What status says, asked again while a backend is too slow for its part of the page."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while words not in (said := await house.types("alice", f"/platform status {service}")):
            await asyncio.sleep(0.2)
    return said


def mark_of(item: Object) -> tuple[str, str]:
    """Who manages it, and which request made it."""
    metadata: Mapping[str, Any] = item["metadata"]
    return (
        metadata["labels"]["app.kubernetes.io/managed-by"],
        metadata["annotations"]["platform-bot/request-id"],
    )


async def strays(house: Stage, service: str) -> list[orphans.Line]:
    """What `orphans` says of this service: other tests have left theirs on the same API server."""
    opened = {port: one for port, one in vars(house.bot.backends).items() if one is not None}
    found = await orphans.survey(house.bot.store, opened, house.bot.config.platform)
    lines = (*found.strays, *found.lost, *found.unasked)
    return [one for one in lines if service in f"{one.name} {one.place}" or one in found.unasked]


async def test_the_whole_story_with_every_backend_of_a_company(
    around: Platform, open_stage: OpenStage
) -> None:
    service = around.service
    async with open_stage(changes=around.changes(), opening=around.opening) as house:
        house.patience_seconds = PATIENCE_SECONDS
        created = await _is_created(house, around)
        await _gets_a_secret(house, around)
        first = around.carried("main")
        promoted = await _reaches_production(house, around)
        second = await _follows_a_push(house, around)
        card = await house.released(service)
        await until_runs(house, service, "production", around.carried("release"))
        assert around.carried("release") == second
        await _is_announced_and_audited(house, around)
        await _is_rolled_back(house, around, first)

        assert await strays(house, service) == []
        await _everything_says_who_made_it(around, created=created, promoted=promoted)
        assert request_id(card) not in {created, promoted}


LOCAL: dict[str, Any] = {
    "infrastructure": {"use": "local_postgres"},
    "delivery": {"use": "local_processes", "clone_token": "CLONE_TOKEN"},
    "catalog": {"use": "local_catalog"},
}


@pytest.mark.parametrize(
    ("instead", "db"),
    [
        pytest.param(NOTHING_OPTIONAL | LOCAL, "postgresql", id="GitHub and the rest on this machine"),
        pytest.param(
            NOTHING_OPTIONAL | {"catalog": LOCAL["catalog"]}, "postgresql", id="everything but Backstage"
        ),
        pytest.param(
            NOTHING_OPTIONAL | {"infrastructure": LOCAL["infrastructure"]},
            "none",
            id="everything but Crossplane",
        ),
    ],
)
async def test_a_part_of_a_company_s_platform_is_a_platform(
    around: Platform, open_stage: OpenStage, instead: dict[str, Any], db: str
) -> None:
    service = around.service
    async with open_stage(changes=around.changes(**instead), opening=around.opening) as house:
        house.patience_seconds = PATIENCE_SECONDS
        card = await house.create(service, db=db)
        assert "is healthy in staging" in house.says(card)
        await house.released(service)
        await until_runs(house, service, "production", around.carried("release"))
        assert around.carried("release") == around.carried("main")
        assert await strays(house, service) == []


async def _is_created(house: Stage, around: Platform) -> str:
    card = await house.create(around.service, db="postgresql")
    said = house.says(card)
    assert "postgresql is ready" in said
    assert "is healthy in staging" in said
    assert f"https://github.com/acme/{around.service}|Repository" in said
    assert f"https://backstage.example.com/catalog/default/component/{around.service}|Catalog" in said

    status = await status_with(house, around.service, "99.8 % good answers")
    assert "staging healthy, production empty" in status
    assert "nothing runs here yet" in status
    return request_id(card)


async def _gets_a_secret(house: Stage, around: Platform) -> None:
    line = f"/platform secrets {around.service} --add STRIPE_API_KEY --to staging"
    card = await house.asks("alice", line, "STRIPE_API_KEY")
    await house.person("alice").click(card, "Add")
    await house.until_shown(card, "done")
    assert "waiting for a value" in house.says(card)


async def _reaches_production(house: Stage, around: Platform) -> str:
    card = await house.promote(around.service)
    said = house.says(card)
    assert "waiting for approval" in said
    assert "for the first time" in said
    await house.person("lena").click(card, "approve")
    await house.until_shown(card, "done")
    deployed = await house.card("lena", "#deploys", f"{around.service} → production")
    await house.until_shown(deployed, "deployed")
    assert around.carried("release") == around.carried("main")
    return request_id(card)


async def _follows_a_push(house: Stage, around: Platform) -> str:
    revision = around.push("Answer faster")
    await until_runs(house, around.service, "staging", revision)
    return revision


async def _is_announced_and_audited(house: Stage, around: Platform) -> None:
    trail = await house.types("alice", f"/platform audit --service {around.service}")
    assert "request.approved" in trail
    shown = [(one["environment"], one["sha"]) for one in around.github.repo(around.service).deployments]
    assert len(shown) == len(set(shown))
    assert [sha for environment, sha in shown if environment == "production"][-1] == around.carried("main")
    tags = [tuple(mark["tags"]) for mark in around.observed.marks]
    assert len(tags) == len(set(tags)) > 0


async def _is_rolled_back(house: Stage, around: Platform, first: str) -> None:
    line = f"/platform rollback {around.service}"
    card = await house.asks("omar", line, f"Roll back {around.service} in production")
    assert "by the policy `emergency-rollback`" in house.says(card)
    await house.person("omar").click(card, "Roll back")
    await house.until_shown(card, "done")
    repo = around.github.repo(around.service)
    there, good = around.carried("release"), repo.objects.commits[first]
    assert repo.objects.commits[there]["tree"] == good["tree"], "a commit forward, with the good tree"
    await until_runs(house, around.service, "production", there)


async def _everything_says_who_made_it(around: Platform, *, created: str, promoted: str) -> None:
    service = around.service
    repo = around.github.repo(service)
    assert marked_request(repo.description) == created
    assert "platform-managed" in repo.topics
    claims = {one["metadata"]["name"]: mark_of(one) for one in await around.claims()}
    assert claims == {
        f"{service}-staging-db": ("platform-bot", created),
        f"{service}-production-db": ("platform-bot", promoted),
    }
    applications = {one["metadata"]["name"]: mark_of(one) for one in await around.applications()}
    assert applications == {
        f"{service}-staging": ("platform-bot", created),
        f"{service}-production": ("platform-bot", promoted),
    }
    (component,) = [one for one in around.backstage.visible() if one["metadata"]["name"] == service]
    assert component["metadata"]["annotations"]["platform-bot/request-id"] == created
    assert around.backstage.targets() == [f"https://github.com/acme/{service}/blob/main/catalog-info.yaml"]
    assert list(around.github.state.repos) == [service]
