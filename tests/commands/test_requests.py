"""requests: what is open, newest first, page by page."""

from __future__ import annotations

import people_made as made
import pytest
from fake_context import FakeContext, FakeKnowledge, make_plan
from shown import assert_reply, words

from bot.command import Scope
from bot.domain import Request, RequestState
from commands.requests import PAGE, Requests, answer, scope


def request(number: int, **changes: object) -> Request:
    return made.request_for(make_plan(), (), id=f"r-{number:03}", **changes)


def context(*requests: Request) -> FakeContext:
    return FakeContext(knowledge=FakeKnowledge(requests=list(requests)))


def listed(text: str) -> list[str]:
    return [line.split("`")[1] for line in text.splitlines() if line.startswith("`r-")]


MIXED = (
    request(1, state=RequestState.SUCCEEDED),
    request(2, requester="UOMAR00001"),
    request(3),
    request(4, state=RequestState.RUNNING),
)


async def test_everybody_may_look() -> None:
    ctx = FakeContext()
    assert await scope(Requests(), ctx.actor, ctx.platform, ctx.knowledge) == Scope(permission="look")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (Requests(), ["r-004", "r-003", "r-002"]),
        (Requests(mine=True), ["r-004", "r-003"]),
        (Requests(pending=True), ["r-003", "r-002"]),
        (Requests(mine=True, pending=True), ["r-003"]),
        (Requests(all=True), ["r-004", "r-003", "r-002", "r-001"]),
    ],
)
async def test_flags_choose_what_is_listed(args: Requests, expected: list[str]) -> None:
    reply = assert_reply(await answer(context(*MIXED), args))
    assert listed(words(reply)) == expected


async def test_a_line_says_what_how_it_stands_and_who_asked() -> None:
    reply = assert_reply(await answer(context(request(1)), Requests()))
    assert words(reply).startswith(
        "`r-001` *Promote orders to production* · :raised_hand: waiting for approval · <@UALICE0001> · "
    )


async def test_the_next_page_goes_on_where_this_one_ended_with_the_same_flags() -> None:
    ctx = context(*(request(number) for number in range(PAGE + 2)))
    first = assert_reply(await answer(ctx, Requests(mine=True, pending=True)))
    assert "`/platform requests --mine --pending --before r-002`" in words(first)
    second = assert_reply(await answer(ctx, Requests(mine=True, pending=True, before="r-002")))
    assert listed(words(second)) == ["r-001", "r-000"]
    assert "--before" not in words(second)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (Requests(), "No request is open."),
        (Requests(mine=True), "No request of yours is open."),
        (Requests(pending=True), "No request is waiting for approval."),
        (Requests(mine=True, pending=True), "No request of yours is waiting for approval."),
    ],
)
async def test_an_empty_list_says_what_was_looked_for(args: Requests, sentence: str) -> None:
    assert assert_reply(await answer(FakeContext(), args)).text == sentence
