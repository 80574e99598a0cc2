"""The card pump on a real database, against a real Slack in memory: posted once, edited, healed, never lost."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from database import Clock
from requests_made import LENA, approval_gate, awaiting, ballot, new_request, plan, proposal, queued
from slack_sdk.web.async_client import AsyncWebClient

from bot import ledger, manifest
from bot.cards import Cards
from bot.domain import Card, CardKind, Request, RequestState
from bot.metrics import Metrics
from bot.pace import Pace
from bot.registry import load_commands
from bot.store import CardTarget, Proposal, Store
from bot.tasks import Tasks
from bot.transaction import Transaction
from playground.actor import shown_text
from playground.messages import Message
from playground.server import Playground

ORDERS, DEPLOYS = "CORDERS001", "CDEPLOYS01"
ALICE = "UALICE0001"
COMMANDS = load_commands()


@dataclass
class Time:
    """Monotonic seconds that pass only when somebody waits."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@dataclass
class Office:
    """A store, a pump and the Slack it writes to."""

    store: Store
    slack: Playground
    clock: Clock
    metrics: Metrics = field(default_factory=Metrics)
    time: Time = field(default_factory=Time)

    @property
    def pump(self) -> Cards:
        client = AsyncWebClient(token=self.slack.bot_token, base_url=self.slack.api_url, retry_handlers=[])
        return Cards(
            store=self.store, client=client, commands=COMMANDS, pace=Pace(now=self.time, sleep=self.time.sleep),
            tasks=Tasks(), metrics=self.metrics, clock=self.clock,
        )  # fmt: skip

    async def card(self, channel: str = ORDERS, *, kind: CardKind = CardKind.REQUEST) -> Card:
        return next(
            one for one in await self.store.list_cards("r1") if one.id == f"r1.{kind.value}.{channel}"
        )

    def messages(self, channel: str = ORDERS) -> list[Message]:
        return self.slack.app_messages(channel)

    def counted(self, outcome: str) -> float:
        return self.metrics.registry.get_sample_value("platform_cards_total", {"outcome": outcome}) or 0.0

    async def approve(self, request: Request) -> Request:
        return await self.store.decide("r1", ballot(request, LENA))


@pytest.fixture
async def office(tmp_path: Path, migrated_sqlite_file: Path, clock: Clock) -> AsyncIterator[Office]:
    file = tmp_path / "bot.db"
    shutil.copyfile(migrated_sqlite_file, file)
    async with (
        Playground(manifest.build(COMMANDS)) as slack,
        Store.open(f"sqlite:///{file}", clock=clock) as store,
    ):
        # Cards note moments by the store's clock, messages by Slack's: they show the same time.
        slack.clock.set(clock().timestamp())
        yield Office(store, slack, clock)


# ---------------------------------------------------------------- posting and editing


async def test_a_new_card_is_posted_once_in_every_copy(office: Office) -> None:
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


async def test_whatever_happened_in_between_is_one_edit_with_the_latest_state(office: Office) -> None:
    request = await awaiting(office.store, channels=(ORDERS,), gates=(approval_gate(needed=2),))
    await office.pump.flush()
    request = await office.approve(request)
    await office.store.cancel("r1", actor=request.requester, version=request.version)
    assert await office.pump.flush() == 1
    assert len(office.slack.calls("chat.update")) == 1
    (message,) = office.messages()
    assert "cancelled" in shown_text(message)


async def test_an_unchanged_card_is_not_touched(office: Office) -> None:
    await awaiting(office.store, channels=(ORDERS,))
    await office.pump.flush()
    calls = len(office.slack.calls())
    await office.pump.flush()
    assert len(office.slack.calls()) == calls


async def test_a_card_that_has_nothing_to_say_yet_is_not_posted_and_appears_when_it_has(
    office: Office,
) -> None:
    request = await awaiting(office.store, channels=())
    await office.store.add_card("r1", CardKind.NOTICE, ALICE)
    assert await office.pump.flush() == 0
    await office.store.cancel("r1", actor=request.requester, version=request.version)
    assert await office.pump.flush() == 0
    assert office.slack.calls("chat.postMessage") == []


# ---------------------------------------------------------------- Slack is busy, away, or does not say


async def test_a_429_is_obeyed_and_nothing_is_lost(office: Office) -> None:
    await awaiting(office.store, channels=(ORDERS,))
    office.slack.fail_call("chat.postMessage", "ratelimited", retry_after_seconds=7)
    pump = office.pump
    assert await pump.flush() == 0
    assert await pump.flush() == 0, "not before Slack's time has passed"
    assert len(office.slack.calls("chat.postMessage")) == 1
    office.clock.move(seconds=8)
    office.time.now += 8
    assert await pump.flush() == 1
    assert len(office.messages()) == 1
    assert (office.counted("limited"), office.counted("posted")) == (1, 1)


async def test_a_post_whose_answer_was_lost_is_found_again_by_its_metadata(office: Office) -> None:
    request = await awaiting(office.store, channels=(ORDERS,))
    office.slack.fail_call("chat.postMessage", "lost_answer")
    assert await office.pump.flush() == 0
    await office.approve(request)
    office.clock.move(seconds=30)
    assert await office.pump.flush() == 1
    (message,) = office.messages()
    assert "about to start" in shown_text(message), "found and brought up to date"
    assert (await office.card()).ts == message.ts


async def test_a_post_to_a_person_whose_answer_was_lost_is_found_in_their_conversation(
    office: Office,
) -> None:
    await awaiting(office.store, channels=(ALICE,))
    office.slack.fail_call("chat.postMessage", "lost_answer")
    await office.pump.flush()
    office.clock.move(seconds=30)
    assert await office.pump.flush() == 1
    card = await office.card(ALICE)
    assert len(office.messages(card.channel_id)) == 1


async def test_a_post_that_never_arrived_is_posted_after_all(office: Office) -> None:
    await awaiting(office.store, channels=(ORDERS,))
    office.slack.fail_call("chat.postMessage", "http_error", status=503)
    await office.pump.flush()
    assert office.messages() == []
    office.clock.move(seconds=30)
    assert await office.pump.flush() == 1
    assert len(office.messages()) == 1


async def test_a_crash_right_after_posting_is_healed_by_another_process(office: Office) -> None:
    """Killed between Slack's answer and our note of it: the card knows only that a post was begun."""
    await awaiting(office.store, channels=(ORDERS,))
    await office.pump.flush()
    (message,) = office.messages()
    card = await office.card()
    await office.store.card_posted(card.id, channel_id=ORDERS, ts="", revision=0)
    await make_dirty(office)
    office.clock.move(minutes=2)
    assert await office.pump.flush() == 1
    assert [one.ts for one in office.messages()] == [message.ts]


async def make_dirty(office: Office) -> None:
    request = await office.store.get_request("r1")
    await office.approve(request)


async def test_slack_that_fails_again_and_again_is_asked_less_and_less_often(office: Office) -> None:
    await awaiting(office.store, channels=(ORDERS,))
    office.slack.fail_call("chat.postMessage", "http_error", times=20)
    asked_at = []
    for second in range(40):
        before = len(office.slack.calls("chat.postMessage"))
        await office.pump.flush()
        if len(office.slack.calls("chat.postMessage")) > before:
            asked_at.append(second)
        office.clock.move(seconds=1)
    gaps = [later - earlier for earlier, later in pairwise(asked_at)]
    assert len(gaps) >= 3
    assert gaps == sorted(gaps)
    assert gaps[-1] >= 4 * gaps[0]
    office.slack.clear_faults()
    office.clock.move(minutes=10)
    assert await office.pump.flush() == 1


# ---------------------------------------------------------------- messages that cannot be


async def test_where_the_bot_is_not_a_member_the_requester_gets_the_card(office: Office) -> None:
    opened = await office.store.open_request(new_request(requester=ALICE))
    await office.store.propose("r1", proposal(channels=(ORDERS,)), version=opened.request.version)
    office.slack.leave(ORDERS, "platform")
    assert await office.pump.flush() == 0
    assert (await office.card()).gone
    assert await office.pump.flush() == 1
    card = await office.card(ALICE)
    (message,) = office.messages(card.channel_id)
    assert "waiting for approval" in shown_text(message)


async def test_a_message_that_was_deleted_is_left_alone(office: Office) -> None:
    request = await awaiting(office.store, channels=(ORDERS,))
    await office.pump.flush()
    client = AsyncWebClient(token=office.slack.bot_token, base_url=office.slack.api_url)
    (message,) = office.messages()
    await client.chat_delete(channel=ORDERS, ts=message.ts)
    await office.approve(request)
    assert await office.pump.flush() == 0
    assert (await office.card()).gone
    office.clock.move(hours=1)
    await office.pump.flush()
    assert len(office.slack.calls("chat.update")) == 1
    assert office.messages() == []


async def test_an_archived_channel_does_not_stop_the_other_copies(office: Office) -> None:
    request = await awaiting(office.store, channels=(DEPLOYS, ORDERS))
    await office.pump.flush()
    office.slack.archive(DEPLOYS)
    await office.approve(request)
    assert await office.pump.flush() == 1
    assert (await office.card(DEPLOYS)).gone
    assert "about to start" in shown_text(office.messages()[0])


# ---------------------------------------------------------------- deployments


async def fail(office: Office, request: Request) -> None:
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


async def test_a_failed_deployment_is_a_reply_under_its_notification(office: Office) -> None:
    opened = await office.store.open_request(new_request())
    request = await office.store.propose("r1", announced(), version=opened.request.version)
    assert await office.pump.flush() == 1
    (notification,) = office.messages(DEPLOYS)
    assert "deploying" in shown_text(notification)
    await fail(office, request)
    office.clock.move(minutes=1)
    assert await office.pump.flush() == 2
    parent, reply = office.messages(DEPLOYS)
    assert (parent.ts, reply.thread_ts) == (notification.ts, notification.ts)
    assert "orders → production failed" in shown_text(reply)
    assert "rolled back" in shown_text(parent)


async def test_a_reply_waits_for_its_notification(office: Office) -> None:
    """The deployment failed before anything of it was posted."""
    opened = await office.store.open_request(new_request())
    request = await office.store.propose("r1", announced(), version=opened.request.version)
    await fail(office, request)
    office.slack.fail_call("chat.postMessage", "http_error")
    await office.pump.flush()
    for _ in range(3):
        office.clock.move(minutes=1)
        await office.pump.flush()
    parent, reply = office.messages(DEPLOYS)
    assert (parent.thread_ts, reply.thread_ts) == (None, parent.ts)


async def test_many_cards_for_one_channel_keep_slacks_pace(office: Office) -> None:
    for number in range(8):
        await queued(office.store, f"r{number}", channels=(ORDERS,))
    await office.pump.flush()
    for _ in range(8):
        office.clock.move(seconds=10)
        office.time.now += 10
        await office.pump.flush()
    assert len(office.messages()) == 8
    assert office.counted("posted") == 8
