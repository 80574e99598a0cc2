"""Claims when answers are lost, a server is away or lies: the right state in the end, and nothing twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import httpx
import pytest
from claiming import Place, settings
from kube import Server, haste

from bot.errors import TemporaryBackendError
from integrations._kubernetes import open_kubernetes
from integrations.crossplane import Crossplane
from integrations.ports import Phase


# ---------------------------------------------------------------- lost answers, and a server that is away
async def test_lost_answers_of_the_creation_make_one_claim(place: Place) -> None:
    place.wire.lose = lambda asked: asked.method == "PATCH"
    with pytest.raises(TemporaryBackendError):
        await place.bot.ensure_claim(place.spec(), request_id="r1")
    created = (await place.live())["metadata"]["uid"]
    await place.recover()
    claim = await place.bot.ensure_claim(place.spec(), request_id="r1")
    assert claim.request_id == "r1"
    assert (await place.live())["metadata"]["uid"] == created


async def test_a_lost_answer_of_the_mark_does_not_lose_the_mark(place: Place) -> None:
    merging = "application/merge-patch+json"
    place.wire.lose = lambda asked: asked.headers.get("content-type") == merging
    with pytest.raises(TemporaryBackendError):
        await place.until(place.spec(), Phase.READY)
    assert (await place.live())["metadata"]["annotations"]["platform-bot/was-ready"] == "true"
    await place.recover()
    assert (await place.bot.ensure_claim(place.spec(), request_id="r1")).phase is Phase.READY


async def test_lost_answers_of_the_deletion_end_in_nothing_there(place: Place) -> None:
    place.composer.makes_ready = False
    await place.until(place.spec(), Phase.RUNNING)
    place.wire.lose = lambda asked: asked.method == "DELETE"
    for _ in range(3):
        try:
            await place.bot.remove_claim("orders-staging-db", environment=place.environment, request_id="r1")
            break
        except TemporaryBackendError:
            await place.kubernetes.timing.sleep(60)
    assert await place.gone()


async def test_a_server_that_says_yes_and_did_nothing_is_not_believed(place: Place) -> None:
    def nothing_done(asked: httpx.Request) -> httpx.Response | None:
        return httpx.Response(201, content=asked.content) if asked.method == "PATCH" else None

    place.wire.instead = nothing_done
    with pytest.raises(TemporaryBackendError):
        await place.bot.ensure_claim(place.spec(), request_id="r1")
    await place.recover()
    await place.until(place.spec(), Phase.READY)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500, content=b"<html>Bad gateway</html>"),
        httpx.Response(503, content=b""),
        httpx.Response(200, content=b"<html>Sign in</html>"),
    ],
    ids=["500", "503", "garbage"],
)
async def test_a_broken_server_is_a_temporary_failure_of_every_call(
    place: Place, answer: httpx.Response
) -> None:
    place.wire.instead = lambda _: answer
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: place.bot.refusal(place.spec()),
        lambda: place.bot.ensure_claim(place.spec(), request_id="r1"),
        lambda: place.bot.get_claim("orders-staging-db", environment=place.environment),
        lambda: place.bot.list_claims("orders"),
        lambda: place.bot.remove_claim("orders-staging-db", environment=place.environment, request_id="r1"),
    ]
    for call in calls:
        with pytest.raises(TemporaryBackendError):
            await call()
    findings = await place.bot.check()
    assert [each.ok for each in findings] == [False]


async def test_a_server_that_is_away_is_a_temporary_failure_and_one_line_of_check(server: Server) -> None:
    nobody_there = replace(server.cluster("bot"), server="https://127.0.0.1:1")
    async with open_kubernetes(nobody_there, timing=haste()) as kubernetes:
        bot = Crossplane(settings(), kubernetes)
        with pytest.raises(TemporaryBackendError):
            await bot.list_claims("orders")
        findings = await bot.check()
    assert [(each.subject, each.ok) for each in findings] == [("Kubernetes", False)]
    assert "127.0.0.1:1" in findings[0].fix
