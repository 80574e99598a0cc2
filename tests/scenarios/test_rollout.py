"""A canary that waits: who may let it go on or take it back, what the card says, and that a word counts once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from memory_world import permanent, temporary
from stage import Stage, request_id

from bot.errors import BackendErrorKind
from integrations.ports import ClosedWindow
from playground.messages import Message


async def _waiting(house: Stage) -> Message:
    """A promotion to production whose canary stands at the first of two pauses."""
    await house.create("orders")
    await house.released("orders")
    house.world.push("orders", "Add a page")
    house.world.canaries["production"] = [20, 50]
    card = await house.promote("orders")
    await house.person("lena").click(card, "approve")
    await house.until_shown(card, "waiting for Continue")
    return card


async def test_the_card_says_where_the_canary_is_and_offers_both_ways(house: Stage) -> None:
    card = await _waiting(house)
    assert "step 1 of 2, 20 % of the traffic, waiting for Continue" in house.says(card)
    assert house.labels(card) == ["Continue", "Abort"]


async def test_continuing_takes_it_one_pause_further_and_the_last_one_to_its_end(house: Stage) -> None:
    card = await _waiting(house)
    await house.person("alice").click(card, "continue")
    await house.until_shown(card, "step 2 of 2, 50 % of the traffic")
    assert house.labels(card) == ["Continue", "Abort"]
    said = await house.types("alice", f"/platform rollout continue {request_id(card)}")
    assert said == ""
    await house.until_shown(card, ":white_check_mark: done")
    assert house.world.calls.count("delivery.resume") == 2
    assert (await house.events(card)).count("rollout.continued") == 2


async def test_aborting_undoes_the_promotion_and_the_card_says_who_did_it(house: Stage) -> None:
    card = await _waiting(house)
    before = house.world.apps["orders", "production"].history[1].revision
    await house.person("omar").click(card, "abort")
    await house.until_shown(card, ":leftwards_arrow_with_hook: undone")
    said = house.says(card)
    assert "Omar Osman aborted" in said
    assert "in production at step 1/2" in said
    assert house.world.apps["orders", "production"].revision == before
    aborted = [
        one
        for one in await house.bot.store.list_audit(request_id=request_id(card), limit=50)
        if one.event == "rollout.aborted"
    ]
    assert [(one.actor, one.data["at"]) for one in aborted] == [("UOMAR00001", "1/2")]


@pytest.mark.parametrize(
    ("who", "why"),
    [("noel", "You belong to no team"), ("priya", "rights in one team are none in another")],
)
async def test_who_may_not_promote_there_may_not_steer_either(house: Stage, who: str, why: str) -> None:
    card = await _waiting(house)
    await house.person(who).click(card, "abort")
    await house.told(who, why)
    assert "rollout.aborted" not in await house.events(card)
    assert house.labels(card) == ["Continue", "Abort"]


async def test_a_click_on_an_old_card_moves_nothing(house: Stage) -> None:
    card = await _waiting(house)
    await house.person("alice").click(card, "continue")
    await house.until_shown(card, "step 2 of 2")
    await house.person("omar").click(card, "continue", block_id="halt:1/2")
    said = await house.told("omar", "stands at step 2/2 by now")
    assert "not at step 1/2: nothing was done" in said
    assert house.world.calls.count("delivery.resume") == 1


async def test_the_second_of_two_people_is_told_who_was_faster(house: Stage) -> None:
    card = await _waiting(house)
    house.world.fail("delivery.resume", temporary(retry_after_seconds=30), times=9)
    await house.person("alice").click(card, "continue")
    await house.until_shown(card, "continue chosen by")
    assert house.labels(card) == ["Abort"]
    said = await house.types("omar", f"/platform rollout continue {request_id(card)}")
    assert "Alice Adams was faster: “continue” is chosen at step 1/2 already." in said
    assert (await house.events(card)).count("rollout.continued") == 1


async def test_a_word_given_before_a_restart_is_carried_out_after_it(house: Stage) -> None:
    card = await _waiting(house)
    house.world.fail("delivery.resume", temporary(retry_after_seconds=600), times=99)
    await house.person("alice").click(card, "continue")
    await house.until_shown(card, "continue chosen by")
    await house.stop()
    house.world.mend()
    await house.start()
    await house.until_shown(card, "step 2 of 2")
    assert (await house.events(card)).count("rollout.continued") == 1


async def test_a_continue_that_is_refused_takes_nothing_back(house: Stage) -> None:
    card = await _waiting(house)
    refusal = permanent("p, platform-bot is missing", BackendErrorKind.DENIED)
    house.world.fail("delivery.resume", refusal, times=1)
    await house.person("alice").click(card, "continue")
    await house.until_shown(card, "it could not be continued: p, platform-bot is missing")
    await house.until_shown(card, "step 2 of 2")


async def test_nothing_waits_once_it_is_through(house: Stage) -> None:
    await house.create("orders")
    card = await house.released("orders")
    said = await house.types("alice", f"/platform rollout abort {request_id(card)}")
    assert "waits for a person's word now. Look at the card" in said


async def test_an_approved_promotion_waits_for_a_window_that_closed_and_says_when_it_opens(
    house: Stage,
) -> None:
    await house.create("orders")
    card = await house.promote("orders")
    opens_at = house.clock() + timedelta(seconds=1)
    house.world.windows["production"] = ClosedWindow("closed by a sync window of orders", opens_at)
    await house.person("lena").click(card, "approve")
    await house.until_shown(card, "closed by a sync window of orders; begins at")
    assert "delivery.deploy" not in house.world.calls
    house.world.windows.clear()
    await house.until_shown(card, ":white_check_mark: done")


async def test_while_a_window_is_closed_nobody_is_asked_to_approve(house: Stage) -> None:
    await house.create("orders")
    opens_at = datetime(2030, 1, 7, 6, 0, tzinfo=UTC)
    house.world.windows["production"] = ClosedWindow("closed by a sync window of orders", opens_at)
    await house.person("alice").command("#orders", "/platform promote orders")
    said = await house.told(
        "alice", "Nothing is deployed to production now: closed by a sync window of orders."
    )
    assert "It opens at 2030-01-07 06:00 UTC; ask again then." in said
