"""cancel: withdrawing a request."""

from __future__ import annotations

import people_made as made
import pytest
from fake_context import FakeContext, FakeKnowledge, make_plan

from bot.command import Scope
from bot.errors import NotFoundError
from commands.cancel import Cancel, answer, scope


@pytest.fixture
def ctx() -> FakeContext:
    return FakeContext(knowledge=FakeKnowledge(requests=[made.request_for(make_plan(), ())]))


async def test_who_may_cancel_is_judged_by_the_request_not_by_a_role(ctx: FakeContext) -> None:
    asked = await scope(Cancel(request="r-7k2m9x"), ctx.actor, ctx.platform, ctx.knowledge)
    assert asked == Scope(permission="look", team="orders", service="orders", environment="production")


async def test_a_request_that_does_not_exist_is_named(ctx: FakeContext) -> None:
    with pytest.raises(NotFoundError, match="There is no request “r-none”"):
        await scope(Cancel(request="r-none"), ctx.actor, ctx.platform, ctx.knowledge)


async def test_cancelling_is_handed_on(ctx: FakeContext) -> None:
    reply = await answer(ctx, Cancel(request="R-7K2M9X"))
    assert ctx.said == [("cancel", "r-7k2m9x")]
    assert reply.text == "cancel r-7k2m9x"
