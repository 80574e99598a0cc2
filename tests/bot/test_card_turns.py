"""A card whose turn is far off is given back, keeps its turn, and is drawn shortly before it."""

from __future__ import annotations

import pytest
from card_office import ORDERS, CardOffice
from requests_made import awaiting

from bot.domain import CardKind
from playground.actor import shown_text


async def test_a_card_keeps_the_turn_it_was_given_back_for(office: CardOffice) -> None:
    request = await awaiting(office.store, channels=(ORDERS,))
    office.crowd(20)
    assert await office.pump.flush() == 0
    office.crowd(20, name="later")
    office.passes(16.5)
    assert await office.pump.flush() == 0
    await office.approve(request)
    office.passes(0.5)
    assert await office.pump.flush() == 1
    assert office.waits == [pytest.approx(1.0)], "drawn a second before its turn"
    (message,) = office.messages()
    assert "approved" in shown_text(message), "as the request stands then"


async def test_a_limit_of_slack_moves_the_turns_of_those_who_wait(office: CardOffice) -> None:
    await awaiting(office.store, channels=(ORDERS,))
    office.crowd(10)
    assert await office.pump.flush() == 0
    office.pace.hold("chat.postMessage", ORDERS, seconds=60)
    office.passes(10)
    assert await office.pump.flush() == 0
    office.passes(49)
    assert await office.pump.flush() == 1
    assert office.waits == [pytest.approx(1.0)]


async def test_a_card_that_waited_for_its_turn_has_not_failed(office: CardOffice) -> None:
    await awaiting(office.store, channels=(ORDERS,))
    for name in ("first", "second", "third", "fourth"):
        # Each time Slack moves its turn away, and others book theirs before it.
        office.pace.hold("chat.postMessage", ORDERS, seconds=10)
        office.crowd(10, name=name)
        assert await office.pump.flush() == 0
        office.passes(19)
    office.slack.fail_call("chat.postMessage", "http_error", status=503)
    assert await office.pump.flush() == 0
    office.passes(1)
    assert await office.pump.flush() == 1, "tried again after a second, as after any first failure"


async def test_a_card_that_has_nothing_to_say_takes_no_turn_from_those_who_have(office: CardOffice) -> None:
    for number in range(10):
        await awaiting(office.store, f"r{number}", channels=())
        await office.store.add_card(f"r{number}", CardKind.DEPLOY, ORDERS)
    assert await office.pump.flush() == 0
    assert office.pace.book("chat.postMessage", ORDERS, "somebody's news") == 0


async def test_a_card_that_was_posted_already_keeps_no_turn_to_post(office: CardOffice) -> None:
    request = await awaiting(office.store, channels=(ORDERS,))
    office.slack.fail_call("chat.postMessage", "lost_answer")
    assert await office.pump.flush() == 0
    await office.approve(request)
    office.passes(30)
    assert await office.pump.flush() == 1
    office.crowd(5)
    card = await office.card()
    assert office.pace.book("chat.postMessage", ORDERS, card.id) > 0, "behind the others"
