"""The card pump on a real database, against a real Slack in memory: posted once, edited, healed, never lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from card_office import DEPLOYS, ORDERS, CardOffice
from requests_made import approval_gate, awaiting, new_request, plan, proposal, queued
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from structlog.testing import capture_logs

from bot import ledger
from bot.cards import CLAIM_SECONDS
from bot.domain import CardKind, Request, RequestState
from bot.store import CardTarget, Proposal
from bot.transaction import Transaction
from playground.actor import shown_text

ALICE = "UALICE0001"


# ---------------------------------------------------------------- posting and editing


async def test_a_new_card_is_posted_once_in_every_copy(office: CardOffice) -> None:
    await awaiting(office.store, channels=(ORDERS, "ULENA00001"))
    assert await office.pump.flush() == 2
    assert await office.pump.flush() == 0
    (message,) = office.messages()
    assert "waiting for approval" in shown_text(message)
    card = await office.card()
    assert (card.ts, card.sent_revision) == (message.ts, card.revision)
    copy = await office.card("ULENA00001")
    assert copy.channel_id.startswith("D"), "a person's id became the channel of the conversation"
    assert len(office.messages(copy.channel_id)) == 1
    assert office.counted("posted") == 2


async def test_whatever_happened_in_between_is_one_edit_with_the_latest_state(office: CardOffice) -> None:
    request = await awaiting(office.store, channels=(ORDERS,), gates=(approval_gate(needed=2),))
    await office.pump.flush()
    request = await office.approve(request)
    await office.store.cancel("r1", actor=request.requester, version=request.version)
    assert await office.pump.flush() == 1
    assert len(office.slack.calls("chat.update")) == 1
    (message,) = office.messages()
    assert "cancelled" in shown_text(message)


async def test_an_unchanged_card_is_not_touched(office: CardOffice) -> None:
    await awaiting(office.store, channels=(ORDERS,))
    await office.pump.flush()
    calls = len(office.slack.calls())
    await office.pump.flush()
    assert len(office.slack.calls()) == calls


async def test_a_card_that_has_nothing_to_say_yet_is_not_posted_and_appears_when_it_has(
    office: CardOffice,
) -> None:
    request = await awaiting(office.store, channels=())
    await office.store.add_card("r1", CardKind.NOTICE, ALICE)
    assert await office.pump.flush() == 0
    await office.store.cancel("r1", actor=request.requester, version=request.version)
    assert await office.pump.flush() == 0
    assert office.slack.calls("chat.postMessage") == []


# ---------------------------------------------------------------- Slack is busy, away, or does not say


async def test_a_429_is_obeyed_and_nothing_is_lost(office: CardOffice) -> None:
    await awaiting(office.store, channels=(ORDERS,))
    office.slack.fail_call("chat.postMessage", "ratelimited", retry_after_seconds=7)
    assert await office.pump.flush() == 0
    assert await office.pump.flush() == 0, "not before Slack's time has passed"
    assert len(office.slack.calls("chat.postMessage")) == 1
    office.passes(8)
    assert await office.pump.flush() == 1
    assert len(office.messages()) == 1
    assert (office.counted("limited"), office.counted("posted")) == (1, 1)


async def test_what_slack_refused_to_post_is_not_looked_for(office: CardOffice) -> None:
    await awaiting(office.store, channels=(ORDERS, ALICE))
    office.slack.fail_call("chat.postMessage", "ratelimited", times=2, retry_after_seconds=7)
    assert await office.pump.flush() == 0
    office.passes(8)
    assert await office.pump.flush() == 2
    assert office.slack.calls("conversations.history") == office.slack.calls("conversations.open") == []


async def test_a_429_for_looking_holds_back_no_post(office: CardOffice) -> None:
    await awaiting(office.store, channels=(ORDERS,))
    office.slack.fail_call("chat.postMessage", "lost_answer")
    assert await office.pump.flush() == 0
    office.passes(2)
    office.slack.fail_call("conversations.history", "ratelimited", retry_after_seconds=60)
    assert await office.pump.flush() == 0
    await queued(office.store, "r2", channels=(ORDERS,))
    assert await office.pump.flush() == 1, "another card"
    office.passes(59)
    assert await office.pump.flush() == 0
    office.passes(2)
    assert await office.pump.flush() == 1
    assert len(office.messages()) == 2
    assert [call.status for call in office.slack.calls("conversations.history")] == [429, 200]


async def test_cards_are_looked_for_at_slacks_pace(office: CardOffice) -> None:
    await awaiting(office.store, channels=(ORDERS,))
    office.slack.fail_call("chat.postMessage", "lost_answer")
    assert await office.pump.flush() == 0
    office.crowd(30, method="conversations.history")
    office.passes(2)
    assert await office.pump.flush() == 0
    assert office.slack.calls("conversations.history") == []
    office.passes(15)
    assert await office.pump.flush() == 1
    assert len(office.slack.calls("conversations.history")) == len(office.messages()) == 1


async def test_a_post_whose_answer_was_lost_is_found_again_by_its_metadata(office: CardOffice) -> None:
    request = await awaiting(office.store, channels=(ORDERS,))
    office.slack.fail_call("chat.postMessage", "lost_answer")
    assert await office.pump.flush() == 0
    await office.approve(request)
    office.passes(30)
    assert await office.pump.flush() == 1
    (message,) = office.messages()
    assert "about to start" in shown_text(message), "found and brought up to date"
    assert (await office.card()).ts == message.ts


async def test_a_post_to_a_person_whose_answer_was_lost_is_found_in_their_conversation(
    office: CardOffice,
) -> None:
    await awaiting(office.store, channels=(ALICE,))
    office.slack.fail_call("chat.postMessage", "lost_answer")
    await office.pump.flush()
    office.passes(30)
    assert await office.pump.flush() == 1
    card = await office.card(ALICE)
    assert len(office.messages(card.channel_id)) == 1


async def test_a_post_that_never_arrived_is_posted_after_all(office: CardOffice) -> None:
    await awaiting(office.store, channels=(ORDERS,))
    office.slack.fail_call("chat.postMessage", "http_error", status=503)
    await office.pump.flush()
    assert office.messages() == []
    office.passes(30)
    assert await office.pump.flush() == 1
    assert len(office.messages()) == 1


async def test_a_crash_right_after_posting_is_healed_by_another_process(office: CardOffice) -> None:
    """Killed between Slack's answer and our note of it: the card knows only that a post was begun."""
    await awaiting(office.store, channels=(ORDERS,))
    await office.pump.flush()
    (message,) = office.messages()
    card = await office.card()
    await office.store.card_posted(card.id, channel_id=ORDERS, ts="", revision=0)
    await make_dirty(office)
    office.passes(120)
    assert await office.another_pump().flush() == 1
    assert [one.ts for one in office.messages()] == [message.ts]


async def make_dirty(office: CardOffice) -> None:
    request = await office.store.get_request("r1")
    await office.approve(request)


async def test_slack_that_fails_again_and_again_is_asked_less_and_less_often(office: CardOffice) -> None:
    await awaiting(office.store, channels=(ORDERS,))
    office.slack.fail_call("chat.postMessage", "http_error", times=20)
    asked_at = []
    for second in range(40):
        before = len(office.slack.calls("chat.postMessage"))
        await office.pump.flush()
        if len(office.slack.calls("chat.postMessage")) > before:
            asked_at.append(second)
        office.passes(1)
    gaps = [later - earlier for earlier, later in pairwise(asked_at)]
    assert len(gaps) >= 3
    assert gaps == sorted(gaps)
    assert gaps[-1] >= 4 * gaps[0]
    office.slack.clear_faults()
    office.passes(600)
    assert await office.pump.flush() == 1


async def test_no_card_is_begun_whose_claim_could_run_out_under_way(office: CardOffice) -> None:
    """Whoever claims it next would send it, too."""
    people = [
        f"U{name}" for name in ("ALICE0001", "OMAR00001", "LENA00001", "PAUL00001", "PRIYA0001", "SAM000001")
    ]
    await awaiting(office.store, channels=(ORDERS, DEPLOYS, *people))
    office.call_seconds = 10.0
    assert await office.pump.flush() == 2
    assert office.now < CLAIM_SECONDS
    assert [await office.pump.flush() for _ in range(4)] == [2, 2, 2, 0]


# ---------------------------------------------------------------- messages that cannot be


async def test_where_the_bot_is_not_a_member_the_requester_gets_the_card(office: CardOffice) -> None:
    await asked_where_the_bot_is_not(office)
    assert await office.pump.flush() == 0
    assert (await office.card()).gone
    assert await office.pump.flush() == 1
    card = await office.card(ALICE)
    (message,) = office.messages(card.channel_id)
    assert "waiting for approval" in shown_text(message)


async def test_where_only_some_may_post_the_requester_gets_the_card(office: CardOffice) -> None:
    opened = await office.store.open_request(new_request(requester=ALICE))
    await office.store.propose("r1", proposal(channels=(ORDERS,)), version=opened.request.version)
    office.slack.channel(ORDERS).read_only = True
    assert [await office.pump.flush() for _ in range(2)] == [0, 1]
    assert len(office.messages((await office.card(ALICE)).channel_id)) == 1


async def asked_where_the_bot_is_not(office: CardOffice) -> None:
    opened = await office.store.open_request(new_request(requester=ALICE))
    await office.store.propose("r1", proposal(channels=(ORDERS,)), version=opened.request.version)
    office.slack.leave(ORDERS, "platform")


async def test_a_card_is_given_up_only_together_with_the_one_that_takes_its_place(office: CardOffice) -> None:
    """What a kill leaves, shown by a database that takes no further card."""
    await asked_where_the_bot_is_not(office)
    await execute(
        office, "CREATE TRIGGER full BEFORE INSERT ON cards BEGIN SELECT RAISE(ABORT, 'no more cards'); END"
    )
    with pytest.raises(IntegrityError):
        await office.pump.flush()
    await execute(office, "DROP TRIGGER full")
    office.passes(CLAIM_SECONDS)
    assert await office.another_pump().flush() == 0
    assert await office.another_pump().flush() == 1
    card = await office.card(ALICE)
    assert len(office.messages(card.channel_id)) == 1


async def execute(office: CardOffice, statement: str) -> None:
    async with office.store.engine.begin() as connection:
        await connection.execute(text(statement))


async def test_a_message_that_was_deleted_is_left_alone(office: CardOffice) -> None:
    request = await awaiting(office.store, channels=(ORDERS,))
    await office.pump.flush()
    (message,) = office.messages()
    await office.client.chat_delete(channel=ORDERS, ts=message.ts)
    await office.approve(request)
    assert await office.pump.flush() == 0
    assert (await office.card()).gone
    office.passes(3600)
    await office.pump.flush()
    assert len(office.slack.calls("chat.update")) == 1
    assert office.messages() == []


async def test_an_archived_channel_does_not_stop_the_other_copies(office: CardOffice) -> None:
    request = await awaiting(office.store, channels=(DEPLOYS, ORDERS))
    await office.pump.flush()
    office.slack.archive(DEPLOYS)
    await office.approve(request)
    assert await office.pump.flush() == 1
    assert (await office.card(DEPLOYS)).gone
    assert "about to start" in shown_text(office.messages()[0])


# ---------------------------------------------------------------- deployments


async def fail(office: CardOffice, request: Request) -> None:
    """The run starts, its step fails, everything is undone."""

    async def run(tx: Transaction) -> None:
        await ledger.begin(tx, request.id, run=1)
        await ledger.finish(tx, request.id, run=1, state=RequestState.UNDONE, outcome="It degraded.")

    await office.store.write(run)


def announced() -> Proposal:
    made = plan().model_copy(update={"announce": "orders → production"})
    proposed = proposal(state=RequestState.QUEUED, gates=(), planned=made)
    cards = [CardTarget(kind, DEPLOYS) for kind in (CardKind.DEPLOY_FAILURE, CardKind.DEPLOY)]
    return Proposal(
        plan=proposed.plan,
        gates=(),
        plan_hash=proposed.plan_hash,
        state=proposed.state,
        due_at=None,
        cards=cards,
    )


async def deploying(office: CardOffice) -> Request:
    opened = await office.store.open_request(new_request())
    return await office.store.propose("r1", announced(), version=opened.request.version)


async def test_a_failed_deployment_is_a_reply_under_its_notification(office: CardOffice) -> None:
    request = await deploying(office)
    assert await office.pump.flush() == 1
    (notification,) = office.messages(DEPLOYS)
    assert "deploying" in shown_text(notification)
    await fail(office, request)
    office.passes(60)
    assert await office.pump.flush() == 2
    parent, reply = office.messages(DEPLOYS)
    assert (parent.ts, reply.thread_ts) == (notification.ts, notification.ts)
    assert "orders → production failed" in shown_text(reply)
    assert "rolled back" in shown_text(parent)


async def test_a_reply_waits_for_its_notification(office: CardOffice) -> None:
    """The deployment failed before anything of it was posted."""
    request = await deploying(office)
    await fail(office, request)
    office.slack.fail_call("chat.postMessage", "http_error")
    await office.pump.flush()
    assert (await office.card(DEPLOYS, kind=CardKind.DEPLOY_FAILURE)).attempts == 0, "waiting is no failure"
    for _ in range(3):
        office.passes(60)
        await office.pump.flush()
    parent, reply = office.messages(DEPLOYS)
    assert (parent.thread_ts, reply.thread_ts) == (None, parent.ts)


async def test_a_failure_whose_notification_was_deleted_stands_on_its_own(office: CardOffice) -> None:
    request = await deploying(office)
    await office.pump.flush()
    (notification,) = office.messages(DEPLOYS)
    await office.client.chat_delete(channel=DEPLOYS, ts=notification.ts)
    await fail(office, request)
    await office.pump.flush()
    (failure,) = office.messages(DEPLOYS)
    assert failure.thread_ts is None
    assert "orders → production failed" in shown_text(failure)


async def test_a_failure_finds_out_by_itself_that_its_notification_was_deleted(office: CardOffice) -> None:
    request = await deploying(office)
    await office.pump.flush()
    await fail(office, request)
    office.slack.fail_call("chat.postMessage", "error", code="thread_not_found")
    with capture_logs() as logs:
        await office.pump.flush()
    assert [(one["error"], one["given_up"]) for one in logs] == [("thread_not_found", False)]
    assert await office.pump.flush() == 1
    assert [message.thread_ts for message in office.messages(DEPLOYS)] == [None, None]


async def test_a_failure_is_told_in_a_channel_that_the_bot_was_invited_to_since(office: CardOffice) -> None:
    office.slack.leave(DEPLOYS, "platform")
    request = await deploying(office)
    await office.pump.flush()
    office.slack.join(DEPLOYS, "platform")
    await fail(office, request)
    await office.pump.flush()
    (failure,) = office.messages(DEPLOYS)
    assert "orders → production failed" in shown_text(failure)


async def test_a_failure_is_given_up_where_the_bot_may_not_post(office: CardOffice) -> None:
    office.slack.leave(DEPLOYS, "platform")
    request = await deploying(office)
    await office.pump.flush()
    await fail(office, request)
    with capture_logs() as logs:
        await office.pump.flush()
    assert [(one["event"], one["error"], one["given_up"]) for one in logs] == [
        ("cards.refused", "not_in_channel", True)
    ]
    calls = len(office.slack.calls("chat.postMessage"))
    for _ in range(3):
        office.passes(3600)
        await office.pump.flush()
    assert len(office.slack.calls("chat.postMessage")) == calls


async def test_many_cards_for_one_channel_keep_slacks_pace(office: CardOffice) -> None:
    for number in range(8):
        await queued(office.store, f"r{number}", channels=(ORDERS,))
    await office.pump.flush()
    for _ in range(8):
        office.passes(10)
        await office.pump.flush()
    assert len(office.messages()) == 8
    assert office.counted("posted") == 8
