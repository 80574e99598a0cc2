"""A restart in between: rules may have changed, plans may be unmade, runs may be half done."""

from __future__ import annotations

from requests_made import new_request
from stage import OpenStage, Stage

from bot.domain import RequestState
from integrations.ports import Phase

ARGUMENTS = {"name": "orders", "team": "orders", "template": "python-service", "db": "none"}


async def test_a_rule_that_changed_asks_again_and_earlier_approvals_are_void(open_stage: OpenStage) -> None:
    async with open_stage(changes={"environments.1.approval.count": 2}) as house:
        house.playground.add_to_group("orders-leads", "omar")
        await house.create("orders")
        card = await house.promote("orders")
        await house.person("lena").click(card, "Approve")
        await house.until_shown(card, "<@ULENA00001> approved")
        await house.stop()
        await house.start(
            {"environments.1.approval.count": 2, "environments.1.approval.exclude_commit_authors": False}
        )

        await house.person("omar").click(card, "Approve")
        await house.until_shown(card, "The plan changed, so it was not run.")
        assert "rule production-approval" in house.says(card)
        assert ("orders", "production") not in house.world.apps
        assert (await house.request(card)).state is RequestState.AWAITING

        await house.person("lena").click(card, "Approve")
        await house.told("lena", "It still needs 1 more.")
        await house.person("omar").click(card, "Approve")
        await house.until_shown(card, "done")


async def test_a_run_goes_on_where_it_was(house: Stage) -> None:
    house.world.claim_phase = Phase.PENDING
    card = await house.propose("orders", db="postgresql")
    await house.person("alice").click(card, "Create")
    await house.until_shown(card, "postgresql is pending")
    await house.stop()
    house.world.claim_phase = Phase.READY
    await house.start()
    await house.until_shown(card, "done")
    assert house.world.calls.count("code_host.ensure_repository") == 1


async def test_a_request_that_was_recorded_but_not_planned_is_planned(house: Stage) -> None:
    await _recorded(house, ARGUMENTS)
    await house.stop()
    await house.start()
    await house.card("alice", "#orders", "Create service orders")


async def test_the_requester_is_told_when_a_plan_made_later_is_refused(house: Stage) -> None:
    await _recorded(house, {**ARGUMENTS, "db": "redis"})
    house.clock.advance(minutes=2)
    await house.bot.ticker.resume()
    await house.card("alice", "app", "No Redis server is configured here.")


async def _recorded(house: Stage, arguments: dict[str, str]) -> None:
    """What a kill right after the acknowledgement leaves."""
    await house.bot.store.open_request(
        new_request(
            "r-2345678",
            command="create-service",
            active_key="create-service:orders",
            requester="UALICE0001",
            channel_id="CORDERS001",
            environment="",
            arguments=arguments,
        )
    )
