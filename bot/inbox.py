"""Which deliveries were handled, so that a second one (Slack repeats what it thinks was lost) is known as such."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete
from sqlmodel import col

from bot.tables import InboxRow
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
