"""templates: the golden paths on offer, with a way to use one."""

from __future__ import annotations

from dataclasses import replace

import people_made as made
import pytest
from fake_backends import python_service
from fake_context import FakeContext
from shown import assert_reply, buttons, words

from bot.command import Scope
from bot.errors import TemporaryBackendError
from commands.templates import Templates, answer, scope
from integrations.ports import Parameter


async def test_everybody_may_look() -> None:
    ctx = FakeContext()
    assert await scope(Templates(), ctx.actor, ctx.platform, ctx.knowledge) == Scope(permission="look")


async def test_a_golden_path_says_what_it_makes_and_what_it_asks() -> None:
    ctx = FakeContext()
    ctx.backends.golden_paths.paths["python-service"] = python_service(
        parameters=(Parameter("port", "Port"), Parameter("size", "Size", choices=("s", "l"))), missing=("go",)
    )
    reply = assert_reply(await answer(ctx, Templates()))
    assert words(reply).splitlines()[:5] == [
        "*python-service* · Python service",
        "An HTTP service in Python.",
        "Databases: postgresql, none · revision `111111111111`",
        "Also asks: port, size (s, l)",
        ":warning: cannot run on this machine: go is not installed",
    ]
    assert reply.text == "Golden paths: python-service"


async def test_only_what_the_platform_offers_is_listed() -> None:
    ctx = FakeContext()
    ctx.backends.golden_paths.paths = {"secret-path": python_service(name="secret-path")}
    reply = assert_reply(await answer(ctx, Templates()))
    assert reply.text == (
        "No golden path is on offer. The platform team lists them under `golden_paths` in platform.yml."
    )


async def test_only_who_may_create_gets_the_button() -> None:
    offered = [("form:create-service", "template=python-service")]
    assert buttons((await answer(FakeContext(), Templates())).blocks) == offered
    assert buttons((await answer(FakeContext(actor=made.noel()), Templates())).blocks) == []


async def test_many_golden_paths_still_fit_into_a_message() -> None:
    ctx = FakeContext()
    names = [f"path-{number}" for number in range(60)]
    ctx.backends.golden_paths.paths = {name: python_service(name=name) for name in names}
    ctx.platform = replace(ctx.platform, golden_paths=tuple(names))
    assert_reply(await answer(ctx, Templates()))


async def test_a_backend_that_is_away_is_no_empty_list() -> None:
    ctx = FakeContext()
    ctx.backends.golden_paths.faults["list_golden_paths"] = TemporaryBackendError(
        "away", backend="golden paths"
    )
    with pytest.raises(TemporaryBackendError):
        await answer(ctx, Templates())
