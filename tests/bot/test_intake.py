"""The quick way in: the same rows and the same answers as the ordinary one, whoever arrives at the same moment."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa
from database import Clock
from requests_made import ALICE, new_request

from bot import lifecycle
from bot.store import Store

COLUMNS = sa.text("SELECT * FROM requests ORDER BY id")


async def test_it_writes_what_the_ordinary_way_writes(store: Store, clock: Clock) -> None:
    given = {
        "active_key": "",
        "arguments": {"service": "orders", "note": "“naïve”\0 text"},
        "requester": ALICE,
    }
    quick = await store.open_request(new_request("r1", dedupe_key="one", **given))
    slow = await store.write(
        lambda tx: lifecycle.open_request(tx, new_request("r2", dedupe_key="two", **given))
    )

    async with store.engine.connect() as connection:
        first, second = [dict(row) for row in (await connection.execute(COLUMNS)).mappings()]
    different = {"id", "dedupe_key"}
    assert {name: value for name, value in first.items() if name not in different} == {
        name: value for name, value in second.items() if name not in different
    }
    after, before = await store.list_audit()
    assert (before.event, before.data, before.at) == (after.event, after.data, after.at)
    assert (quick.created, slow.created) == (True, True)
    assert (await store.verify_audit()).ok
    assert clock.now == quick.request.created_at


async def test_of_those_who_ask_for_the_same_at_once_one_is_first(store: Store) -> None:
    opened = await asyncio.gather(
        *(
            store.open_request(new_request(f"r{n}", dedupe_key=f"delivery {n}", active_key="promote:orders"))
            for n in range(20)
        )
    )

    assert sum(one.created for one in opened) == 1
    assert {one.duplicate for one in opened if not one.created} == {"active"}
    assert len({one.request.id for one in opened}) == 1
    found = await store.verify_audit()
    assert (found.ok, found.count) == (True, 1)


async def test_who_stands_beside_a_repetition_is_recorded_all_the_same(store: Store) -> None:
    await store.open_request(new_request("r0", dedupe_key="delivery"))

    opened = await asyncio.gather(
        store.open_request(new_request("r1", dedupe_key="delivery")),
        store.open_request(new_request("r2", dedupe_key="another")),
    )

    assert [(one.created, one.duplicate, one.request.id) for one in opened] == [
        (False, "delivery", "r0"),
        (True, "", "r2"),
    ]
