"""rollout: the typed twin of the buttons Continue and Abort."""

from __future__ import annotations

import people_made as made
import pytest
from fake_context import FakeContext, FakeKnowledge, make_plan

from bot import forms
from bot.command import Scope
from bot.errors import NotFoundError, UsageError
from commands.rollout import Rollout, answer, command, scope


@pytest.fixture
def ctx() -> FakeContext:
    return FakeContext(knowledge=FakeKnowledge(requests=[made.request_for(make_plan(), ())]))


async def test_everybody_may_ask_and_the_request_says_what_it_is_about(ctx: FakeContext) -> None:
    asked = Rollout(action="continue", request="R-7K2M9X")
    assert await scope(asked, ctx.actor, ctx.platform, ctx.knowledge) == Scope(
        permission="look", team="orders", service="orders", environment="production"
    )


async def test_a_request_that_does_not_exist_is_named(ctx: FakeContext) -> None:
    with pytest.raises(NotFoundError, match="There is no request “r-none”"):
        await scope(Rollout(action="abort", request="r-none"), ctx.actor, ctx.platform, ctx.knowledge)


@pytest.mark.parametrize("action", ["continue", "abort"])
async def test_the_word_is_handed_on_and_nothing_is_decided_here(ctx: FakeContext, action: str) -> None:
    reply = await answer(ctx, Rollout(action=action, request="R-7K2M9X"))
    assert ctx.said == [(action, "r-7k2m9x")]
    assert reply.text == f"{action} r-7k2m9x"


def test_what_else_is_typed_is_answered_with_what_is_accepted() -> None:
    assert forms.parse(command, ["abort", "r-7k2m9x"]) == Rollout(action="abort", request="r-7k2m9x")
    with pytest.raises(UsageError) as refused:
        forms.parse(command, ["pause", "r-7k2m9x"])
    assert "action" in refused.value.fields
