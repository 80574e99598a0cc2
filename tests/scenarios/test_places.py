"""Where cards go: the channel, the team, direct messages; and places the bot cannot reach."""

from __future__ import annotations

from stage import OpenStage, Stage, request_id

from playground.actor import shown_text

LINE = "/platform create-service orders --team orders --template python-service"


async def test_where_the_bot_is_not_the_plan_comes_by_direct_message(house: Stage) -> None:
    await house.person("alice").command("#random", LINE)
    card = await house.card("alice", "app", "Create service orders")
    assert not house.playground.app_messages("#random")
    await house.person("alice").click(card, "Create")
    await house.until_shown(card, "done")


async def test_in_a_private_channel_without_the_bot_too(house: Stage) -> None:
    await house.person("alice").command("#security-incidents", LINE)
    card = await house.card("alice", "app", "Create service orders")
    await house.person("alice").click(card, "Create")
    await house.until_shown(card, "done")
    assert not house.playground.app_messages("#security-incidents")


async def test_in_the_conversation_with_the_app_the_plan_stays_there(house: Stage) -> None:
    await house.person("alice").command("app", LINE)
    card = await house.card("alice", "app", "Create service orders")
    await house.person("alice").click(card, "Create")
    await house.until_shown(card, "done")


async def test_between_two_people_the_plan_comes_to_the_one_who_asked(house: Stage) -> None:
    await house.person("alice").command("@lena", LINE)
    card = await house.card("alice", "app", "Create service orders")
    await house.person("alice").click(card, "Create")
    await house.until_shown(card, "done")


async def test_a_team_channel_that_was_archived_does_not_lose_the_request(open_stage: OpenStage) -> None:
    async with open_stage(changes={"teams.orders.channel": "COLDORD001"}) as house:
        await house.create("orders")
        await house.person("alice").command("#orders", "/platform promote orders")
        card = await house.card("lena", "app", "Promote orders to production")
        mine = await house.card("alice", "app", "Promote orders to production")
        await house.person("lena").click(card, "Approve")
        await house.until_shown(card, "done")
        await house.until_shown(mine, "done")


async def test_a_channel_archived_while_its_card_is_open_stops_nothing(house: Stage) -> None:
    await house.create("orders")
    card = await house.promote("orders")
    copy = await house.card("lena", "app", "Promote orders to production")
    house.playground.archive("#orders")
    await house.person("lena").click(copy, "Approve")
    await house.until_shown(copy, "done")
    assert request_id(card) in shown_text(copy)


async def test_a_deploy_channel_without_the_bot_stops_nothing(open_stage: OpenStage) -> None:
    changes = {"notifications.deployments": {"production": "CRANDOM001"}}
    async with open_stage(changes=changes) as house:
        await house.create("orders")
        card = await house.promote("orders")
        await house.person("lena").click(card, "Approve")
        await house.until_shown(card, "done")
        assert not house.playground.app_messages("#random")


async def test_a_team_may_have_its_own_deploy_channel(open_stage: OpenStage) -> None:
    changes = {"teams.orders.notifications": {"deployments": {"production": "CORDLEADS1"}}}
    async with open_stage(changes=changes) as house:
        await house.create("orders")
        await house.released("orders")
        await house.card("lena", "#orders-leads", "orders → production")
        assert not house.playground.app_messages("#deploys")
