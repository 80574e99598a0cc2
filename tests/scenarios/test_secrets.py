"""A service's secrets, from the names in a command to the card that says where to fill them in; and values that go nowhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from memory_backends import open_world
from memory_secrets import MemorySecretStore, MemorySecretSync
from memory_world import World
from stage import PATIENCE_SECONDS, OpenStage, Stage

from bot import logs
from bot.command import Backends
from bot.config import Config
from bot.domain import RequestState
from bot.errors import BackendErrorKind, PermanentBackendError
from integrations.ports import Phase, Surroundings
from playground.actor import shown_text, view_text

VALUE = "hunter2-Sw0rdfish"
ROLES = {"roles.developer.may": ["create-service", "promote:*", "rollback:*", "secrets:*", "audit"]}
ASK = "/platform secrets orders --add STRIPE_API_KEY,MAIL_PASSWORD --to"
TITLE = "Secrets for orders in"


@asynccontextmanager
async def with_secrets(world: World, config: Config, surroundings: Surroundings) -> AsyncIterator[Backends]:
    async with open_world(world, config, surroundings) as opened:
        yield replace(opened, secret_store=MemorySecretStore(), secret_sync=MemorySecretSync())


@pytest.fixture
async def house(open_stage: OpenStage) -> AsyncIterator[Stage]:
    async with open_stage(changes=ROLES, opening=with_secrets) as opened:
        await opened.create("orders")
        yield opened


def store_of(house: Stage) -> MemorySecretStore:
    store = house.bot.backends.secret_store
    assert isinstance(store, MemorySecretStore)
    return store


def sync_of(house: Stage) -> MemorySecretSync:
    sync = house.bot.backends.secret_sync
    assert isinstance(sync, MemorySecretSync)
    return sync


async def test_a_developer_asks_and_the_card_says_what_waits_and_where_to_fill_it_in(house: Stage) -> None:
    card = await house.asks("alice", f"{ASK} staging", f"{TITLE} staging")
    await house.person("alice").click(card, "Add")
    await house.until_shown(card, "done")
    said = house.says(card)
    assert "waiting for a value: STRIPE_API_KEY, MAIL_PASSWORD" in said
    assert "Fill in STRIPE_API_KEY" in said
    assert "empty until filled in" in said
    assert store_of(house).access == {("orders", "staging"): (await house.request(card)).id}

    store_of(house).fill_in("orders", "staging", "STRIPE_API_KEY", VALUE)
    shown = await house.types("alice", "/platform status orders")
    assert "STRIPE_API_KEY · filled in" in shown.replace("`", "")
    assert "waits for its value" in shown
    assert VALUE not in shown


async def test_in_production_the_leads_approve_and_the_requester_cannot(house: Stage) -> None:
    card = await house.asks("alice", f"{ASK} production", f"{TITLE} production")
    await house.person("alice").click(card, "Add")
    await house.until_shown(card, "waiting for approval")
    assert store_of(house).keys == {}
    await house.person("lena").click(card, "Approve")
    await house.until_shown(card, "done")
    assert set(store_of(house).keys["orders", "production"]) == {"STRIPE_API_KEY", "MAIL_PASSWORD"}


async def test_who_is_not_in_the_team_may_not(house: Stage) -> None:
    said = await house.types("paul", f"{ASK} staging", channel="#payments")
    assert "for team Orders" in said
    assert store_of(house).effects == []


async def test_what_was_made_is_taken_back_when_a_later_step_is_refused_and_the_places_stay(
    house: Stage,
) -> None:
    sync_of(house).faults["ensure_secret"] = PermanentBackendError(
        "the ExternalSecret is somebody else's", backend="sync", kind=BackendErrorKind.ALREADY_EXISTS
    )
    card = await house.asks("alice", f"{ASK} staging", f"{TITLE} staging")
    await house.person("alice").click(card, "Add")
    await house.until_state(card, RequestState.UNDONE)
    assert store_of(house).access == {}
    assert set(store_of(house).keys["orders", "staging"]) == {"STRIPE_API_KEY", "MAIL_PASSWORD"}
    assert sync_of(house).secrets == {}


async def test_an_operator_that_is_slow_is_waited_for(house: Stage) -> None:
    sync_of(house).phase, sync_of(house).message = Phase.PENDING, "External Secrets has not looked at it yet"
    card = await house.asks("alice", f"{ASK} staging", f"{TITLE} staging")
    await house.person("alice").click(card, "Add")
    await house.until_shown(card, "has not looked at it yet")
    sync_of(house).phase = Phase.READY
    await house.until_shown(card, "done")


async def test_without_a_store_the_verb_is_not_offered_and_says_what_is_missing(
    open_stage: OpenStage,
) -> None:
    async with open_stage(changes=ROLES) as house:
        await house.create("orders")
        assert "/platform secrets" not in await house.types("alice", "/platform help")
        said = await house.types("alice", f"{ASK} staging")
        assert "integrations.secret_store" in said


# ---------------------------------------------------------------- values


@pytest.fixture
def log_lines(capfd: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """Everything logged, as `serve` logs it."""
    handlers, level = logging.getLogger().handlers, logging.getLogger().level
    logs.configure("DEBUG")
    yield capfd
    logging.getLogger().handlers = handlers
    logging.getLogger().setLevel(level)


TYPED = (
    f"/platform secrets orders --add STRIPE_API_KEY={VALUE} --to staging",
    f"/platform secrets orders STRIPE_API_KEY {VALUE}",
    f"/platform secrets orders --add STRIPE_API_KEY --to {VALUE}",
    f"/platform secrets {VALUE}",
)


async def test_a_value_that_somebody_typed_is_told_off_and_kept_nowhere(
    open_stage: OpenStage, log_lines: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Not in an answer, a form, a row, the audit trail or a log; the playground alone has it, as Slack would."""
    async with open_stage(changes=ROLES, opening=with_secrets) as house:
        await house.create("orders")
        alice = house.person("alice")
        seen = ""
        for line in TYPED:
            seen += await house.types("alice", line)
            view = await alice.wait_for_view("Add secrets")
            seen += f"{view_text(view)}{view.blocks}{view.values}"
            alice.close_view()
        assert "Never type a value into Slack" in seen
        await house.types("alice", "/platform secrets")
        view = await alice.wait_for_view("Add secrets")
        offered = await alice.suggest(view, "suggest:services", "orders")
        filled = {"service": offered["options"][0], "add": f"STRIPE_API_KEY={VALUE}", "to": "staging"}
        answered = await alice.submit(filled)
        seen += str(answered.errors)
        events = await house.bot.store.list_audit(limit=200)
        seen += "".join(f"{event.event}{event.data}" for event in events)
        messages = [shown_text(one) for one in house.playground.messages("#orders")]
        assert not [one for one in messages if TITLE in one], "nothing was asked for"
        assert store_of(house).effects == []
        async with asyncio.timeout(PATIENCE_SECONDS):
            await house.stop()
    assert VALUE not in seen
    out, err = log_lines.readouterr()
    assert VALUE not in out + err
    for file in (tmp_path / "var").rglob("*"):
        if file.is_file():
            assert VALUE.encode() not in file.read_bytes(), file
