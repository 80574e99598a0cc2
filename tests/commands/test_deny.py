"""deny: with a reason, because the requester reads it."""

from __future__ import annotations

import people_made as made
import pytest
from fake_context import FakeContext, FakeKnowledge, make_plan

from bot import forms
from bot.command import Scope
from bot.errors import NotFoundError, UsageError
from commands.deny import Deny, answer, command, scope


@pytest.fixture
def ctx() -> FakeContext:
    return FakeContext(knowledge=FakeKnowledge(requests=[made.request_for(make_plan(), ())]))


async def test_everybody_may_ask_and_the_request_says_what_it_is_about(ctx: FakeContext) -> None:
    asked = Deny(request="r-7k2m9x", reason="no")
    assert await scope(asked, ctx.actor, ctx.platform, ctx.knowledge) == Scope(
        permission="look", team="orders", service="orders", environment="production"
    )


async def test_a_request_that_does_not_exist_is_named(ctx: FakeContext) -> None:
    with pytest.raises(NotFoundError, match="There is no request “r-none”"):
        await scope(Deny(request="r-none", reason="no"), ctx.actor, ctx.platform, ctx.knowledge)


async def test_the_decision_is_handed_on_with_all_words_of_the_reason(ctx: FakeContext) -> None:
    typed = forms.parse(command, ["R-7K2M9X", "wait", "for", "the", "migration"])
    await answer(ctx, typed)  # type: ignore[arg-type]
    assert ctx.said == [("deny", "r-7k2m9x", "wait for the migration")]


def test_a_denial_without_a_reason_is_asked_for_one() -> None:
    with pytest.raises(UsageError) as refused:
        forms.parse(command, ["r-7k2m9x"])
    assert refused.value.fields == {"reason": "This is needed."}
    assert refused.value.given == {"request": "r-7k2m9x"}
