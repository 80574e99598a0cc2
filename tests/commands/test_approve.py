"""approve: the typed twin of the button."""

from __future__ import annotations

import people_made as made
import pytest
from fake_context import FakeContext, FakeKnowledge, make_plan

from bot.command import Scope
from bot.errors import NotFoundError
from commands.approve import Approve, answer, scope


@pytest.fixture
def ctx() -> FakeContext:
    return FakeContext(knowledge=FakeKnowledge(requests=[made.request_for(make_plan(), ())]))


async def test_everybody_may_ask_and_the_request_says_what_it_is_about(ctx: FakeContext) -> None:
    assert await scope(Approve(request="R-7K2M9X"), ctx.actor, ctx.platform, ctx.knowledge) == Scope(
        permission="look", team="orders", service="orders", environment="production"
    )


async def test_a_request_that_does_not_exist_is_named(ctx: FakeContext) -> None:
    with pytest.raises(NotFoundError) as refused:
        await scope(Approve(request="r-none"), ctx.actor, ctx.platform, ctx.knowledge)
    assert refused.value.sentence == (
        "There is no request “r-none”. `/platform requests` lists the open ones."
    )


async def test_the_decision_is_handed_on_with_the_reason_and_nothing_is_decided_here(
    ctx: FakeContext,
) -> None:
    reply = await answer(ctx, Approve(request="R-7K2M9X", reason="looks good"))
    assert ctx.said == [("approve", "r-7k2m9x", "looks good")]
    assert reply.text == "approve r-7k2m9x"


async def test_an_approval_needs_no_reason(ctx: FakeContext) -> None:
    await answer(ctx, Approve(request="r-7k2m9x"))
    assert ctx.said == [("approve", "r-7k2m9x", "")]
