"""Who may decide, who may not and what they are told; and that exactly one decision exists."""

from __future__ import annotations

import asyncio

import pytest
from stage import OpenStage, Stage, request_id

from playground.actor import shown_text, view_text
from playground.messages import Message


async def _asked(house: Stage, *, who: str = "alice") -> Message:
    await house.create("orders")
    return await house.promote("orders", who=who)


async def _nothing_decided(house: Stage, card: Message) -> None:
    request = await house.request(card)
    assert request.state == "awaiting"
    assert not request.approvals


async def test_the_lead_approves_by_button(house: Stage) -> None:
    card = await _asked(house)
    await house.person("lena").click(card, "Approve")
    await house.told("lena", "You approved")
    await house.until_shown(card, "done")
    assert "<@ULENA00001> approved" in house.says(card)
    assert (await house.events(card)).count("request.approved") == 1


async def test_the_lead_approves_on_the_copy_in_her_messages(house: Stage) -> None:
    card = await _asked(house)
    copy = await house.card("lena", "app", "Promote orders to production")
    await house.person("lena").click(copy, "Approve")
    await house.until_shown(card, "done")
    await house.until_shown(copy, "done")
    assert house.labels(copy) == []


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("alice", "You asked for"),
        ("omar", "is decided by the leads of Orders, and you are not among them."),
        ("sam", "is decided by the leads of Orders, and you are not among them."),
        ("grace", "You are a guest in this workspace"),
        ("mia", "You are a guest in this workspace"),
    ],
)
async def test_who_may_not_decide_is_told_why_in_private(house: Stage, who: str, expected: str) -> None:
    card = await _asked(house)
    await house.person(who).click(card, "Approve")
    said = await house.told(who, expected)
    assert "Nothing was d" in said
    await _nothing_decided(house, card)


async def test_a_lead_of_another_team_may_not(house: Stage) -> None:
    card = await _asked(house)
    said = await house.types("priya", f"/platform approve {request_id(card)}", channel="#payments")
    assert "is decided by the leads of Orders, and you are not among them." in said
    assert "<@" in said or "@orders-leads" in said
    await _nothing_decided(house, card)


async def test_a_lead_who_asked_does_not_approve_it_herself(house: Stage) -> None:
    card = await _asked(house, who="lena")
    await house.person("lena").click(card, "Approve")
    await house.told("lena", "nobody decides about their own request")
    await _nothing_decided(house, card)


async def test_somebody_of_another_company_may_not(open_stage: OpenStage) -> None:
    async with open_stage(changes={"teams.orders.channel": "CPARTNERS1"}) as house:
        await house.create("orders")
        shared = "#orders-partners"
        card = await house.asks("alice", "/platform promote orders", "Promote orders", channel=shared)
        await house.person("eve").click(card, "Approve")
        await house.told("eve", "You belong to another workspace", channel=shared)
        await _nothing_decided(house, card)


async def test_a_deactivated_lead_and_a_bot_may_not(house: Stage) -> None:
    card = await _asked(house)
    house.playground.deactivate("lena")
    await house.person("lena").click(card, "Approve", force=True)
    await house.told("lena", "Your Slack account is deactivated")
    await house.person("ci").click(card, "Approve", force=True)
    await house.told("ci", "Apps and bots may neither ask nor decide here")
    await _nothing_decided(house, card)


async def test_a_lead_who_left_the_group_a_minute_ago_may_not(house: Stage) -> None:
    card = await _asked(house)
    # The event that would say so is lost; authority is asked for at the click all the same.
    house.playground.disturb_delivery("*", "drop")
    house.playground.remove_from_group("orders-leads", "lena")
    house.playground.clear_faults()
    await house.person("lena").click(card, "Approve")
    await house.told("lena", "you are not among them")
    await _nothing_decided(house, card)


async def test_an_author_may_not_approve_whatever_address_they_commit_with(open_stage: OpenStage) -> None:
    people = [{"slack": "ULENA00001", "emails": ["lena@home.example"]}]
    async with open_stage(changes={"people": people}) as house:
        await house.create("orders")
        house.world.push("orders", "A quick one", author="L.", email="Lena@home.example")
        card = await house.promote("orders")
        await house.person("lena").click(card, "Approve")
        await house.told("lena", "carries commits of yours, and nobody approves their own commits")
        await _nothing_decided(house, card)


async def test_when_slack_cannot_say_who_somebody_is_nothing_is_decided(house: Stage) -> None:
    card = await _asked(house)
    house.playground.fail_call("users.info", "http_error", status=503)
    await house.person("lena").click(card, "Approve")
    await house.told("lena", "Slack could not be asked who you are; nothing was done. Try again in a moment.")
    await _nothing_decided(house, card)
    await house.person("lena").click(card, "Approve")
    await house.until_shown(card, "done")


async def test_slack_that_does_not_answer_is_not_waited_for(house: Stage) -> None:
    card = await _asked(house)
    house.playground.fail_call("usergroups.list", "hang")
    pressed = await house.person("lena").click(card, "Approve")
    assert pressed.ok, pressed.notice
    await house.told("lena", "Slack could not be asked who you are")
    await _nothing_decided(house, card)


async def test_when_slack_limits_questions_it_is_said_until_when_and_nothing_is_denied(house: Stage) -> None:
    card = await _asked(house)
    house.playground.fail_call("usergroups.list", "ratelimited", retry_after_seconds=40)
    pressed = await house.person("lena").click(card, "Approve")
    assert pressed.ok, pressed.notice
    said = await house.told("lena", "Slack limits how often it may be asked who you are")
    assert "nothing was done. Try again in 40 seconds." in said
    asked = len(house.playground.calls("usergroups.list"))
    await house.person("lena").click(card, "Approve")
    assert len(house.playground.calls("usergroups.list")) == asked
    await _nothing_decided(house, card)


async def test_a_lead_who_leaves_the_group_between_two_clicks_decides_the_first_only(
    open_stage: OpenStage,
) -> None:
    async with open_stage(changes={"environments.1.approval.count": 2}) as house:
        house.playground.add_to_group("orders-leads", "omar")
        card = await _asked(house)
        await house.person("lena").click(card, "Approve")
        await house.told("lena", "It still needs 1 more.")
        house.playground.disturb_delivery("*", "drop")
        house.playground.remove_from_group("orders-leads", "omar")
        house.playground.clear_faults()
        await house.person("omar").click(card, "Approve")
        await house.told("omar", "you are not among them")
        assert [one.user_id for one in (await house.request(card)).approvals] == ["ULENA00001"]


# ---------------------------------------------------------------- at once, twice, too late


async def test_everybody_at_once_makes_one_decision_and_each_is_told_what_is_true(house: Stage) -> None:
    house.playground.add_to_group("orders-leads", "omar")
    card = await _asked(house)
    people = ["alice", "sam", "grace", "omar", "lena"]
    pressed = await asyncio.gather(*(house.person(one).click(card, "Approve") for one in people))
    assert all(one.ok for one in pressed), pressed
    await house.until_shown(card, "done")
    (approval,) = (await house.request(card)).approvals
    assert approval.user_id in {house.person("omar").id, house.person("lena").id}
    winner = next(one for one in people if house.person(one).id == approval.user_id)
    await house.told(winner, "You approved")
    refusals = {"alice": "You asked for", "sam": "not among them", "grace": "You are a guest"}
    for loser in set(people) - {winner}:
        said = await house.told(loser, "Nothing was")
        too_late = "is decided already." in said and f"Approved by <@{approval.user_id}>" in said
        assert too_late or refusals.get(loser, "too late") in said


async def test_who_comes_too_late_is_told_so_without_a_question_to_slack(house: Stage) -> None:
    card = await _asked(house)
    await house.types("lena", f"/platform deny {request_id(card)} not today")
    await house.until_shown(card, "denied")
    asked = len(house.playground.calls("users.info"))
    people = ["alice", "omar", "lena"]
    await asyncio.gather(*(house.person(one).click(card, "Approve", force=True) for one in people))
    for who in people:
        assert "was denied already by <@ULENA00001>" in await house.told(who, "Nothing was changed")
    assert len(house.playground.calls("users.info")) == asked


async def test_one_who_cannot_be_looked_up_holds_up_nobody(house: Stage) -> None:
    house.playground.add_to_group("orders-leads", "omar")
    card = await _asked(house)
    asked = len(house.playground.calls("users.info"))
    house.playground.fail_call("users.info", "hang", times=1)
    lena = asyncio.create_task(house.person("lena").click(card, "Approve"))
    await house.playground.until(
        lambda: len(house.playground.calls("users.info")) > asked, what="the question about Lena"
    )
    omar = await house.person("omar").click(card, "Approve")
    assert omar.ok, omar.notice
    assert [one.user_id for one in (await house.request(card)).approvals] == [house.person("omar").id]
    assert (await lena).ok
    await house.told("lena", "Slack could not be asked who you are")


async def test_two_leads_at_once_make_one_decision_and_the_slower_is_told(house: Stage) -> None:
    house.playground.add_to_group("orders-leads", "omar")
    card = await _asked(house)
    lena, omar = house.person("lena"), house.person("omar")
    await asyncio.gather(lena.click(card, "Approve"), omar.click(card, "Approve"))
    await house.until_shown(card, "done")
    assert (await house.events(card)).count("request.approved") == 1
    winner = (await house.request(card)).approvals[0].user_id
    loser = "omar" if winner == lena.id else "lena"
    await house.told(loser, "is decided already. It is approved")
    assert f"<@{winner}>" in await house.told(loser, "decided already")


async def test_a_double_click_decides_once(house: Stage) -> None:
    card = await _asked(house)
    lena = house.person("lena")
    await asyncio.gather(lena.click(card, "Approve"), lena.click(card, "Approve"))
    await house.until_shown(card, "done")
    assert (await house.events(card)).count("request.approved") == 1


async def test_approval_and_denial_at_once_make_one_decision(house: Stage) -> None:
    house.playground.add_to_group("orders-leads", "omar")
    card = await _asked(house)
    number = request_id(card)
    await asyncio.gather(
        house.person("lena").click(card, "Approve"),
        house.person("omar").command("#orders", f"/platform deny {number} not today"),
    )
    request = await house.request(card)
    assert len(request.approvals) == 1
    decisions = [one for one in await house.events(card) if one in ("request.approved", "request.denied")]
    assert len(decisions) == 1


async def test_a_click_after_the_expiry_decides_nothing_and_the_buttons_go(house: Stage) -> None:
    card = await _asked(house)
    house.clock.advance(hours=25)
    await house.person("lena").click(card, "Approve")
    await house.told("lena", "expired")
    assert not (await house.request(card)).approvals
    await house.expire()
    await house.until_shown(card, "expired")
    assert house.labels(card) == []
    await house.card("alice", "app", "nobody approved it in time")
    said = await house.types("lena", f"/platform approve {request_id(card)}")
    assert "expired" in said
    assert "can ask again with the same command" in said
    await house.promote("orders")


# ---------------------------------------------------------------- by typing


async def test_the_lead_approves_by_typing_and_the_reason_is_kept(house: Stage) -> None:
    card = await _asked(house)
    said = await house.types("lena", f"/platform approve {request_id(card).upper()} looks <!here> good")
    assert "You approved" in said
    await house.until_shown(card, "done")
    assert "<@ULENA00001> approved" in house.says(card)
    assert "looks &lt;!here&gt; good" in house.says(card)


async def test_a_wrong_number_is_said(house: Stage) -> None:
    assert "There is no request “r-9999999”." in await house.types("lena", "/platform approve r-9999999")


async def test_what_was_denied_stays_denied(house: Stage) -> None:
    card = await _asked(house)
    number = request_id(card)
    said = await house.types("lena", f"/platform deny {number} not before the sale")
    assert f"You denied `{number}`" in said
    await house.until_shown(card, "denied")
    assert "not before the sale" in house.says(card)
    assert house.labels(card) == []
    notice = await house.card("alice", "app", "denied")
    assert "&gt; not before the sale" in shown_text(notice) or "> not before the sale" in shown_text(notice)
    said = await house.types("lena", f"/platform approve {number}")
    assert "was denied already by <@ULENA00001>" in said


async def test_a_denial_by_button_asks_for_the_reason(house: Stage) -> None:
    card = await _asked(house)
    lena = house.person("lena")
    await lena.click(card, "Deny…")
    await lena.wait_for_view("Deny the request")
    empty = await lena.submit({"reason": "   "})
    assert "may not be empty" in empty.errors.get("reason", ""), empty
    await lena.submit({"reason": "not before the sale\n<!channel>"})
    assert "You denied" in view_text(lena.view)
    await house.until_shown(card, "not before the sale")
    notice = await house.card("alice", "app", "denied")
    assert "<!channel>" not in shown_text(notice)
    assert "&lt;!channel&gt;" in shown_text(notice)


async def test_a_typed_denial_without_a_reason_asks_for_it(house: Stage) -> None:
    card = await _asked(house)
    lena = house.person("lena")
    await lena.command("#orders", f"/platform deny {request_id(card)}")
    await lena.wait_for_view()
    await lena.submit({"reason": "not today"})
    await house.until_shown(card, "not today")


async def test_who_may_not_deny_is_told_so_after_the_reason(house: Stage) -> None:
    card = await _asked(house)
    omar = house.person("omar")
    await omar.click(card, "Deny…")
    await omar.wait_for_view("Deny the request")
    await omar.submit({"reason": "no"})
    assert "you are not among them" in view_text(omar.view)
    await _nothing_decided(house, card)


@pytest.mark.parametrize("who", ["alice", "lena", "sam"])
async def test_requester_lead_and_admin_cancel(house: Stage, who: str) -> None:
    card = await _asked(house)
    await house.person(who).click(card, "Cancel request")
    await house.until_shown(card, "cancelled")
    assert house.labels(card) == []
    assert "was cancelled" not in (await house.types(who, "/platform requests --pending"))


async def test_others_do_not_cancel(house: Stage) -> None:
    card = await _asked(house)
    await house.person("omar").click(card, "Cancel request")
    await house.told("omar", "You may not cancel")
    assert "You may not cancel" in await house.types("omar", f"/platform cancel {request_id(card)}")
    await _nothing_decided(house, card)


async def test_a_requester_who_lost_the_right_meanwhile_is_not_acted_for(house: Stage) -> None:
    card = await _asked(house)
    house.playground.deactivate("alice")
    await house.person("lena").click(card, "Approve")
    await house.until_shown(card, "refused")
    assert "account is deactivated" in house.says(card)
    assert "&lt;@" not in house.says(card)
    assert ("orders", "production") not in house.world.apps


async def test_two_approvals_are_two_people(open_stage: OpenStage) -> None:
    changes = {"environments.1.approval.count": 2}
    async with open_stage(changes=changes) as house:
        house.playground.add_to_group("orders-leads", "omar")
        card = await _asked(house)
        await house.person("lena").click(card, "Approve")
        await house.told("lena", "It still needs 1 more.")
        await house.until_shown(card, "<@ULENA00001> approved")
        await house.person("lena").click(card, "Approve")
        await house.told("lena", "You decided about this plan")
        await house.person("omar").click(card, "Approve")
        await house.until_shown(card, "done")


async def test_where_a_policy_lets_the_requester_approve_the_card_says_so(open_stage: OpenStage) -> None:
    changes = {"environments.1.approval.exclude_requester": False}
    async with open_stage(changes=changes) as house:
        card = await _asked(house, who="lena")
        assert "by the policy `requester-may-approve`" in house.says(card)
        await house.person("lena").click(card, "Approve")
        await house.until_shown(card, "done")
