"""Status: everything at a glance, quickly, and "unknown" for what could not be asked."""

from __future__ import annotations

import time

import pytest
from memory_world import temporary
from stage import Stage, request_id

from integrations.ports import Claim, Health, Phase
from playground.actor import buttons

ACKNOWLEDGED_SECONDS = 3.0


def offered(house: Stage, who: str, channel: str = "#orders") -> list[str]:
    return [one["text"]["text"] for one in buttons(house.person(who).ephemerals(channel)[-1])]


async def test_one_look_shows_environments_infrastructure_and_open_requests(house: Stage) -> None:
    await house.create("orders", db="postgresql")
    await house.released("orders")
    first = house.world.head("orders")
    second = house.world.push("orders", "Add a page")
    card = await house.promote("orders")

    said = await house.types("omar", "/platform status orders")
    assert f"*Staging* · `{second[:7]}` · healthy · synced" in said
    assert f"*Production* · `{first[:7]}` · healthy · synced" in said
    assert "by <@UALICE0001>" in said
    assert "postgresql `orders-staging-db` in staging · ready" in said
    assert "postgresql `orders-production-db` in production · ready" in said
    assert f"`{request_id(card)}` *Promote orders to production*" in said
    assert "Owner *orders*" in said


async def test_unhealthy_is_said_with_its_reason(house: Stage) -> None:
    await house.create("orders")
    house.world.push("orders", "Break it", health=Health.DEGRADED)
    said = await house.types("alice", "/platform status orders")
    assert "· degraded ·" in said
    assert "_orders-staging is degraded_" in said


async def test_words_of_a_backend_stay_text(house: Stage) -> None:
    await house.create("orders")
    house.world.claims["c", "staging"] = Claim(
        "c",
        "postgresql",
        "orders",
        "staging",
        Phase.PENDING,
        message="<!channel> & <http://evil.example|here>",
    )
    said = await house.types("alice", "/platform status orders")
    assert "&lt;!channel&gt; &amp; &lt;http://evil.example|here&gt;" in said


@pytest.mark.parametrize("trouble", ["down", "hanging"])
async def test_a_backend_that_cannot_be_asked_is_unknown_with_what_was_last_known(
    house: Stage, trouble: str
) -> None:
    await house.create("orders")
    await house.released("orders")
    head = house.world.head("orders")
    call = "delivery.get_application:production"
    if trouble == "down":
        house.world.fail(call, temporary("connection refused"))
    else:
        house.world.slow(call, 60)

    begun = time.monotonic()
    sent = await house.person("alice").command("#orders", "/platform status orders")
    assert sent.ok
    assert time.monotonic() - begun < ACKNOWLEDGED_SECONDS
    said = await house.told("alice", "*Production* · unknown")
    assert time.monotonic() - begun < ACKNOWLEDGED_SECONDS

    why = "connection refused" if trouble == "down" else "no answer within 2 s"
    assert f"_{why}_" in said
    assert f"Last known: `{head[:7]}`" in said
    assert "*Staging* · " in said
    assert "healthy · synced" in said
    assert said.count("healthy") == said.count("healthy · synced") + said.count("staging healthy")


async def test_all_backends_hanging_take_no_longer_than_one(house: Stage) -> None:
    await house.create("orders")
    for call in ("delivery.get_application", "infrastructure.list_claims"):
        house.world.slow(call, 60)
    begun = time.monotonic()
    assert "Asking the backends…" in await house.types("alice", "/platform status orders")
    said = await house.told("alice", "*Infrastructure* · unknown")
    assert time.monotonic() - begun < ACKNOWLEDGED_SECONDS
    assert "*Staging* · unknown" in said
    assert "*Production* · unknown" in said
    assert "Nothing was known before." in said


async def test_buttons_are_what_this_person_may_do(house: Stage) -> None:
    await house.create("orders")
    await house.types("alice", "/platform status orders")
    assert offered(house, "alice") == ["Promote to production", "Refresh"]
    await house.released("orders")
    await house.types("alice", "/platform status orders")
    assert offered(house, "alice") == ["Promote to production", "Roll back production", "Refresh"]
    await house.types("paul", "/platform status orders", channel="#payments")
    assert offered(house, "paul", "#payments") == ["Refresh"]


async def test_a_request_is_shown_by_its_number(house: Stage) -> None:
    await house.create("orders")
    card = await house.promote("orders")
    said = await house.types("omar", f"/platform status {request_id(card).upper()}")
    assert "waiting for approval" in said
    assert "Promote orders to production" in said


async def test_a_service_whose_name_looks_like_a_number_is_shown_too(house: Stage) -> None:
    await house.create("r-orders")
    assert "*Staging*" in await house.types("alice", "/platform status r-orders")


async def test_without_argument_it_shows_my_services_and_what_waits_for_me(house: Stage) -> None:
    assert "Nothing waits for you" in await house.types("alice", "/platform status")
    await house.create("orders")
    card = await house.promote("orders")

    mine = await house.types("alice", "/platform status")
    assert "Your open requests" in mine
    assert "Waits for you" not in mine
    assert "*orders* · orders · `/platform status orders`" in mine

    hers = await house.types("lena", "/platform status")
    assert "Waits for you" in hers
    assert request_id(card) in hers

    theirs = await house.types("priya", "/platform status", channel="#payments")
    assert "Waits for you" not in theirs
    assert "*orders*" not in theirs
