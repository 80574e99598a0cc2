"""services: what exists, page by page."""

from __future__ import annotations

from fake_context import FakeContext, FakeKnowledge, make_service
from shown import assert_reply, words

from bot.command import Scope
from commands.services import PAGE, Services, answer, scope


def context(*names: str, **changes: str) -> FakeContext:
    return FakeContext(knowledge=FakeKnowledge(services=[make_service(name, **changes) for name in names]))


async def test_everybody_may_look() -> None:
    ctx = FakeContext()
    assert await scope(Services(), ctx.actor, ctx.platform, ctx.knowledge) == Scope(permission="look")


async def test_services_are_listed_by_name_with_owner_and_description() -> None:
    reply = assert_reply(await answer(context("billing", "aaa"), Services()))
    assert words(reply).splitlines() == [
        "*aaa* · orders · python-service · Takes orders",
        "*billing* · orders · python-service · Takes orders",
    ]
    assert reply.text == "2 services: aaa, billing"


async def test_a_text_narrows_the_list() -> None:
    reply = assert_reply(await answer(context("billing", "orders"), Services(text="BILL")))
    assert reply.text == "1 service: billing"


async def test_the_next_page_goes_on_where_this_one_ended_and_keeps_the_text() -> None:
    ctx = context(*(f"orders-{number:02}" for number in range(PAGE + 3)))
    first = assert_reply(await answer(ctx, Services(text="orders")))
    assert f"`/platform services orders --after orders-{PAGE - 1:02}`" in words(first)
    second = assert_reply(await answer(ctx, Services(text="orders", after=f"orders-{PAGE - 1:02}")))
    assert second.text == f"3 services: orders-{PAGE}, orders-{PAGE + 1}, orders-{PAGE + 2}"
    assert "--after" not in words(second)


async def test_an_empty_list_says_how_to_make_the_first() -> None:
    none = assert_reply(await answer(FakeContext(), Services()))
    assert none.text == "There is no service yet. `/platform create-service` makes one."
    nothing_fits = assert_reply(await answer(context("orders"), Services(text="<!channel>")))
    assert "“&lt;!channel&gt;”" in nothing_fits.text


async def test_a_description_is_data() -> None:
    reply = assert_reply(
        await answer(context("orders", description="<!here> <https://evil|click>"), Services())
    )
    assert "&lt;!here&gt;" in words(reply)
