"""Seeded history is history the store can read, on both databases."""

from __future__ import annotations

from pathlib import Path

from database import Clock, PostgreSQL

from bench import seed
from bot.domain import RequestState
from bot.migrating import migrate
from bot.store import Store


async def test_seeded_history_verifies_and_can_be_decided_about(
    tmp_path: Path, postgresql: PostgreSQL, clock: Clock
) -> None:
    file = tmp_path / "seeded.db"
    migrate(f"sqlite:///{file}")
    seed.fill(file, seed.TINY)
    url = postgresql.create()
    seed.copy(file, url)

    for address in (f"sqlite:///{file}", url):
        async with Store.open(address, clock=clock) as store:
            found = await store.verify_audit()
            waiting = await store.list_requests(only_open=True, limit=100)
            closed = await store.get_request(seed.request_id(0))
            assert (found.ok, found.count) == (True, seed.TINY.events)
            assert {one.state for one in waiting} == {RequestState.AWAITING}
            assert len(waiting) == seed.TINY.open_requests
            assert len(closed.approvals) == 1
            assert len(closed.steps) == 2
            assert await store.find_service(seed.service_name(3)) is not None
            assert await store.claim_dirty_cards() == []
