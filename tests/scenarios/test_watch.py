"""A promotion that is watched: what answers badly goes back by itself, and a bot that is stopped in between forgets nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from memory_world import temporary
from stage import OpenStage, Stage, request_id

from playground.messages import Message

WATCHED: dict[str, Any] = {
    "integrations.signals": {"use": "prometheus", "base_url": "http://127.0.0.1:1"},
    "environments.1.watch": {"for": "3s", "success_ratio": 0.99},
}


@pytest.fixture
async def watched(open_stage: OpenStage) -> AsyncIterator[Stage]:
    """Production is watched for three seconds; nothing runs there yet."""
    async with open_stage(changes=WATCHED) as house:
        await house.create("orders")
        yield house


async def _promoted(house: Stage) -> Message:
    card = await house.promote("orders")
    assert "Watched for 3 s: back by itself below 99 % good answers." in house.says(card)
    await house.person("lena").click(card, "approve")
    await house.until_shown(card, "watching, ")
    return card


async def test_what_answers_well_stays_and_the_card_says_how_well(watched: Stage) -> None:
    card = await _promoted(watched)
    await watched.until_shown(card, ":white_check_mark: done")
    assert "watched 3 s: 100 % good answers, p95 120 ms" in watched.says(card)


async def test_what_answers_badly_goes_back_by_itself(watched: Stage) -> None:
    await watched.released("orders")
    before = watched.world.apps["orders", "production"].revision
    watched.world.push("orders", "Add a page")
    watched.world.success_ratio = 0.9
    card = await _promoted(watched)
    await watched.until_shown(card, ":leftwards_arrow_with_hook: undone")
    assert "90 % good answers, less than 99 %, seen twice within 1 s." in watched.says(card)
    assert watched.world.apps["orders", "production"].revision == before


async def test_a_prometheus_that_is_away_takes_nothing_back(watched: Stage) -> None:
    watched.world.fail("signals.signals", temporary("no route"), times=99)
    card = await _promoted(watched)
    await watched.until_shown(card, ":white_check_mark: done")
    assert "not watched: the backend could not be asked" in watched.says(card)


async def test_a_bot_that_is_stopped_in_between_goes_on_watching(watched: Stage) -> None:
    card = await _promoted(watched)
    began = (await watched.bot.store.get_request(request_id(card))).steps[-1].started_at
    await watched.stop()
    watched.world.success_ratio = 0.5
    await watched.start(WATCHED)
    await watched.until_shown(card, ":leftwards_arrow_with_hook: undone")
    assert "50 % good answers" in watched.says(card)
    assert (await watched.bot.store.get_request(request_id(card))).steps[-1].started_at == began
