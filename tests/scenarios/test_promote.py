"""Promoting: the exact plan, what refuses it, what happens when it degrades, and what #deploys is told."""

from __future__ import annotations

import pytest
from memory_world import temporary
from stage import Stage, request_id

from integrations.ports import Health
from playground.actor import shown_text
from playground.messages import Message


async def _in_production(house: Stage) -> str:
    """A service with one approved promotion behind it; the revision that runs."""
    await house.create("orders")
    await house.released("orders")
    return house.world.head("orders")


def deploys(house: Stage) -> list[Message]:
    return house.playground.app_messages("#deploys")


async def the_failures_reply(house: Stage) -> Message:
    """In the thread under its deployment's notification, as soon as it is there."""

    def look() -> Message | None:
        return next((one for one in deploys(house) if one.thread_ts not in {None, one.ts}), None)

    reply = await house.playground.until(look, timeout_seconds=house.patience_seconds, what="the reply")
    assert reply is not None
    return reply


# ---------------------------------------------------------------- the plan


async def test_the_plan_names_commits_with_authors_files_and_gates(house: Stage) -> None:
    first = await _in_production(house)
    house.world.push("orders", "Add a page", files=("app.py", "k8s/overlays/production/patch.yaml"))
    head = house.world.push("orders", "Mend the page", author="Paul Petit", email="paul@example.com")

    said = house.says(await house.promote("orders"))
    assert f"{head[:7]} from staging, instead of {first[:7]}." in said
    assert "*2 commits*" in said
    assert "Add a page · Omar Osman" in said
    assert "Mend the page · Paul Petit" in said
    assert "2 files: `app.py`, `k8s/overlays/production/patch.yaml`" in said
    assert "Manifests change: k8s/overlays/production/patch.yaml." in said
    assert f"{head[:7]} is healthy in staging." in said
    assert "A change in production needs approval by the leads of Orders." in said


async def test_the_requester_is_told_where_the_card_is(house: Stage) -> None:
    await house.create("orders")
    said = await house.types("alice", "/platform promote orders", channel="#platform")
    assert "waits for approval: its card is in <#CORDERS001>." in said
    await house.card("lena", "#orders", "Promote orders to production")
    await house.card("lena", "app", "Promote orders to production")


@pytest.mark.parametrize("name", ["v1", "hash", "short"])
async def test_a_version_is_named_by_tag_or_hash(house: Stage, name: str) -> None:
    await house.create("orders")
    wanted = house.world.push("orders", "Add a page")
    house.world.push("orders", "Half done")
    house.world.repos["orders"].tags["v1"] = wanted
    version = {"v1": "v1", "hash": wanted, "short": wanted[:8]}[name]
    card = await house.asks("alice", f"/platform promote orders --version {version}", "Promote orders")
    assert f"{wanted[:7]} from staging" in house.says(card)


async def test_a_version_that_does_not_exist_opens_the_form(house: Stage) -> None:
    await house.create("orders")
    alice = house.person("alice")
    await alice.command("#orders", "/platform promote orders --version v9")
    await alice.wait_for_view("Promote a service")
    assert "“v9”" in shown_text(Message(ts="", channel="", user="", text="", blocks=alice.view.blocks))


async def test_a_version_that_was_never_healthy_is_refused(house: Stage) -> None:
    await house.create("orders")
    bad = house.world.push("orders", "Break it", health=Health.DEGRADED)
    house.world.push("orders", "Mend it")
    said = await house.types("alice", f"/platform promote orders --version {bad[:8]}")
    assert f"{bad[:7]} is degraded in staging, and only what is healthy there may go on." in said


async def test_unhealthy_staging_refuses_and_says_how_to_go_on(house: Stage) -> None:
    await house.create("orders")
    bad = house.world.push("orders", "Break it", health=Health.DEGRADED)
    said = await house.types("alice", "/platform promote orders")
    assert f"{bad[:7]} is degraded in staging" in said
    assert "/platform status orders shows why." in said


async def test_what_runs_already_is_not_promoted(house: Stage) -> None:
    head = await _in_production(house)
    said = await house.types("alice", "/platform promote orders")
    assert f"production runs {head[:7]} already; nothing would change." in said


async def test_staging_is_reached_by_pushing_only(house: Stage) -> None:
    await house.create("orders")
    alice = house.person("alice")
    await alice.command("#orders", "/platform promote orders --to staging")
    view = await alice.wait_for_view("Promote a service")
    assert "Staging follows the branch main by itself." in view.blocks[0]["elements"][0]["text"]


async def test_a_second_request_finds_the_first(house: Stage) -> None:
    await house.create("orders")
    card = await house.promote("orders")
    said = await house.types("omar", "/platform promote orders")
    assert f"There is an open request for this already: `{request_id(card)}`" in said
    assert "by <@UALICE0001>" in said


async def test_a_backend_that_is_away_for_a_moment_is_asked_again(house: Stage) -> None:
    await house.create("orders")
    house.world.fail("code_host.compare", temporary(retry_after_seconds=0.01), times=2)
    await house.promote("orders")


async def test_a_backend_that_stays_away_is_named_and_is_no_refusal_of_the_person(house: Stage) -> None:
    await house.create("orders")
    house.world.fail("code_host.compare", temporary("503 <!channel>", retry_after_seconds=0.01), times=9)
    said = await house.types("alice", "/platform promote orders")
    assert "the backend could not be asked, so there is no plan: 503 &lt;!channel&gt;" in said
    house.world.mend()
    await house.promote("orders")


# ---------------------------------------------------------------- what changed meanwhile


async def test_an_old_revision_is_not_run_when_staging_has_moved_on(house: Stage) -> None:
    await _in_production(house)
    old = house.world.push("orders", "Add a page")
    card = await house.promote("orders")
    new = house.world.push("orders", "Add another")
    await house.person("lena").click(card, "approve")

    await house.until_shown(card, "The plan changed, so it was not run.")
    said = house.says(card)
    assert f"source revision: {new[:7]} (before: {old[:7]})" in said
    assert "Earlier approvals no longer count." in said
    assert house.labels(card) == ["Approve", "Deny…", "Cancel request"]
    assert house.world.repos["orders"].releases["release"].revision not in (old, new)

    await house.person("lena").click(card, "Approve")
    await house.until_shown(card, "done")
    assert house.world.repos["orders"].releases["release"].revision == new


async def test_production_that_moved_meanwhile_asks_again(house: Stage) -> None:
    first = await _in_production(house)
    second = house.world.push("orders", "Add a page")
    third = house.world.push("orders", "Add another")
    card = await house.promote("orders")
    await house.bot.backends.code_host.move_release(
        "orders", "release", revision=second, expected=first, request_id="by-hand"
    )
    house.world.run(house.world.apps["orders", "production"], second, by="somebody")
    await house.person("lena").click(card, "approve")
    await house.until_shown(card, f"target revision: {second[:7]} (before: {first[:7]})")
    assert "commits: 2 before, 1 now" in house.says(card)
    assert house.world.apps["orders", "production"].revision == second
    await house.person("lena").click(card, "approve")
    await house.until_shown(card, "done")
    assert house.world.apps["orders", "production"].revision == third


async def test_staging_that_degraded_meanwhile_refuses_the_run(house: Stage) -> None:
    await house.create("orders")
    head = house.world.head("orders")
    card = await house.promote("orders")
    house.world.fares("staging", head, Health.DEGRADED)
    await house.person("lena").click(card, "approve")
    await house.until_shown(card, "refused")
    assert f"{head[:7]} is degraded in staging" in house.says(card)
    assert house.labels(card) == []
    await house.card("alice", "app", "was not run")


async def test_a_click_on_buttons_of_the_old_plan_approves_nothing(house: Stage) -> None:
    await _in_production(house)
    house.world.push("orders", "Add a page")
    card = await house.promote("orders")
    block = next(one["block_id"] for one in card.blocks or [] if one["type"] == "actions")
    house.world.push("orders", "Add another")
    lena = house.person("lena")
    await lena.click(card, "approve")
    await house.until_shown(card, "The plan changed")

    await lena.click(card, "approve", block_id=block)
    await house.told("lena", "The plan changed since you last saw it, so nothing was approved.")
    assert (await house.request(card)).state == "awaiting"
    # What she is shown has the buttons of the plan in force.
    await lena.click(lena.ephemerals("#orders")[-1], "Approve")
    await house.until_shown(card, "done")


async def test_typing_approve_after_the_plan_changed_shows_the_plan_first(house: Stage) -> None:
    await _in_production(house)
    house.world.push("orders", "Add a page")
    card = await house.promote("orders")
    new = house.world.push("orders", "Add another")
    lena = house.person("lena")
    await lena.click(card, "approve")
    await house.until_shown(card, "The plan changed")

    said = await house.types("lena", f"/platform approve {request_id(card)}")
    assert "nothing was approved. This is the plan now:" in said
    assert f"{new[:7]} from staging" in said
    assert (await house.request(card)).state == "awaiting"
    await lena.click(lena.ephemerals("#orders")[-1], "Approve")
    await house.until_shown(card, "done")


# ---------------------------------------------------------------- degraded


async def test_a_degraded_promotion_goes_back_by_itself_and_is_said_loudly(house: Stage) -> None:
    good = await _in_production(house)
    bad = house.world.push("orders", "Break production")
    house.world.fares("production", bad, Health.DEGRADED)
    card = await house.promote("orders")
    await house.person("lena").click(card, "approve")
    await house.until_shown(card, ":leftwards_arrow_with_hook: undone")

    assert house.world.repos["orders"].releases["release"].revision == good
    running = house.world.apps["orders", "production"].revision
    assert house.world.repos["orders"].carried.get(running or "", running) == good
    assert f"{bad[:7]} is degraded in production" in house.says(card)

    reply = await the_failures_reply(house)
    announced = next(one for one in deploys(house) if one.ts == reply.thread_ts)
    await house.until_shown(announced, "rolled back")
    assert "orders → production failed" in shown_text(reply)
    await house.until_shown(reply, "The last good revision runs again.")
    await house.card("alice", "app", "failed and was undone")


async def test_a_first_promotion_that_degrades_leaves_nothing_and_does_not_claim_otherwise(
    house: Stage,
) -> None:
    await house.create("orders")
    house.world.fares("production", house.world.head("orders"), Health.DEGRADED)
    card = await house.promote("orders")
    await house.person("lena").click(card, "approve")
    await house.until_shown(card, ":leftwards_arrow_with_hook: undone")
    await house.card("lena", "#deploys", "failed")
    reply = await the_failures_reply(house)
    await house.until_shown(reply, "Nothing runs there, as before.")
    assert "last good revision" not in house.says(reply)
    assert ("orders", "production") not in house.world.apps


async def test_deploys_gets_one_message_that_is_edited_while_it_runs(house: Stage) -> None:
    await house.create("orders")
    head = house.world.head("orders")
    house.world.fares("production", head, Health.PROGRESSING)
    card = await house.promote("orders")
    assert deploys(house) == []
    await house.person("lena").click(card, "approve")
    announced = await house.card("lena", "#deploys", "deploying")
    await house.until_shown(announced, "readiness is progressing")
    house.world.fares("production", head, Health.HEALTHY)
    await house.until_shown(announced, ":white_check_mark: deployed")
    assert "approved by <@ULENA00001>" in house.says(announced)
    assert len(deploys(house)) == 1


async def test_a_deployment_that_never_gets_healthy_stops_and_offers_the_choice(house: Stage) -> None:
    await _in_production(house)
    slow = house.world.push("orders", "Slow start")
    house.world.fares("production", slow, Health.PROGRESSING)
    card = await house.promote("orders")
    await house.person("lena").click(card, "approve")
    await house.until_shown(card, "readiness is progressing")
    house.clock.advance(minutes=20)
    await house.until_shown(card, "stopped, a choice is needed")
    await house.card("lena", "#deploys", "offers *Retry from here* and *Undo*")
    house.world.fares("production", slow, Health.HEALTHY)
    await house.person("alice").click(card, "Retry from here")
    await house.until_shown(card, "done")
