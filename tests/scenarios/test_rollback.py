"""Rolling back: at once where a policy says so, else by approval; and what refuses it."""

from __future__ import annotations

from stage import Stage

from playground.actor import view_text


async def _two_releases(house: Stage) -> tuple[str, str]:
    """Revisions of production: the one before, and the one that runs."""
    await house.create("orders")
    await house.released("orders")
    first = house.world.head("orders")
    second = house.world.push("orders", "Add a page")
    await house.released("orders")
    return first, second


def running(house: Stage) -> str:
    revision = house.world.apps["orders", "production"].revision or ""
    return house.world.repos["orders"].carried.get(revision, revision)


async def test_a_senior_goes_back_to_a_known_good_revision_at_once_by_a_named_policy(house: Stage) -> None:
    first, second = await _two_releases(house)
    card = await house.asks("omar", "/platform rollback orders", "Roll back orders in production")
    said = house.says(card)
    assert f"From {second[:7]} back to {first[:7]}." in said
    assert "was healthy in production before, so no approval is waited for." in said
    assert "by the policy `emergency-rollback`" in said
    assert "Add a page" in said
    assert house.labels(card) == ["Roll back", "Cancel"]
    assert running(house) == second

    await house.person("omar").click(card, "Roll back")
    await house.until_shown(card, "done")
    assert running(house) == first
    announced = await house.card("omar", "#deploys", "orders ⟲ production")
    await house.until_shown(announced, "deployed")


async def test_a_developer_waits_for_approval(house: Stage) -> None:
    first, second = await _two_releases(house)
    card = await house.asks("alice", "/platform rollback orders", "Roll back orders in production")
    await house.person("alice").click(card, "Roll back")
    await house.until_shown(card, "waiting for approval")
    assert running(house) == second
    await house.person("lena").click(card, "Approve")
    await house.until_shown(card, "done")
    assert running(house) == first


async def test_a_revision_that_was_never_healthy_there_waits_for_approval_of_a_senior_too(
    house: Stage,
) -> None:
    await _two_releases(house)
    third = house.world.push("orders", "Never released")
    line = f"/platform rollback orders --to {third[:8]}"
    card = await house.asks("omar", line, "Roll back orders in production")
    assert "emergency-rollback" not in house.says(card)
    assert "needs approval by the leads of Orders" in house.says(card)


async def test_nothing_to_go_back_to(house: Stage) -> None:
    await house.create("orders")
    said = await house.types("omar", "/platform rollback orders")
    assert "`orders` runs nothing in production." in said
    await house.released("orders")
    said = await house.types("omar", "/platform rollback orders")
    assert "there is nothing to go back to" in said


async def test_staging_is_not_rolled_back_but_reverted_by_a_push(house: Stage) -> None:
    await house.create("orders")
    omar = house.person("omar")
    await omar.command("#orders", "/platform rollback orders --environment staging")
    view = await omar.wait_for_view("Roll a service back")
    assert "Push there (or `git revert`), and it is deployed at once." in view_text(view)


async def test_what_runs_already_is_no_goal(house: Stage) -> None:
    _, second = await _two_releases(house)
    said = await house.types("omar", f"/platform rollback orders --to {second[:8]}")
    assert "is what runs already" in said


async def test_who_is_not_in_the_team_may_not(house: Stage) -> None:
    await _two_releases(house)
    said = await house.types("paul", "/platform rollback orders", channel="#payments")
    assert "You may not roll back in production for team Orders" in said


async def test_after_a_rollback_the_next_promotion_starts_from_there(house: Stage) -> None:
    first, second = await _two_releases(house)
    card = await house.asks("omar", "/platform rollback orders", "Roll back orders in production")
    await house.person("omar").click(card, "Roll back")
    await house.until_shown(card, "done")
    card = await house.promote("orders")
    assert f"{second[:7]} from staging, instead of {first[:7]}." in house.says(card)
    await house.person("lena").click(card, "Approve")
    await house.until_shown(card, "done")
    assert running(house) == second
