"""Single rows before an acknowledgement: the same answer as the ordinary way, for many at once, and after a lost connection."""

from __future__ import annotations

import asyncio

from database import Clock, PostgreSQL
from requests_made import SUBJECT

from bot.domain import Service
from bot.records import Record, apply_record
from bot.store import Store
from bot.transaction import Transaction

NAMES = [f"service-{n}" for n in range(20)]


async def add(store: Store, clock: Clock) -> list[Service]:
    services = [
        Service(
            name=name,
            team="orders",
            golden_path="python-service",
            description="“naïve” text",
            database="none",
            repository_url=f"https://git.example.com/{name}",
            web_url="",
            created_by="U1",
            created_at=clock.now,
            request_id="r0",
        )
        for name in NAMES
    ]

    async def work(tx: Transaction) -> None:
        for service in services:
            await apply_record(tx, SUBJECT, Record(service=service))

    await store.write(work)
    return services


async def test_many_who_ask_at_once_each_get_the_service_as_the_list_has_it(
    store: Store, clock: Clock
) -> None:
    services = await add(store, clock)

    found = await asyncio.gather(*(store.find_service(name) for name in [*NAMES, "nope"]))

    assert found == [*services, None]
    assert sorted(services, key=lambda one: one.name) == list(await store.list_services(limit=50))


async def test_what_was_written_is_seen_at_once(store: Store, clock: Clock) -> None:
    assert await store.find_service(NAMES[0]) is None

    await add(store, clock)

    assert await store.find_service(NAMES[0]) is not None


async def test_who_stops_waiting_leaves_the_next_one_their_answer(store: Store, clock: Clock) -> None:
    await add(store, clock)
    waiting = [asyncio.create_task(store.find_service(name)) for name in NAMES]
    await asyncio.sleep(0)
    for one in waiting[::2]:
        one.cancel()

    found = await asyncio.gather(*waiting, return_exceptions=True)

    assert [one.name for one in found if isinstance(one, Service)][-1] == NAMES[-1]
    assert (await asyncio.gather(*(store.find_service(name) for name in NAMES))).count(None) == 0


async def test_nobody_hears_of_a_server_that_was_started_again(postgresql: PostgreSQL, clock: Clock) -> None:
    async with Store.open(postgresql.create(), clock=clock) as store:
        await add(store, clock)
        await store.find_service(NAMES[0])
        # While the loop stands still, so that the bot cannot have noticed when it asks.
        postgresql.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname LIKE 'test_%'"
        )

        assert await store.find_service(NAMES[0]) is not None
