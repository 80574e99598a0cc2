"""Which Slack messages mirror which request, and which of them are out of date: the outbox the card pump empties.

Level-triggered: a card is dirty while its revision is ahead of what was sent, however often it changed in between. A claim
keeps two senders off one card for a while; it runs out by itself when its holder dies. No audit events: a message that
was sent changes nothing that is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot.domain import JSON, Card, CardKind
from bot.errors import NotFoundError
from bot.rows import to_card
from bot.tables import CARDS, MOMENT
from bot.transaction import Transaction

CLAIM_SECONDS = 15.0
"""How long a claimed card is left alone: longer than a call to Slack may take."""

_ANY_OF: sa.BindParameter[Any] = sa.bindparam("cards", expanding=True)
_KNOWN = sa.select(CARDS.c.id).where(CARDS.c.id.in_(_ANY_OF))
_ADD = sa.insert(CARDS)
_CARD = sa.select(CARDS).where(CARDS.c.id == sa.bindparam("card"))
_PUT = sa.update(CARDS).where(CARDS.c.id == sa.bindparam("card")).returning(*CARDS.c)
"""Which columns it sets is said when it is executed."""
_COUNT_FAILURE = _PUT.values(attempts=CARDS.c.attempts + 1)
_newer: sa.BindParameter[Any] = sa.bindparam("newer", type_=sa.Integer)
_PUT_SENT = _PUT.values(
    # Answers may come in another order than they were sent in.
    sent_revision=sa.case((CARDS.c.sent_revision > _newer, CARDS.c.sent_revision), else_=_newer),
    attempts=0,
)
_DUE = (
    sa.select(CARDS)
    .where(
        CARDS.c.revision > CARDS.c.sent_revision,
        ~CARDS.c.gone,
        CARDS.c.not_before <= sa.bindparam("now"),
    )
    .order_by(CARDS.c.not_before, CARDS.c.id)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_CLAIM = (
    sa.update(CARDS).where(CARDS.c.id.in_(_ANY_OF)).values(not_before=sa.bindparam("until", type_=MOMENT))
)
_RELEASE = (
    sa.update(CARDS)
    .where(CARDS.c.not_before > sa.bindparam("now"))
    .values(not_before=sa.bindparam("now", type_=MOMENT))
)


def card_id(request_id: str, kind: CardKind, target: str) -> str:
    return f"{request_id}.{kind.value}.{target}"


async def add_cards(tx: Transaction, request_id: str, targets: Sequence[tuple[CardKind, str]]) -> None:
    """Add cards that are not there yet; one per request, kind and target."""
    wanted = {card_id(request_id, kind, target): (kind, target) for kind, target in targets}
    if not wanted:
        return
    known = set((await tx.connection.execute(_KNOWN, {"cards": list(wanted)})).scalars())
    added = [
        {
            "id": name,
            "request_id": request_id,
            "kind": kind,
            "target": target,
            "channel_id": target,
            "ts": "",
            "revision": 1,
            "sent_revision": 0,
            "post_started_at": None,
            "attempts": 0,
            "gone": False,
            "not_before": tx.now,
        }
        for name, (kind, target) in wanted.items()
        if name not in known
    ]
    if added:
        await tx.connection.execute(_ADD, added)
        tx.cards_wait()


async def read(tx: Transaction, name: str) -> Card:
    row = (await tx.connection.execute(_CARD, {"card": name})).one_or_none()
    if row is None:
        raise _no_card(name)
    return to_card(row)


async def claim_dirty_cards(tx: Transaction, *, limit: int, claim_seconds: float) -> list[Card]:
    """The longest waiting dirty cards, with what was last known of them; nobody else gets them until the claim ends."""
    cards = [to_card(row) for row in await tx.connection.execute(_DUE, {"now": tx.now, "most": limit})]
    if cards:
        until = tx.now + timedelta(seconds=claim_seconds)
        await tx.connection.execute(_CLAIM, {"cards": [card.id for card in cards], "until": until})
    return cards


async def note_post_started(tx: Transaction, name: str, at: datetime) -> None:
    await _put(tx, name, {"post_started_at": at})


async def note_not_posted(tx: Transaction, name: str) -> None:
    """The post that was begun was refused: there is no message to look for."""
    await _put(tx, name, {"post_started_at": None})


async def card_posted(tx: Transaction, name: str, *, channel_id: str, ts: str, revision: int) -> None:
    await _sent(tx, name, revision, {"channel_id": channel_id, "ts": ts})


async def card_sent(tx: Transaction, name: str, revision: int) -> None:
    await _sent(tx, name, revision, {})


async def _sent(tx: Transaction, name: str, revision: int, columns: JSON) -> None:
    row = await _put(tx, name, {"newer": revision, "not_before": tx.now, **columns}, by=_PUT_SENT)
    if row.revision > row.sent_revision:
        tx.cards_wait()


async def card_failed(tx: Transaction, name: str, *, gone: bool, retry_at: datetime | None) -> None:
    await _put(tx, name, {"gone": gone, "not_before": retry_at or tx.now}, by=_COUNT_FAILURE)


async def redirect(tx: Transaction, name: str, target: str) -> None:
    """Give the card up and add one of its kind for `target`: both at once, or a crash in between would leave nobody with a card."""
    row = await _put(tx, name, {"gone": True})
    await add_cards(tx, row.request_id, [(CardKind(row.kind), target)])


async def put_off(tx: Transaction, name: str, until: datetime) -> None:
    """It was not its turn yet. That is no failure, so what fails later is tried again as soon as ever."""
    await _put(tx, name, {"not_before": until})


async def release_claims(tx: Transaction) -> None:
    """Forget claims and pauses: their holders are known to be dead (one process per SQLite file)."""
    await tx.connection.execute(_RELEASE, {"now": tx.now})


async def _put(tx: Transaction, name: str, columns: JSON, *, by: sa.Executable = _PUT) -> sa.Row[Any]:
    """The card as it now stands."""
    row = (await tx.connection.execute(by, {"card": name, **columns})).one_or_none()
    if row is None:
        raise _no_card(name)
    return row


def _no_card(name: str) -> NotFoundError:
    return NotFoundError(f"There is no card {name}.")
