"""Lists, pages and searches; every test on SQLite and on PostgreSQL."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import sqlalchemy as sa
from database import Clock
from requests_made import ALICE, LENA, SUBJECT, awaiting, ballot, new_request, queued

from bot import queries
from bot.domain import DeploymentRecord, Record, Service
from bot.errors import TemporaryBackendError
from bot.records import apply_record
from bot.rows import searchable
from bot.store import Store
from bot.tables import FRAGMENTS
from bot.transaction import Transaction
from integrations.ports import Entity


async def add_services(store: Store, clock: Clock, *names: str, team: str = "orders") -> None:
    async def add(tx: Transaction) -> None:
        row = SUBJECT
        for name in names:
            service = Service(
                name=name,
                team=team,
                golden_path="python-service",
                description=f"{name.title()} für ÄRGER_100%",
                database="none",
                repository_url="",
                web_url="",
                created_by=ALICE,
                created_at=clock.now,
                request_id="r0",
            )
            await apply_record(tx, row, Record(service=service))

    await store.write(add)


# ---------------------------------------------------------------- requests


async def test_pages_of_requests_show_each_once_newest_first(store: Store, clock: Clock) -> None:
    order = [f"r{n:02}" for n in range(23)]
    for request_id in order:
        await store.open_request(new_request(request_id))
        # Several in the same instant: the id decides their order.
        clock.move(seconds=random.Random(request_id).choice((0, 0, 1)))

    seen: list[str] = []
    while page := await store.list_requests(limit=5, before=seen[-1] if seen else ""):
        seen += [one.id for one in page]
        assert len(page) <= 5

    assert seen == order[::-1]


async def test_requests_are_found_by_who_what_whose_and_whether_open(store: Store, clock: Clock) -> None:
    await store.open_request(new_request("r1", requester=LENA))
    clock.move(seconds=1)
    await store.open_request(new_request("r2", team="payments", service="billing"))
    clock.move(seconds=1)
    closed = await store.open_request(new_request("r3"))
    await store.cancel("r3", actor=ALICE, version=closed.request.version)

    async def ids(**wanted: object) -> list[str]:
        return [one.id for one in await store.list_requests(**wanted)]  # type: ignore[arg-type]

    assert await ids() == ["r3", "r2", "r1"]
    assert await ids(requester=LENA) == ["r1"]
    assert await ids(service="billing") == ["r2"]
    assert await ids(teams=["orders", "payments"], only_open=True) == ["r2", "r1"]


async def test_a_page_costs_the_same_number_of_queries_however_long_it_is(store: Store) -> None:
    for n in range(12):
        await store.decide(f"r{n}", ballot(await awaiting(store, f"r{n}")))

    async def queries(limit: int) -> int:
        count = 0

        def counted(*_: object) -> None:
            nonlocal count
            count += 1

        sa.event.listen(sa.Engine, "before_cursor_execute", counted)
        try:
            page = await store.list_requests(limit=limit)
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", counted)
        assert len(page) == limit
        assert all(len(one.approvals) == 1 for one in page)
        return count

    assert await queries(2) == await queries(12)


async def test_the_open_request_about_something_is_found(store: Store) -> None:
    await store.open_request(new_request("r1", active_key="promote:orders"))

    found = await store.find_active("promote:orders")

    assert found is not None
    assert found.id == "r1"
    assert await store.find_active("promote:billing") is None


# ---------------------------------------------------------------- services, deployments


async def test_services_are_listed_by_name_page_by_page(store: Store, clock: Clock) -> None:
    await add_services(store, clock, "b-2", "b1", "a", "ba", "b-10")

    first = await store.list_services(limit=3)
    second = await store.list_services(limit=3, after=first[-1].name)

    assert [one.name for one in (*first, *second)] == ["a", "b-10", "b-2", "b1", "ba"]


@pytest.mark.parametrize(
    ("text", "found"),
    [("ÄRGER", 2), ("ärger", 2), ("BILL", 1), ("100%", 2), ("%", 2), ("0_%", 0), ("_100", 2), ("'", 0)],
)
async def test_services_are_searched_without_case_and_without_wildcards(
    store: Store, clock: Clock, text: str, found: int
) -> None:
    await add_services(store, clock, "orders", "billing")

    assert len(await store.list_services(text=text)) == found


async def test_any_part_of_a_name_or_description_finds_exactly_the_services_that_have_it(
    store: Store, clock: Clock
) -> None:
    random_ = random.Random(20)
    names = {"".join(random_.choices("ab-", k=random_.randint(1, 40))) for _ in range(60)}
    await add_services(store, clock, *names)
    held = {name: searchable(name, f"{name.title()} für ÄRGER_100%") for name in names}

    for _ in range(150):
        text = random_.choice(sorted(held.values()))
        begin = random_.randrange(len(text))
        part = text[begin : begin + random_.randint(1, 45)]
        part = random_.choice((part, part.upper(), part + "x", part[::-1], f"{part}\0"))

        found = [one.name for one in await store.list_services(text=part, limit=100)]

        looked_for = searchable(part.replace("\0", ""))
        assert found == sorted(name for name, text in held.items() if looked_for in text), part


async def test_a_part_that_many_services_have_is_paged_like_all_of_them(store: Store, clock: Clock) -> None:
    names = [f"svc-{number:03}" for number in range(queries.FEW + 30)]
    await add_services(store, clock, *names, "other")

    seen: list[str] = []
    while page := await store.list_services(text="SVC", limit=50, after=seen[-1] if seen else ""):
        seen += [one.name for one in page]

    assert seen == names
    assert [one.name for one in await store.list_services(text="svc-00", after="svc-007")] == names[8:10]
    assert await store.list_services(text="svc", teams=["payments"]) == []


async def test_a_service_that_was_taken_back_leaves_nothing_to_find(store: Store, clock: Clock) -> None:
    await add_services(store, clock, "orders", "billing")

    async def forget(tx: Transaction) -> None:
        await apply_record(tx, SUBJECT, Record(forget_service="orders"))

    await store.write(forget)

    assert [one.name for one in await store.list_services(text="r")] == ["billing"]
    async with store.engine.connect() as connection:
        known = await connection.scalars(sa.select(FRAGMENTS.c.service).distinct())
        assert known.all() == ["billing"]


async def test_services_are_listed_by_team(store: Store, clock: Clock) -> None:
    await add_services(store, clock, "orders")
    await add_services(store, clock, "billing", team="payments")

    assert [one.name for one in await store.list_services(teams=["payments"])] == ["billing"]
    assert await store.find_service("billing") is not None
    assert await store.find_service("nope") is None


async def test_a_deployment_seen_twice_is_recorded_once(store: Store, clock: Clock) -> None:
    seen = DeploymentRecord(
        service="orders",
        environment="staging",
        revision="a" * 40,
        ref_revision="a" * 40,
        healthy=True,
        deployed_by="",
        deployed_at=clock.now,
    )
    later = replace(seen, revision="b" * 40, deployed_at=clock.move(minutes=1))

    recorded = [await store.record_observed_deployment(one) for one in (seen, later, seen)]

    assert recorded == [True, True, False]
    assert await store.list_deployments("orders", "staging") == [later, seen]
    assert await store.last_deployment("orders", "staging") == later
    assert await store.last_deployment("orders", "production") is None
    assert [one.event for one in await store.list_audit(service="orders")] == ["deployment.observed"] * 2


# ---------------------------------------------------------------- audit


async def test_audit_events_are_found_by_service_person_request_and_time(store: Store, clock: Clock) -> None:
    await queued(store, "r1")
    clock.move(days=1)
    await store.open_request(new_request("r2", requester=LENA, service="billing"))

    async def found(**wanted: object) -> list[int]:
        return [one.sequence for one in await store.list_audit(**wanted)]  # type: ignore[arg-type]

    assert await found() == [3, 2, 1]
    assert await found(service="orders") == [2, 1]
    assert await found(actor=LENA) == [3]
    assert await found(request_id="r1", before=2) == [1]
    assert await found(since=clock.now) == [3]
    assert await found(limit=2) == [3, 2]


# ---------------------------------------------------------------- catalog


async def test_catalog_entities_are_kept_searched_and_removed(store: Store) -> None:
    orders = Entity("orders", "Orders", "Takes ORDERS", "orders", "python-service", links={"repo": "x"})
    await store.put_entity(orders)
    await store.put_entity(Entity("billing", "Billing", "", "payments", "go-service", request_id="r1"))
    await store.put_entity(replace(orders, title="Orders 2"))

    assert await store.find_entity("orders") == replace(orders, title="Orders 2")
    assert [one.name for one in await store.search_entities("", limit=10)] == ["billing", "orders"]
    assert [one.name for one in await store.search_entities("TAKES", limit=10)] == ["orders"]
    assert [one.name for one in await store.search_entities("", limit=1)] == ["billing"]

    await store.delete_entity("orders")
    await store.delete_entity("orders")

    assert await store.find_entity("orders") is None


@pytest.mark.parametrize("text", ["ord\0ers", "\0orders", "orders\0"])
async def test_characters_that_postgresql_cannot_hold_are_looked_for_on_neither(
    store: Store, clock: Clock, text: str
) -> None:
    await add_services(store, clock, "orders", "billing")
    await store.put_entity(Entity("orders", "Orders", "", "orders", "python-service"))
    await store.open_request(new_request("r1", requester=ALICE, service="orders"))

    assert [one.name for one in await store.list_services(text=text)] == ["orders"]
    assert [one.name for one in await store.search_entities(text, limit=10)] == ["orders"]
    assert (await store.find_service(text)) is not None
    assert (await store.find_service("orders\ud800")) is None
    assert (await store.find_entity(text)) is not None
    assert [one.id for one in await store.list_requests(service=text, only_open=True)] == ["r1"]
    assert len(await store.list_audit(service=text, request_id="r\x001")) == 1


async def test_readiness_says_when_the_database_does_not_answer(store: Store) -> None:
    await store.ping()

    def refused(*_: object) -> None:
        raise ConnectionRefusedError("connection refused")

    sa.event.listen(sa.Engine, "begin", refused)
    try:
        with pytest.raises(TemporaryBackendError, match="cannot be reached"):
            await store.ping()
    finally:
        sa.event.remove(sa.Engine, "begin", refused)
