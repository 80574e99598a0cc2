"""Every backend of a company in trouble, as people meet it: requests end in the right state, and nothing exists twice.

The trouble is the same for all of them at once. What each backend does about each of its calls is shown beside the backend; which test
shows what is in docs/backends/failures.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from harmed_wire import Harm, broken, garbage, hangs, lost, nothing
from kube import Admin, Server
from stage import OpenStage, Stage, request_id
from troubled_platform import Troubled, troubled
from whole_platform import NOTHING_OPTIONAL, platform

from bot.domain import RequestState
from integrations.ports import Finding
from playground.messages import Message

pytestmark = pytest.mark.timeout(180)
ENDS = {RequestState.SUCCEEDED, RequestState.UNDONE, RequestState.REFUSED, RequestState.STOPPED}
PATIENCE_SECONDS = 90.0
"""Steps pause between their tries, and backends are left alone for a while."""


@pytest.fixture
async def trouble(server: Server, admin: Admin, tmp_path: Path) -> AsyncIterator[Troubled]:
    async with platform(server, admin, tmp_path) as around:
        yield troubled(around)


async def until_ended(house: Stage, card: Message) -> RequestState:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (state := (await house.request(card)).state) not in ENDS:
            await asyncio.sleep(0.05)
    return state


async def create(house: Stage, service: str) -> Message:
    card = await house.propose(service, db="postgresql")
    await house.person("alice").click(card, "confirm")
    return card


async def exists_once(trouble: Troubled, made_by: str) -> None:
    around = trouble.around
    service = around.service
    assert list(around.github.state.repos) == [service]
    assert around.backstage.targets() == [f"https://github.com/acme/{service}/blob/main/catalog-info.yaml"]
    found = [*await around.claims(), *await around.applications()]
    assert [one["metadata"]["name"] for one in found] == [f"{service}-staging-db", f"{service}-staging"]
    assert {one["metadata"]["annotations"]["platform-bot/request-id"] for one in found} == {made_by}


@pytest.mark.parametrize(
    ("harm", "executed"),
    [
        pytest.param(broken, False, id="answers 500"),
        pytest.param(hangs, False, id="hangs"),
        pytest.param(garbage, False, id="answers garbage"),
        pytest.param(nothing, False, id="says yes and did nothing"),
        pytest.param(lost, True, id="did it, and the answer was lost"),
    ],
)
async def test_whatever_happens_to_the_first_thing_each_backend_is_told_the_service_is_there_once(
    trouble: Troubled, open_stage: OpenStage, harm: Harm, executed: bool
) -> None:
    around = trouble.around
    changes = around.changes(**NOTHING_OPTIONAL)
    async with open_stage(changes=changes, opening=around.opening) as house:
        house.patience_seconds = PATIENCE_SECONDS
        trouble.hurt(harm, executed=executed)
        card = await create(house, around.service)
        assert await until_ended(house, card) is RequestState.SUCCEEDED
        assert {name for name, wire in trouble.wires.items() if wire.harm} == set(), (
            "each has met its trouble"
        )
        await exists_once(trouble, request_id(card))


async def test_backends_that_go_away_in_the_middle_are_waited_for(
    trouble: Troubled, open_stage: OpenStage
) -> None:
    around = trouble.around
    changes = around.changes(**NOTHING_OPTIONAL)
    async with open_stage(changes=changes, opening=around.opening) as house:
        house.patience_seconds = PATIENCE_SECONDS
        trouble.wires["github"].after_write = trouble.take_down
        card = await create(house, around.service)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while trouble.wires["github"].turned_away < 3:
                await asyncio.sleep(0.05)
        assert list(around.github.state.repos) == [around.service]
        trouble.wires["github"].after_write = lambda: None
        trouble.bring_back()
        assert await until_ended(house, card) is RequestState.SUCCEEDED
        await exists_once(trouble, request_id(card))

        trouble.take_down()
        said = await house.types("alice", f"/platform status {around.service}")
        assert "unknown" in said
        assert "Last known" in said
        assert "· healthy" not in said


async def test_backends_that_are_away_at_the_start_cost_no_start_and_are_named(
    trouble: Troubled, open_stage: OpenStage
) -> None:
    around = trouble.around
    trouble.take_down()
    changes = around.changes(**NOTHING_OPTIONAL)
    async with open_stage(changes=changes, opening=around.opening) as house:
        house.patience_seconds = PATIENCE_SECONDS
        opened = house.bot.backends
        for backend in (opened.code_host, opened.infrastructure, opened.delivery, opened.catalog):
            found = await backend.check()
            assert any(_says_why(one) for one in found), found
        line = f"/platform create-service {around.service} --team orders --template python-service"
        await house.types("alice", line)
        refused = await house.told("alice", "GitHub")
        assert "was not started" in refused
        assert around.github.state.repos == {}

        trouble.bring_back()
        card = await create(house, around.service)
        assert await until_ended(house, card) is RequestState.SUCCEEDED
        await exists_once(trouble, request_id(card))


def _says_why(finding: Finding) -> bool:
    return not finding.ok and bool(finding.detail)
