"""Cards: which messages are out of date, and who sends them; every test on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest
from database import Clock
from requests_made import awaiting, ballot, queued

from bot import outbox
from bot.domain import CardKind
from bot.errors import NotFoundError
from bot.store import Store


async def test_a_new_plan_has_its_cards_to_send(store: Store) -> None:
    await awaiting(store, channels=("C1", "ULENA", "C1"))

    claimed = await store.claim_dirty_cards()

    assert [(card.channel_id, card.ts, card.sent_revision) for card in claimed] == [
        ("C1", "", 0),
        ("ULENA", "", 0),
    ]
    assert store.dirty.is_set()


async def test_a_claimed_card_is_nobody_elses_until_the_claim_runs_out(store: Store, clock: Clock) -> None:
    await awaiting(store, channels=tuple(f"C{n}" for n in range(10)))

    claims = await asyncio.gather(*(store.claim_dirty_cards(limit=4, claim_seconds=30) for _ in range(4)))

    assert sorted(card.id for claim in claims for card in claim) == sorted(
        {card.id for card in await store.list_cards("r1")}
    )
    assert await store.claim_dirty_cards() == []
    clock.move(seconds=30)
    assert len(await store.claim_dirty_cards()) == 10


async def test_a_sent_card_is_clean_until_the_request_changes(store: Store) -> None:
    request = await awaiting(store)
    [card] = await store.claim_dirty_cards()
    await store.card_posted(card.id, channel_id="D1", ts="1.0", revision=card.revision)

    assert await store.claim_dirty_cards() == []
    await store.decide("r1", ballot(request))

    [again] = await store.claim_dirty_cards()
    assert (again.channel_id, again.ts) == ("D1", "1.0")
    assert again.revision > card.revision


async def test_a_change_while_a_card_is_sent_makes_it_dirty_again_at_once(store: Store) -> None:
    request = await awaiting(store)
    [card] = await store.claim_dirty_cards()
    await store.decide("r1", ballot(request))
    store.dirty.clear()

    await store.card_sent(card.id, revision=card.revision)

    assert store.dirty.is_set()
    assert [one.id for one in await store.claim_dirty_cards()] == [card.id]


async def test_a_late_answer_never_takes_a_newer_one_back(store: Store) -> None:
    await awaiting(store)
    [card] = await store.claim_dirty_cards()
    await store.card_sent(card.id, revision=card.revision)
    await store.card_sent(card.id, revision=card.revision - 1)

    assert await store.claim_dirty_cards() == []


async def test_a_failed_card_waits_and_a_gone_one_is_left_alone(store: Store, clock: Clock) -> None:
    await awaiting(store)
    [card] = await store.claim_dirty_cards()
    await store.note_post_started(card.id, clock.now)
    await store.card_failed(card.id, retry_at=clock.now.replace(minute=5))

    assert await store.claim_dirty_cards() == []
    clock.move(minutes=5)
    [again] = await store.claim_dirty_cards()
    assert (again.attempts, again.post_started_at) == (1, clock.now.replace(minute=0))

    await store.card_failed(card.id, gone=True)
    clock.move(days=1)
    assert await store.claim_dirty_cards() == []
    assert [one.gone for one in await store.list_cards("r1")] == [True]


async def test_a_card_that_is_put_off_waits_and_has_not_failed(store: Store, clock: Clock) -> None:
    await awaiting(store)
    [card] = await store.claim_dirty_cards()
    until = clock.now.replace(minute=5)
    await store.write(lambda tx: outbox.put_off(tx, card.id, until))

    assert await store.claim_dirty_cards() == []
    clock.move(minutes=5)
    assert [one.attempts for one in await store.claim_dirty_cards()] == [0]


async def test_a_post_that_was_refused_is_not_under_way(store: Store, clock: Clock) -> None:
    await awaiting(store)
    [card] = await store.claim_dirty_cards()
    await store.note_post_started(card.id, clock.now)
    await store.write(lambda tx: outbox.note_not_posted(tx, card.id))

    assert [one.post_started_at for one in await store.list_cards("r1")] == [None]


async def test_a_card_that_is_redirected_is_gone_and_another_is_to_send(store: Store) -> None:
    await awaiting(store, channels=("C1",))
    [card] = await store.claim_dirty_cards()
    store.dirty.clear()

    await store.write(lambda tx: outbox.redirect(tx, card.id, "UALICE"))

    assert store.dirty.is_set()
    assert [(one.kind, one.channel_id) for one in await store.claim_dirty_cards()] == [
        (CardKind.REQUEST, "UALICE")
    ]
    assert [one.gone for one in await store.list_cards("r1")] == [True, False]


async def test_a_copy_is_added_once_even_after_its_channel_became_known(store: Store) -> None:
    await queued(store)
    first = await store.add_card("r1", CardKind.REQUEST, "ULENA")
    await store.card_posted(first.id, channel_id="DLENA", ts="1.0", revision=1)

    again = await store.add_card("r1", CardKind.REQUEST, "ULENA")

    assert (again.id, again.channel_id) == (first.id, "DLENA")
    with pytest.raises(NotFoundError):
        await store.add_card("nope", CardKind.DEPLOY, "C1")
