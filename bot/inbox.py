"""Which deliveries were handled, so that a second one is known as such: Slack repeats what it thinks was lost, and what the
company's systems sign carries no time and can be replayed for ever."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete
from sqlmodel import col

from bot.tables import HookDeliveryRow, InboxRow
from bot.transaction import Transaction


async def seen(tx: Transaction, dedupe_key: str, *, request_id: str) -> bool:
    """Record a delivery; True when it was recorded before."""
    if await tx.session.get(InboxRow, dedupe_key) is not None:
        return True
    tx.session.add(InboxRow(dedupe_key=dedupe_key, seen_at=tx.now, request_id=request_id))
    return False


async def forget(tx: Transaction, before: datetime) -> None:
    """Deliveries that old are not repeated any more."""
    await tx.session.execute(delete(InboxRow).where(col(InboxRow.seen_at) < before))


async def heard(tx: Transaction, name: str, delivery: str) -> bool:
    """Record what the system `name` told; True when it was recorded before."""
    if await tx.session.get(HookDeliveryRow, (name, delivery)) is not None:
        return True
    tx.session.add(HookDeliveryRow(name=name, delivery=delivery, received_at=tx.now))
    return False


async def forget_heard(tx: Transaction, before: datetime) -> None:
    """A replay from so long ago makes the bot look once more, and no harm is done."""
    await tx.session.execute(delete(HookDeliveryRow).where(col(HookDeliveryRow.received_at) < before))
