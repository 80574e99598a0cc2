"""help: what this person may do, and each verb explained from its own declaration."""

from __future__ import annotations

import people_made as made
import pytest
from fake_context import FakeContext
from shown import assert_reply, buttons, words

from bot.command import Scope
from bot.domain import Actor
from bot.errors import NotFoundError
from bot.registry import load_commands
from commands.help import Help, answer, scope

EVERYBODY = {"status", "services", "templates", "requests", "audit", "cancel", "help", "whoami"}
CHANGING = {"create-service", "promote", "rollback", "rollout"}
DECIDING = {"approve", "deny"}


async def test_everybody_may_look() -> None:
    ctx = FakeContext()
    assert await scope(Help(), ctx.actor, ctx.platform, ctx.knowledge) == Scope(permission="look")


@pytest.mark.parametrize(
    ("actor", "verbs"),
    [
        (made.noel(), EVERYBODY),
        (made.alice(), EVERYBODY | CHANGING),
        (made.lena(), EVERYBODY | CHANGING | DECIDING),
        (made.sam(), EVERYBODY | CHANGING | DECIDING),
    ],
    ids=["noel", "alice", "lena", "sam"],
)
async def test_a_person_is_offered_what_they_may_do(actor: Actor, verbs: set[str]) -> None:
    reply = assert_reply(await answer(FakeContext(actor=actor), Help()))
    offered = reply.text.removeprefix("What you can do: ").split(", ")
    assert set(offered) == verbs
    assert len(offered) == len(verbs)
    for verb in verbs:
        assert f"`/platform {verb}`" in words(reply)


async def test_buttons_open_forms_of_what_is_offered_only() -> None:
    assert buttons((await answer(FakeContext(), Help())).blocks) == [
        ("form:create-service", "create-service"),
        ("form:status", "status"),
        ("form:promote", "promote"),
        ("form:requests", "requests"),
        ("form:whoami", "whoami"),
    ]
    assert ("form:promote", "promote") not in buttons(
        (await answer(FakeContext(actor=made.noel()), Help())).blocks
    )


@pytest.mark.parametrize("verb", load_commands())
async def test_every_verb_is_explained_with_its_usage_and_an_example(verb: str) -> None:
    ctx = FakeContext(actor=made.lena())
    reply = assert_reply(await answer(ctx, Help(verb=verb.upper())))
    assert f"For example: `{ctx.commands[verb].example}`" in words(reply)
    assert f"/platform {verb}" in reply.text


async def test_choices_and_defaults_are_said() -> None:
    reply = assert_reply(await answer(FakeContext(), Help(verb="create-service")))
    assert "• *--db* Created for the service. Accepted: none, postgresql, redis. Default: none." in words(
        reply
    )
    assert "• *NAME* 3 to 40 characters" in words(reply)


async def test_a_verb_that_is_not_allowed_is_explained_without_a_button() -> None:
    reply = assert_reply(await answer(FakeContext(actor=made.noel()), Help(verb="promote")))
    assert ":warning: Your roles do not allow it; `/platform whoami` shows what they allow." in words(reply)
    assert buttons(reply.blocks) == []
    allowed = assert_reply(await answer(FakeContext(), Help(verb="promote")))
    assert buttons(allowed.blocks) == [("form:promote", "promote")]


@pytest.mark.parametrize(
    ("verb", "sentence"),
    [
        ("promte", "There is no verb “promte”. Did you mean `/platform help promote`?"),
        ("xyzzy", "There is no verb “xyzzy”. `/platform` lists them all."),
    ],
)
async def test_a_verb_that_does_not_exist(verb: str, sentence: str) -> None:
    with pytest.raises(NotFoundError) as refused:
        await answer(FakeContext(), Help(verb=verb))
    assert refused.value.sentence == sentence
