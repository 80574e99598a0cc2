"""audit: who did what, newest first, for those who may read it."""

from __future__ import annotations

from datetime import timedelta

import people_made as made
import pytest
from fake_context import FakeContext, FakeKnowledge, make_event, make_service
from pydantic import ValidationError
from shown import assert_reply, words

from bot.command import Scope
from commands.audit import PAGE, Audit, answer, back_to, scope


@pytest.mark.parametrize(
    ("since", "before"),
    [
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
        ("4w", timedelta(weeks=4)),
    ],
)
def test_spans_of_time(since: str, before: timedelta) -> None:
    assert back_to(since, made.NOW) == made.NOW - before


@pytest.mark.parametrize("since", ["", "7", "d", "7y", "-7d", "7 d", "12345d"])
def test_what_is_no_span_of_time_says_what_is_accepted(since: str) -> None:
    with pytest.raises(ValidationError, match="is no span of time; accepted: 30m, 12h, 7d, 4w"):
        Audit(since=since)
    with pytest.raises(ValueError):  # noqa: PT011 - the text itself is the message
        back_to(since, made.NOW)


@pytest.mark.parametrize("person", ["alice", "@alice", "<@UALICE0001>", "ualice"])
def test_a_person_is_a_mention(person: str) -> None:
    with pytest.raises(ValidationError, match="is not a person; accepted: a mention such as @alice"):
        Audit(person=person)
    assert Audit(person="UALICE0001").person == "UALICE0001"


async def test_reading_it_needs_the_right_in_the_team_of_the_service() -> None:
    ctx = FakeContext(knowledge=FakeKnowledge(services=[make_service(team="payments")]))
    assert await scope(Audit(service="orders"), ctx.actor, ctx.platform, ctx.knowledge) == Scope(
        permission="audit", team="payments", service="orders"
    )
    assert await scope(Audit(), ctx.actor, ctx.platform, ctx.knowledge) == Scope(permission="audit")
    gone = await scope(Audit(service="gone"), ctx.actor, ctx.platform, ctx.knowledge)
    assert gone == Scope(permission="audit", service="gone"), "the trail outlives the service"


async def test_an_event_is_one_line_with_what_tells_it_from_others() -> None:
    data = {"step": "deploy", "reason": "<!here> now", "unshown": "x", "detail": ""}
    ctx = FakeContext(knowledge=FakeKnowledge(events=[make_event(7, data=data)]))
    reply = assert_reply(await answer(ctx, Audit()))
    line = words(reply).splitlines()[0]
    assert line.startswith("`7` <!date^1772443800^")
    assert line.endswith(
        " · <@UALICE0001> · *request.opened* · orders production · `r-7k2m9xq` · deploy – &lt;!here&gt; now"
    )
    assert reply.text == "1 audit event, newest first"


async def test_what_the_platform_did_by_itself_is_said_so() -> None:
    bare = make_event(1, actor="system", request_id="", service="", environment="")
    reply = assert_reply(await answer(FakeContext(knowledge=FakeKnowledge(events=[bare])), Audit()))
    assert words(reply).splitlines()[0].endswith(" · the platform · *request.opened*")


async def test_filters_and_pages() -> None:
    events = [make_event(number, service="orders" if number % 2 else "billing") for number in range(1, 61)]
    ctx = FakeContext(knowledge=FakeKnowledge(events=events))
    first = assert_reply(await answer(ctx, Audit(service="orders")))
    assert first.text == f"{PAGE} audit events, newest first"
    assert words(first).startswith("`59`")
    assert "add `--before 21` to the same command" in words(first)
    second = assert_reply(await answer(ctx, Audit(service="orders", before=21)))
    assert words(second).startswith("`19`")
    assert "Older" not in words(second)
    assert f"Chain head of this page: `{make_event(59).hash[:16]}`" in words(first)


async def test_only_what_happened_since_then_is_shown() -> None:
    old = make_event(1, at=(made.NOW - timedelta(days=8)).isoformat())
    ctx = FakeContext(knowledge=FakeKnowledge(events=[old]))
    nothing = assert_reply(await answer(ctx, Audit()))
    assert nothing.text == "Nothing happened in the last 7d that fits. Try `--since 4w`."
    assert assert_reply(await answer(ctx, Audit(since="4w"))).text == "1 audit event, newest first"


async def test_one_persons_deeds() -> None:
    events = [make_event(1), make_event(2, actor="UOMAR00001")]
    reply = assert_reply(
        await answer(FakeContext(knowledge=FakeKnowledge(events=events)), Audit(person="UOMAR00001"))
    )
    assert reply.text == "1 audit event, newest first"
    assert words(reply).startswith("`2`")
