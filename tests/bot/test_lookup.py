"""What is not there is named, with the nearest thing that is."""

from __future__ import annotations

from dataclasses import replace

import people_made as made
import pytest
from fake_context import FakeKnowledge, make_plan, make_service

from bot import lookup
from bot.command import Scope
from bot.errors import NotFoundError, UsageError

KNOWLEDGE = FakeKnowledge(
    services=[make_service("orders"), make_service("billing")],
    requests=[made.request_for(make_plan(), ())],
)


@pytest.mark.parametrize("typed", ["orders", "ORDERS"])
async def test_a_service_is_found_however_it_is_capitalised(typed: str) -> None:
    assert (await lookup.existing_service(KNOWLEDGE, typed)).name == "orders"


@pytest.mark.parametrize(
    ("typed", "fix"),
    [
        ("ordrs", "Did you mean `orders`?"),
        ("biling", "Did you mean `billing`?"),
        ("Rders", "Did you mean `orders`?"),
        ("zzz", "`/platform services` lists what exists."),
    ],
)
async def test_a_service_that_is_not_there_is_named_with_the_nearest(typed: str, fix: str) -> None:
    with pytest.raises(NotFoundError) as refused:
        await lookup.existing_service(KNOWLEDGE, typed)
    assert refused.value.sentence == f"There is no service “{typed}”. {fix}"


async def test_a_request_is_found_and_says_what_it_is_about() -> None:
    assert (await lookup.existing_request(KNOWLEDGE, "R-7K2M9X")).id == "r-7k2m9x"
    assert await lookup.request_scope(KNOWLEDGE, "r-7k2m9x") == Scope(
        permission="look", team="orders", service="orders", environment="production"
    )
    with pytest.raises(NotFoundError, match="There is no request “r-0”"):
        await lookup.request_scope(KNOWLEDGE, "r-0")


async def test_verbs_that_move_a_release_keep_each_other_out() -> None:
    platform = made.example_platform()
    promoting, back = [
        await lookup.release_scope(
            platform, KNOWLEDGE, verb=verb, service="Orders", environment="", field="to"
        )
        for verb in ("promote", "rollback")
    ]
    assert promoting == Scope(
        permission="promote:production",
        team="orders",
        service="orders",
        environment="production",
        active_key="release:orders:production",
    )
    assert back == replace(promoting, permission="rollback:production")


def test_the_last_environment_is_meant_where_none_is_named() -> None:
    platform = made.example_platform()
    assert lookup.release_environment(platform, "", field="to").name == "production"
    assert lookup.release_environment(platform, "production", field="to").name == "production"


@pytest.mark.parametrize(
    ("name", "words"),
    [("moon", "There is no environment “moon”"), ("staging", "follows the branch main by itself")],
)
def test_an_environment_that_cannot_be_meant_is_said_beside_the_field(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        lookup.release_environment(made.example_platform(), name, field="environment")
    assert refused.value.fields == {"environment": "Accepted: production."}


def test_with_a_single_environment_nothing_can_be_promoted() -> None:
    platform = made.example_platform()
    only = replace(platform, environments=platform.environments[:1])
    with pytest.raises(UsageError, match="follows the branch"):
        lookup.release_environment(only, "", field="to")
