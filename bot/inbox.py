"""Which deliveries were handled, so that a second one is known as such: Slack repeats what it thinks was lost, and what the
company's systems sign carries no time and can be replayed for ever."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from bot.tables import HOOK_DELIVERIES, INBOX
from bot.transaction import Transaction

_SEEN = sa.select(INBOX.c.dedupe_key).where(INBOX.c.dedupe_key == sa.bindparam("delivery"))
_SEE = sa.insert(INBOX)
_FORGET = sa.delete(INBOX).where(INBOX.c.seen_at < sa.bindparam("before"))
_HEARD = sa.select(HOOK_DELIVERIES.c.delivery).where(
    HOOK_DELIVERIES.c.name == sa.bindparam("by"), HOOK_DELIVERIES.c.delivery == sa.bindparam("delivery")
)
_HEAR = sa.insert(HOOK_DELIVERIES)
_FORGET_HEARD = sa.delete(HOOK_DELIVERIES).where(HOOK_DELIVERIES.c.received_at < sa.bindparam("before"))


async def seen(tx: Transaction, dedupe_key: str, *, request_id: str) -> bool:
    """Record a delivery; True when it was recorded before."""
    if (await tx.connection.execute(_SEEN, {"delivery": dedupe_key})).first() is not None:
        return True
    await tx.connection.execute(_SEE, {"dedupe_key": dedupe_key, "seen_at": tx.now, "request_id": request_id})
    return False


async def forget(tx: Transaction, before: datetime) -> None:
    """Deliveries that old are not repeated any more."""
    await tx.connection.execute(_FORGET, {"before": before})


async def heard(tx: Transaction, name: str, delivery: str) -> bool:
    """Record what the system `name` told; True when it was recorded before."""
    if (await tx.connection.execute(_HEARD, {"by": name, "delivery": delivery})).first() is not None:
        return True
    await tx.connection.execute(_HEAR, {"name": name, "delivery": delivery, "received_at": tx.now})
    return False


async def forget_heard(tx: Transaction, before: datetime) -> None:
    """A replay from so long ago makes the bot look once more, and no harm is done."""
    await tx.connection.execute(_FORGET_HEARD, {"before": before})
