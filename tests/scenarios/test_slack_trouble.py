"""When Slack is in trouble: things that come twice, answers that are lost, limits, and connections that go away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from sqlalchemy import text
from stage import Stage, request_id
from structlog.testing import capture_logs

from bot.domain import RequestState
from playground.actor import shown_text
from playground.messages import Message

CREATE = "/platform create-service orders --team orders --template python-service"


def cards(house: Stage, title: str, channel: str = "#orders") -> list[Message]:
    return [one for one in house.playground.app_messages(channel) if title in shown_text(one)]


async def settled(house: Stage) -> None:
    """Every card has been sent, or waits for a later try; a round trip shows that nothing else is under way."""
    await house.types("sam", "/platform whoami", channel="#platform")
    await house.bot.cards.flush()


# ---------------------------------------------------------------- delivered twice


@pytest.mark.parametrize("times", ["duplicate", "lost_ack"])
async def test_a_command_that_comes_twice_is_one_request(house: Stage, times: str) -> None:
    house.playground.disturb_delivery("slash_commands", times)
    await house.person("alice").command("#orders", CREATE)
    await house.card("alice", "#orders", "Create service orders")
    await settled(house)
    assert len(cards(house, "Create service orders")) == 1
    opened = [one for one in await house.bot.store.list_audit(limit=50) if one.event == "request.opened"]
    assert len(opened) == 1


async def test_a_click_that_comes_twice_is_one_decision(house: Stage) -> None:
    await house.create("orders")
    card = await house.promote("orders")
    house.playground.disturb_delivery("block_actions", "duplicate")
    await house.person("lena").click(card, "Approve")
    await house.until_shown(card, "done")
    events = await house.events(card)
    assert events.count("request.approved") == 1
    assert events.count("run.started") == 1


async def test_a_form_that_comes_twice_is_one_request(house: Stage) -> None:
    alice = house.person("alice")
    await alice.command("#orders", "/platform create-service")
    await alice.wait_for_view()
    house.playground.disturb_delivery("view_submission", "duplicate")
    await alice.submit({"name": "orders", "team": "orders", "template": "python-service"})
    await house.card("alice", "#orders", "Create service orders")
    await settled(house)
    opened = [one for one in await house.bot.store.list_audit(limit=50) if one.event == "request.opened"]
    assert len(opened) == 1


# ---------------------------------------------------------------- posting and editing


async def test_a_lost_answer_makes_no_second_card(house: Stage) -> None:
    house.playground.fail_call("chat.postMessage", "lost_answer")
    await house.person("alice").command("#orders", CREATE)
    card = await house.card("alice", "#orders", "Create service orders")
    await house.person("alice").click(card, "confirm")
    house.clock.advance(minutes=1)
    await house.bot.cards.flush()
    await house.until_shown(card, "done")
    assert len(cards(house, "Create service orders")) == 1


async def test_a_limit_is_kept_to_and_the_card_still_comes(house: Stage) -> None:
    house.playground.fail_call("chat.postMessage", "ratelimited", retry_after_seconds=2)
    begun = time.monotonic()
    await house.person("alice").command("#orders", CREATE)
    await house.card("alice", "#orders", "Create service orders")
    posts = house.playground.calls("chat.postMessage")
    assert [post.status for post in posts] == [429, 200]
    assert time.monotonic() - begun >= 1.9


@pytest.mark.parametrize("kind", ["http_error", "html_502", "reset", "error"])
async def test_a_failing_slack_gets_the_card_when_it_works_again(house: Stage, kind: str) -> None:
    house.playground.fail_call("chat.postMessage", kind, status=503)
    await house.person("alice").command("#orders", CREATE)
    await house.playground.until(lambda: house.playground.calls("chat.postMessage"), what="the first try")
    await _time_passes(house, lambda: bool(cards(house, "Create service orders")))
    card = cards(house, "Create service orders")[0]
    house.playground.fail_call("chat.update", kind, status=503)
    await house.person("alice").click(card, "confirm")
    await house.playground.until(lambda: house.playground.calls("chat.update"), what="the first edit")
    await _time_passes(house, lambda: ":white_check_mark: done" in house.says(card))
    assert len(cards(house, "Create service orders")) == 1


async def _time_passes(house: Stage, look: Callable[[], bool]) -> None:
    """Until it is so: the bot's clock runs ahead and the pump looks again, as it would by itself every few seconds."""
    async with asyncio.timeout(20):
        while not look():
            house.clock.advance(seconds=3)
            await house.bot.cards.flush()
            await asyncio.sleep(0.02)


async def test_a_deleted_card_is_given_up_and_the_work_goes_on(house: Stage) -> None:
    card = await house.propose("orders")
    house.playground.fail_call("chat.update", "error", times=99, code="message_not_found")
    await house.person("alice").click(card, "confirm")
    number = request_id(card)
    await house.until_state(card, RequestState.SUCCEEDED)
    await house.bot.cards.flush()
    edits = len(house.playground.calls("chat.update"))
    house.clock.advance(hours=1)
    await house.bot.cards.flush()
    assert len(house.playground.calls("chat.update")) == edits
    assert all(one.gone for one in await house.bot.store.list_cards(number) if one.ts == card.ts)
    assert "done" in await house.types("alice", f"/platform status {number}")


async def test_cards_are_sent_again_after_a_failure_that_nobody_foresaw(house: Stage) -> None:
    unforeseen = "BEFORE UPDATE OF not_before ON cards BEGIN SELECT RAISE(ABORT, 'unforeseen'); END"
    await _execute(house, f"CREATE TRIGGER unforeseen {unforeseen}")
    with capture_logs() as logs:
        await house.person("alice").command("#orders", CREATE)
        broken_off = ("tasks.broke_off", "cards")
        await house.playground.until(
            lambda: broken_off in [(one["event"], one.get("task")) for one in logs], what="the failure"
        )
    await _execute(house, "DROP TRIGGER unforeseen")
    await house.card("alice", "#orders", "Create service orders")


async def _execute(house: Stage, statement: str) -> None:
    async with house.bot.store.engine.begin() as connection:
        await connection.execute(text(statement))


# ---------------------------------------------------------------- answering


async def test_an_answer_whose_address_expired_comes_another_way(house: Stage) -> None:
    await house.create("orders")
    house.world.slow("delivery.get_application", 1.3)
    house.playground.fail_call("response_url", "http_error", status=404)
    assert "Asking the backends…" in await house.types("alice", "/platform status orders")
    await house.told("alice", "*Staging*")


async def test_an_unreachable_answer_address_is_no_lost_answer(house: Stage) -> None:
    await house.create("orders")
    card = await house.promote("orders")
    house.playground.fail_call("response_url", "reset", times=3)
    await house.person("omar").click(card, "Approve")
    await house.told("omar", "you are not among them")


@pytest.mark.parametrize("kind", ["error", "http_error", "html_502", "reset"])
async def test_a_form_that_cannot_be_opened_is_said(house: Stage, kind: str) -> None:
    house.playground.fail_call("views.open", kind, code="expired_trigger_id")
    await house.person("alice").command("#orders", "/platform create-service")
    said = await house.told("alice", "The form could not be opened")
    assert "Try again" in said


async def test_home_that_cannot_be_published_is_there_at_the_next_look(house: Stage) -> None:
    house.playground.fail_call("views.publish", "http_error", status=500)
    alice = house.person("alice")
    alice.open_home()
    await house.playground.until(lambda: house.playground.calls("views.publish"), what="the first try")
    alice.open_home()
    await house.playground.until(lambda: alice.home() is not None, what="Alice's home")


# ---------------------------------------------------------------- the connection


@pytest.mark.parametrize("reason", ["refresh_requested", "warning"])
async def test_a_refreshed_connection_loses_nothing(house: Stage, reason: str) -> None:
    card = await house.propose("orders")
    await house.playground.announce_disconnect(reason)
    await house.playground.until(lambda: house.playground.connections_opened >= 2, what="a new connection")
    await house.playground.until_connected()
    await house.person("alice").click(card, "confirm")
    await house.until_shown(card, "done")


async def test_a_cut_connection_comes_back_and_work_goes_on_meanwhile(house: Stage) -> None:
    card = await house.propose("orders")
    await house.person("alice").click(card, "confirm")
    await house.playground.cut_connections()
    await house.until_shown(card, "done")
    await house.playground.until_connected(timeout_seconds=20)
    assert "*Staging*" in await house.types("alice", "/platform status orders")
