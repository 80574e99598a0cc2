"""whoami: who the platform takes me for, in words a person would use."""

from __future__ import annotations

import people_made as made
import pytest
from fake_context import FakeContext
from shown import assert_reply, words

from bot.command import Scope
from bot.domain import Actor
from commands.whoami import WhoAmI, answer, scope

CASES = {
    "a developer": (
        made.alice(),
        [
            "You are <@UALICE0001>, member of Acme Platform.",
            ("*Orders*: Developer · you may create services, promote to production, roll back in production"),
        ],
    ),
    "a lead": (
        made.lena(),
        [
            "You are <@ULENA00001>, member of Acme Platform.",
            (
                "*Orders*: Team lead · you may create services, promote to production, roll back in production, "
                "approve for production"
            ),
        ],
    ),
    "an admin": (
        made.sam(),
        ["You are <@USAM000001>, member of Acme Platform.", "*Platform admin* everywhere"],
    ),
    "nobody special": (
        made.noel(),
        [
            "You are <@UNOEL00001>, member of Acme Platform.",
            (
                "You belong to no team, so you may look but not change anything. "
                "The platform team adds people under `teams` in platform.yml."
            ),
        ],
    ),
}


async def test_everybody_may_look() -> None:
    ctx = FakeContext()
    assert await scope(WhoAmI(), ctx.actor, ctx.platform, ctx.knowledge) == Scope(permission="look")


@pytest.mark.parametrize(("actor", "lines"), CASES.values(), ids=CASES.keys())
async def test_a_person_reads_what_they_may(actor: Actor, lines: list[str]) -> None:
    reply = assert_reply(await answer(FakeContext(actor=actor), WhoAmI()))
    assert words(reply).splitlines() == lines
    assert reply.text == lines[0]
