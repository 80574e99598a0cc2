"""Which Slack messages mirror which request, and which of them are out of date: the outbox the card pump empties.

Level-triggered: a card is dirty while its revision is ahead of what was sent, however often it changed in between. A claim
keeps two senders off one card for a while; it runs out by itself when its holder dies. No audit events: a message that
was sent changes nothing that is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlmodel import col

from bot.domain import Card, CardKind
from bot.errors import NotFoundError
from bot.rows import to_card
from bot.tables import CardRow
from bot.transaction import Transaction

CLAIM_SECONDS = 15.0
"""How long a claimed card is left alone: longer than a call to Slack may take."""


async def add_cards(tx: Transaction, request_id: str, targets: Sequence[tuple[CardKind, str]]) -> list[Card]:
    """Add cards that are not there yet; one per request, kind and target."""
    cards = []
    for kind, target in dict.fromkeys(targets):
        card_id = f"{request_id}.{kind.value}.{target}"
        row = await tx.session.get(CardRow, card_id)
        if row is None:
            row = CardRow(
                id=card_id,
                request_id=request_id,
                kind=kind,
                target=target,
                channel_id=target,
                not_before=tx.now,
            )
            tx.session.add(row)
            tx.after_commit("dirty", tx.signals.dirty.set)
        cards.append(to_card(row))
    return cards


async def claim_dirty_cards(tx: Transaction, *, limit: int, claim_seconds: float) -> list[Card]:
    """The longest waiting dirty cards, with what was last known of them; nobody else gets them until the claim ends."""
    statement = (
        select(CardRow)
        .where(
            col(CardRow.revision) > col(CardRow.sent_revision),
            ~col(CardRow.gone),
            col(CardRow.not_before) <= tx.now,
        )
        .order_by(col(CardRow.not_before), col(CardRow.id))
        .limit(limit)
        .execution_options(populate_existing=True)
    )
    rows = (await tx.session.scalars(statement)).all()
    for row in rows:
        row.not_before = tx.now + timedelta(seconds=claim_seconds)
    return [to_card(row) for row in rows]


async def note_post_started(tx: Transaction, card_id: str, at: datetime) -> None:
    (await _card(tx, card_id)).post_started_at = at


async def note_not_posted(tx: Transaction, card_id: str) -> None:
    """The post that was begun was refused: there is no message to look for."""
    (await _card(tx, card_id)).post_started_at = None


async def card_posted(tx: Transaction, card_id: str, *, channel_id: str, ts: str, revision: int) -> None:
    row = await _card(tx, card_id)
    row.channel_id, row.ts = channel_id, ts
    _sent(tx, row, revision)


async def card_sent(tx: Transaction, card_id: str, revision: int) -> None:
    _sent(tx, await _card(tx, card_id), revision)


def _sent(tx: Transaction, row: CardRow, revision: int) -> None:
    row.sent_revision = max(row.sent_revision, revision)
    row.attempts = 0
    row.not_before = tx.now
    if row.revision > row.sent_revision:
        tx.after_commit("dirty", tx.signals.dirty.set)


async def card_failed(tx: Transaction, card_id: str, *, gone: bool, retry_at: datetime | None) -> None:
    row = await _card(tx, card_id)
    row.attempts += 1
    row.gone = gone
    row.not_before = retry_at or tx.now


async def redirect(tx: Transaction, card_id: str, target: str) -> None:
    """Give the card up and add one of its kind for `target`: both at once, or a crash in between would leave nobody with a card."""
    row = await _card(tx, card_id)
    row.gone = True
    await add_cards(tx, row.request_id, [(CardKind(row.kind), target)])


async def put_off(tx: Transaction, card_id: str, until: datetime) -> None:
    """It was not its turn yet. That is no failure, so what fails later is tried again as soon as ever."""
    (await _card(tx, card_id)).not_before = until


async def release_claims(tx: Transaction) -> None:
    """Forget claims and pauses: their holders are known to be dead (one process per SQLite file)."""
    await tx.session.execute(
        update(CardRow)
        .where(col(CardRow.not_before) > tx.now)
        .values(not_before=tx.now)
        .execution_options(synchronize_session=False)
    )


async def _card(tx: Transaction, card_id: str) -> CardRow:
    # Cards are made dirty by statements the session does not see, so what it remembers may be old.
    row = await tx.session.get(CardRow, card_id, populate_existing=True)
    if row is None:
        raise NotFoundError(f"There is no card {card_id}.")
    return row
