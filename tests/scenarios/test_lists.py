"""Lists and who-am-I: requests, services, golden paths, the audit trail, and what each kind of person may do."""

from __future__ import annotations

import re

import pytest
from memory_world import now
from requests_made import new_request
from sqlalchemy import insert
from stage import Stage, request_id

from bot.rows import fragments
from bot.tables import FRAGMENTS, SERVICES
from playground.actor import buttons, view_text


async def _requests(house: Stage, count: int) -> None:
    for number in range(count):
        await house.bot.store.open_request(
            new_request(f"r-{number:07}", requester="UALICE0001", service=f"svc-{number}", team="orders")
        )


async def test_no_request_is_said_in_a_sentence(house: Stage) -> None:
    assert "No request is open." in await house.types("alice", "/platform requests")
    assert "No request of yours is open." in await house.types("alice", "/platform requests --mine")
    assert "No request is waiting for approval." in await house.types("lena", "/platform requests --pending")


async def test_requests_are_listed_as_mine_pending_and_all(house: Stage) -> None:
    created = await house.create("orders")
    card = await house.promote("orders", who="omar")
    assert request_id(card) in await house.types("alice", "/platform requests")
    assert request_id(card) in await house.types("lena", "/platform requests --pending")
    assert "No request of yours" in await house.types("alice", "/platform requests --mine")
    everything = await house.types("alice", "/platform requests --mine --all")
    assert request_id(created) in everything
    assert request_id(card) not in everything


async def test_requests_are_paged_without_losing_or_repeating_one(house: Stage) -> None:
    await _requests(house, 33)
    seen: list[str] = []
    line = "/platform requests --mine"
    for _ in range(3):
        said = await house.types("alice", line)
        seen += dict.fromkeys(re.findall(r"r-\d{7}", said.split("Older:")[0]))
        older = re.search(r"Older: `(/platform [^`]+)`", said)
        line = older.group(1) if older else ""
    assert line == ""
    assert seen == [f"r-{number:07}" for number in reversed(range(33))]


async def test_services_are_found_by_part_of_a_name_a_description_or_a_team(house: Stage) -> None:
    await house.create("orders")
    await house.create("billing")
    said = await house.types("noel", "/platform services", channel="#platform")
    assert "*billing* · orders · python-service" in said
    assert "*orders*" in said
    assert "*orders* · orders" not in await house.types("alice", "/platform services bill")
    said = await house.types("alice", "/platform services <!channel> nothing")
    assert "There is no service with “&lt;!channel&gt; nothing” yet." in said


async def test_services_are_paged(house: Stage) -> None:
    for number in range(23):
        await _service(house, f"svc-{number:02}")
    first = await house.types("alice", "/platform services svc")
    assert "*svc-19*" in first
    assert "*svc-20*" not in first
    more = re.search(r"More: `(/platform [^`]+)`", first)
    assert more
    second = await house.types("alice", more.group(1))
    assert "*svc-20*" in second
    assert "*svc-22*" in second
    assert "*svc-19*" not in second


async def _service(house: Stage, name: str) -> None:
    """A service of an earlier day, straight into the rows."""
    values = {
        "name": name,
        "team": "orders",
        "golden_path": "python-service",
        "description": "",
        "database": "none",
        "repository_url": "",
        "web_url": "",
        "created_by": "UALICE0001",
        "created_at": now(),
        "request_id": "r-1",
        "search_text": name,
    }
    async with house.bot.store.engine.begin() as connection:
        await connection.execute(insert(SERVICES).values(**values))
        found = [{"fragment": one, "service": name} for one in fragments(name)]
        await connection.execute(insert(FRAGMENTS).values(found))


async def test_golden_paths_are_listed_with_what_they_ask_and_a_button(house: Stage) -> None:
    said = await house.types("alice", "/platform templates")
    assert "*python-service* · Python service" in said
    assert "Databases: none, postgresql, redis" in said
    assert "Also asks: python_version (3.11, 3.12), greeting" in said
    assert ":warning: cannot run on this machine: go is not installed" in said
    alice = house.person("alice")
    await alice.click(
        alice.ephemerals("#orders")[-1], "Use this golden path", block_id="template:node-service"
    )
    await alice.wait_for_view("Create a service")
    await alice.submit({"name": "pages", "team": "orders"})
    card = await house.card("alice", "#orders", "Create service pages")
    assert "Node service for team orders" in house.says(card)


async def test_who_may_not_create_is_offered_no_golden_path(house: Stage) -> None:
    await house.types("noel", "/platform templates", channel="#platform")
    assert not buttons(house.person("noel").ephemerals("#platform")[-1])


# ---------------------------------------------------------------- the audit trail


async def test_the_trail_says_who_did_what_and_is_filtered(house: Stage) -> None:
    await house.create("orders")
    await house.create("billing")
    await house.released("orders")
    said = await house.types("alice", "/platform audit --service orders")
    assert "<@ULENA00001> · *request.approved* · orders production" in said
    assert "billing" not in said
    hers = await house.types("alice", "/platform audit --person @lena")
    assert "request.approved" in hers
    assert "request.opened" not in hers
    assert "Chain head of this page" in hers


async def test_the_trail_is_paged_and_bounded_in_time(house: Stage) -> None:
    await house.create("orders")
    await house.create("billing")
    first = await house.types("alice", "/platform audit --steps")
    before = re.search(r"--before (\d+)", first)
    assert before
    second = await house.types("alice", f"/platform audit --steps --before {before.group(1)}")
    assert "request.opened" in second
    numbers = [int(one) for one in re.findall(r"`(\d+)` <!date", first + second)]
    assert sorted(set(numbers), reverse=True) == list(range(max(numbers), 0, -1))
    house.clock.advance(days=2)
    assert "Nothing happened in the last 12h that fits." in await house.types(
        "alice", "/platform audit --since 12h"
    )


async def test_a_span_that_is_none_opens_the_form(house: Stage) -> None:
    alice = house.person("alice")
    await alice.command("#orders", "/platform audit --since yesterday")
    await alice.wait_for_view("Show who did what")
    await alice.submit({"since": "7d"})
    assert "Nothing happened in the last 7d" in view_text(alice.view)


async def test_who_holds_no_right_to_the_trail_is_told_who_does(house: Stage) -> None:
    said = await house.types("noel", "/platform audit", channel="#platform")
    assert "You belong to no team of Acme Platform, so you may look but not" in said


# ---------------------------------------------------------------- who am I


@pytest.mark.parametrize(
    ("who", "channel", "expected"),
    [
        ("alice", "#orders", ["*Orders*: Developer", "create services", "promote to production"]),
        ("omar", "#orders", ["*Orders*: Senior developer"]),
        ("lena", "#orders", ["*Orders*: Team lead", "approve for production"]),
        ("priya", "#payments", ["*Payments*: Team lead"]),
        ("sam", "#platform", ["*Platform admin* everywhere"]),
        ("noel", "#platform", ["You belong to no team, so you may look but not change anything."]),
        ("quinn", "#platform", ["<@WQUINN0001>", "You belong to no team"]),
        ("grace", "#orders", ["You are a guest in this workspace"]),
        ("mia", "#orders", ["You are a guest in this workspace"]),
    ],
)
async def test_everybody_learns_what_they_may_do(
    house: Stage, who: str, channel: str, expected: list[str]
) -> None:
    said = await house.types(who, "/platform whoami", channel=channel)
    for words in expected:
        assert words in said
    assert ("approve for" in said) == (who in {"lena", "priya"})


async def test_a_new_member_of_a_group_may_at_once_what_it_may(house: Stage) -> None:
    assert "belong to no team" in await house.types("noel", "/platform whoami", channel="#platform")
    house.playground.add_to_group("payments", "noel")
    await house.playground.until(
        lambda: any(one.acknowledged for one in house.playground.deliveries("subteam_members_changed")),
        what="the bot hears of it",
    )
    assert "*Payments*: Developer" in await house.types("noel", "/platform whoami", channel="#platform")
