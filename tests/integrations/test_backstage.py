"""Backstage as the catalog: what a request registers, what it takes back, and what becomes of it when Backstage fails."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_backstage import TOKEN, FakeBackstage, Fault, broken, component, garbage, hangs, lost
from pydantic import ValidationError

from bot.errors import (
    BackendError,
    BackendErrorKind,
    PermanentBackendError,
    StartError,
    TemporaryBackendError,
)
from integrations import backstage
from integrations._backstage_shapes import GOLDEN_PATH, REQUEST_ID
from integrations.ports import Catalog, Entity, Surroundings

FILE = "https://github.com/acme/orders/blob/main/catalog-info.yaml"
ORDERS = Entity(
    "orders",
    "orders",
    "Takes orders",
    owner="orders",
    golden_path="python-service",
    links={"Repository": "https://github.com/acme/orders"},
)
SETTINGS = backstage.Settings(base_url="https://backstage.example.com/")
ALL = frozenset(
    f"catalog.{what}" for what in ("entity.read", "location.read", "location.create", "location.delete")
)


class MemoryStore:
    """An EntityStore that keeps what it is given."""

    def __init__(self) -> None:
        self.rows: dict[str, Entity] = {}
        self.failure: Exception | None = None

    async def put_entity(self, entity: Entity) -> None:
        self._work()
        self.rows[entity.name] = entity

    async def find_entity(self, name: str) -> Entity | None:
        self._work()
        return self.rows.get(name)

    async def search_entities(self, text: str, *, limit: int) -> Sequence[Entity]:
        raise AssertionError("Backstage is searched, not the bot's database")

    async def delete_entity(self, name: str) -> None:
        self._work()
        self.rows.pop(name, None)

    def _work(self) -> None:
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def fake() -> FakeBackstage:
    return FakeBackstage(files={FILE: component()})


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def catalog(fake: FakeBackstage, store: MemoryStore) -> AsyncIterator[backstage.Backstage]:
    async with backstage.connect(
        SETTINGS, place(store), transport=fake.transport(), timing=fake.clock.timing()
    ) as opened:
        yield opened


def place(store: MemoryStore, **secrets: str) -> Surroundings:
    held = secrets or {"BACKSTAGE_TOKEN": TOKEN}
    return Surroundings(state_folder=Path(), base_folder=Path(), entities=store, secrets=held)


async def until_ensured(catalog: backstage.Backstage, fake: FakeBackstage, tries: int = 8) -> Entity:
    """What the loop around a step does with temporary failures."""
    for _ in range(tries):
        try:
            return await catalog.ensure_entity(ORDERS, request_id="r1")
        except TemporaryBackendError as error:
            await fake.clock.sleep(error.retry_after_seconds or 1.0)
    raise AssertionError("never ensured")


async def until_removed(catalog: backstage.Backstage, fake: FakeBackstage, tries: int = 8) -> None:
    for _ in range(tries):
        try:
            await catalog.remove_entity("orders", request_id="r1")
        except TemporaryBackendError as error:
            await fake.clock.sleep(error.retry_after_seconds or 1.0)
        else:
            return
    raise AssertionError("never removed")


# ---------------------------------------------------------------- registering


async def test_a_service_appears_after_a_trial_and_one_registration(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    assert isinstance(catalog, Catalog)
    made = await catalog.ensure_entity(ORDERS, request_id="r1")
    assert (made.name, made.owner, made.golden_path, made.request_id) == (
        "orders",
        "orders",
        "python-service",
        "r1",
    )
    assert made.links["Catalog"] == "https://backstage.example.com/catalog/default/component/orders"
    assert made.links["Repository"] == "https://github.com/acme/orders"
    assert await catalog.find_entity("orders") == made
    posts = [call for call in fake.calls if call.startswith("POST")]
    assert posts == ["POST /locations dry", "POST /locations"]
    assert fake.targets() == [FILE]


async def test_ensuring_again_registers_nothing(catalog: backstage.Backstage, fake: FakeBackstage) -> None:
    first = await catalog.ensure_entity(ORDERS, request_id="r1")
    written = fake.called("POST")
    assert await catalog.ensure_entity(ORDERS, request_id="r1") == first
    assert fake.called("POST") == written


async def test_slow_processing_returns_soon_and_is_taken_up_again(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    fake.lag_seconds = 90.0
    with pytest.raises(TemporaryBackendError) as caught:
        await catalog.ensure_entity(ORDERS, request_id="r1")
    assert caught.value.kind is BackendErrorKind.NOT_READY
    assert fake.clock.seconds < 30
    assert (await until_ensured(catalog, fake)).request_id == "r1"
    assert fake.targets() == [FILE]
    assert fake.calls.count("POST /locations") == 1


@pytest.mark.parametrize(
    ("text", "kind", "temporary", "fix"),
    [
        (
            "InputError: YAML error at <file>, bad indentation",
            BackendErrorKind.INVALID,
            False,
            "catalog-info.yaml",
        ),
        (
            "NotFoundError: Unable to read url, no matching files",
            BackendErrorKind.NOT_READY,
            True,
            "integration",
        ),
        (
            "Error: Unable to read url, Reading from 'x' is not allowed. … 'backend.reading.allow'",
            BackendErrorKind.DENIED,
            False,
            "integration for the code host",
        ),
        (
            "NotAllowedError: Entity component:default/orders is not of an allowed kind for that location",
            BackendErrorKind.DENIED,
            False,
            "catalog.rules",
        ),
    ],
)
async def test_what_the_trial_refuses_is_said_and_nothing_is_registered(
    catalog: backstage.Backstage,
    fake: FakeBackstage,
    store: MemoryStore,
    text: str,
    kind: BackendErrorKind,
    temporary: bool,
    fix: str,
) -> None:
    fake.files[FILE] = text
    with pytest.raises(BackendError) as caught:
        await catalog.ensure_entity(ORDERS, request_id="r1")
    assert (caught.value.kind, caught.value.temporary) == (kind, temporary)
    assert text[:30] in caught.value.message
    assert fix in caught.value.sentence
    assert fake.targets() == []
    assert store.rows == {}


@pytest.mark.parametrize("change", [{"name": "other"}, {"namespace": "payments"}])
async def test_a_file_that_describes_something_else_is_not_registered(
    catalog: backstage.Backstage, fake: FakeBackstage, change: dict[str, str]
) -> None:
    file = component()
    file["metadata"] |= change
    fake.files[FILE] = file
    with pytest.raises(PermanentBackendError, match="does not describe the component default/orders"):
        await catalog.ensure_entity(ORDERS, request_id="r1")
    assert fake.targets() == []


@pytest.mark.parametrize(
    "links", [{}, {"Repository": "/srv/git/orders.git"}, {"Docs": "https://example.com"}]
)
async def test_a_service_without_a_web_repository_is_refused_before_anything_is_asked(
    catalog: backstage.Backstage, fake: FakeBackstage, links: dict[str, str]
) -> None:
    with pytest.raises(PermanentBackendError, match="web address"):
        await catalog.ensure_entity(replace(ORDERS, links=links), request_id="r1")
    assert fake.calls == []


@pytest.mark.parametrize("name", ["..", "a/b", "", "x" * 64, "orders?x=1"])
async def test_a_name_that_cannot_be_one_is_never_sent(
    catalog: backstage.Backstage, fake: FakeBackstage, name: str
) -> None:
    assert await catalog.find_entity(name) is None
    with pytest.raises(PermanentBackendError):
        await catalog.ensure_entity(replace(ORDERS, name=name), request_id="r1")
    assert fake.calls == []


async def test_an_older_backend_that_says_409_only_is_understood(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    fake.old = True
    fake.faults = [Fault("POST", lost, executed=True)]
    assert (await until_ensured(catalog, fake)).request_id == "r1"
    assert fake.targets() == [FILE]
    await until_removed(catalog, fake)
    assert fake.targets() == []


# ---------------------------------------------------------------- whose it is


@pytest.mark.parametrize("annotations", [{}, {"platform-bot/request-id": "r2"}])
async def test_a_name_from_another_repository_is_refused_and_kept(
    catalog: backstage.Backstage, fake: FakeBackstage, annotations: dict[str, str]
) -> None:
    theirs = "https://github.com/acme/payments/blob/main/catalog-info.yaml"
    fake.files[theirs] = component(**annotations)
    fake.register(theirs)
    await fake.clock.sleep(60)
    with pytest.raises(PermanentBackendError) as caught:
        await catalog.ensure_entity(ORDERS, request_id="r1")
    assert caught.value.kind is BackendErrorKind.ALREADY_EXISTS
    assert "group:default/orders" in caught.value.message
    await catalog.remove_entity("orders", request_id="r1")
    assert fake.targets() == [theirs]
    found = await catalog.find_entity("orders")
    assert found is not None
    assert found.request_id == (annotations.get("platform-bot/request-id") or None)


@pytest.mark.parametrize("lag_seconds", [0.0, 300.0])
async def test_what_another_request_registered_is_not_adopted(
    catalog: backstage.Backstage, fake: FakeBackstage, lag_seconds: float
) -> None:
    fake.lag_seconds = lag_seconds
    try:
        await catalog.ensure_entity(ORDERS, request_id="r2")
    except TemporaryBackendError:
        assert lag_seconds
    with pytest.raises(PermanentBackendError) as caught:
        await catalog.ensure_entity(ORDERS, request_id="r1")
    assert caught.value.kind is BackendErrorKind.ALREADY_EXISTS
    await catalog.remove_entity("orders", request_id="r1")
    assert fake.targets() == [FILE]
    await fake.clock.sleep(600)
    await catalog.remove_entity("orders", request_id="r2")
    assert fake.targets() == []


async def test_a_name_that_was_lost_to_another_repository_is_given_up_cleanly(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    """Backstage takes both files and lets the first one processed have the name."""
    fake.files[FILE] = component(**{"platform-bot/request-id": "r-copied"})
    fake.lag_seconds = float("inf")
    with pytest.raises(TemporaryBackendError):
        await catalog.ensure_entity(ORDERS, request_id="r1")
    theirs = "https://github.com/acme/payments/blob/main/catalog-info.yaml"
    fake.emit(component(), file=theirs, origin=theirs)
    found = await catalog.find_entity("orders")
    assert found is not None
    assert found.request_id is None
    with pytest.raises(PermanentBackendError) as caught:
        await catalog.ensure_entity(ORDERS, request_id="r1")
    assert caught.value.kind is BackendErrorKind.ALREADY_EXISTS
    await catalog.remove_entity("orders", request_id="r1")
    assert fake.targets() == []
    assert await catalog.find_entity("orders") == found


async def test_two_requests_at_once_have_one_winner(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    results = await asyncio.gather(
        *(catalog.ensure_entity(ORDERS, request_id=f"r{number}") for number in range(4)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, Entity) for result in results) == 1
    assert sum(isinstance(result, PermanentBackendError) for result in results) == 3
    assert fake.targets() == [FILE]
    (winner,) = (result for result in results if isinstance(result, Entity))
    await catalog.remove_entity("orders", request_id=str(winner.request_id))
    assert fake.targets() == []


@pytest.mark.parametrize(
    "file", [FILE, "https://github.com/acme/orders/tree/main/catalog-info.yaml"], ids=["blob", "tree"]
)
async def test_what_discovery_found_in_our_repository_counts_and_is_left_to_discovery(
    catalog: backstage.Backstage, fake: FakeBackstage, file: str
) -> None:
    fake.emit(component(), file=file, origin="github-discovery")
    found = await catalog.ensure_entity(ORDERS, request_id="r1")
    assert found.request_id == "r1"
    assert fake.called("POST") == 0
    assert await catalog.find_entity("orders") == found
    await catalog.remove_entity("orders", request_id="r1")
    assert fake.called("DELETE") == 0
    unmarked = await catalog.find_entity("orders")
    assert unmarked is not None
    assert unmarked.request_id is None


async def test_a_location_that_somebody_registered_first_is_used_and_left_standing(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    fake.register(FILE)
    assert (await until_ensured(catalog, fake)).request_id == "r1"
    assert fake.calls.count("POST /locations") == 0
    await catalog.remove_entity("orders", request_id="r1")
    assert fake.targets() == [FILE]


@pytest.mark.parametrize("refreshes_by_default", [False, True])
async def test_a_location_registered_between_trial_and_registration_is_left_standing(
    catalog: backstage.Backstage, fake: FakeBackstage, refreshes_by_default: bool
) -> None:
    fake.refreshes_by_default = refreshes_by_default

    def somebody_is_faster(_request: Any) -> Any:
        fake.register(FILE)
        return fake._create(_request)

    fake.faults = [Fault("POST", somebody_is_faster)]
    await until_ensured(catalog, fake)
    await catalog.remove_entity("orders", request_id="r1")
    assert fake.targets() == [FILE]


async def test_an_annotation_is_the_mark_where_the_note_is_gone(
    catalog: backstage.Backstage, fake: FakeBackstage, store: MemoryStore
) -> None:
    fake.files[FILE] = component(**{"platform-bot/request-id": "r1"})
    await catalog.ensure_entity(ORDERS, request_id="r1")
    store.rows.clear()
    assert (await catalog.ensure_entity(ORDERS, request_id="r1")).request_id == "r1"
    await catalog.remove_entity("orders", request_id="r1")
    assert fake.targets() == []


async def test_a_copied_annotation_does_not_outweigh_what_the_bot_noted(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    fake.files[FILE] = component(**{"platform-bot/request-id": "r-of-the-original"})
    assert (await catalog.ensure_entity(ORDERS, request_id="r1")).request_id == "r1"


async def test_a_location_that_leads_to_many_files_is_never_taken_back(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    everything = "https://github.com/acme/catalog/blob/main/all.yaml"
    fake.register(everything)
    fake.emit(component(**{"platform-bot/request-id": "r1"}), file=FILE, origin=everything)
    fake.register(FILE)
    await catalog.remove_entity("orders", request_id="r1")
    assert fake.targets() == [everything, FILE]


async def test_a_row_of_the_local_catalog_says_nothing_of_backstage(
    catalog: backstage.Backstage, fake: FakeBackstage, store: MemoryStore
) -> None:
    store.rows["orders"] = replace(ORDERS, request_id="r-local")
    assert (await catalog.ensure_entity(ORDERS, request_id="r1")).request_id == "r1"


async def test_an_orphan_is_registered_anew(catalog: backstage.Backstage, fake: FakeBackstage) -> None:
    fake.emit(component(**{"backstage.io/orphan": "true"}), file=FILE, origin=FILE)
    with pytest.raises(TemporaryBackendError):
        # The fake serves the orphan first; Backstage would drop the mark once the location emits the entity again.
        await catalog.ensure_entity(ORDERS, request_id="r1")
    assert fake.targets() == [FILE]


# ---------------------------------------------------------------- undo


async def test_undo_unregisters_and_may_be_repeated(
    catalog: backstage.Backstage, fake: FakeBackstage, store: MemoryStore
) -> None:
    fake.register("https://github.com/acme/payments/blob/main/catalog-info.yaml")
    await catalog.ensure_entity(ORDERS, request_id="r1")
    await catalog.remove_entity("orders", request_id="r1")
    assert fake.targets() == ["https://github.com/acme/payments/blob/main/catalog-info.yaml"]
    assert await catalog.find_entity("orders") is None
    assert store.rows == {}
    await catalog.remove_entity("orders", request_id="r1")
    assert fake.called("DELETE") == 1
    assert (await catalog.ensure_entity(ORDERS, request_id="r2")).request_id == "r2"


async def test_undo_before_the_entity_appeared_leaves_nothing(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    fake.lag_seconds = 300.0
    with pytest.raises(TemporaryBackendError):
        await catalog.ensure_entity(ORDERS, request_id="r1")
    await catalog.remove_entity("orders", request_id="r1")
    await fake.clock.sleep(600)
    assert fake.targets() == []
    assert await catalog.find_entity("orders") is None


async def test_an_undo_that_only_claims_success_is_found_out_before_the_entity_appears(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    fake.lag_seconds = 300.0
    with pytest.raises(TemporaryBackendError):
        await catalog.ensure_entity(ORDERS, request_id="r1")
    fake.faults = [Fault("DELETE", lambda _request: httpx.Response(204))]
    with pytest.raises(TemporaryBackendError, match="still lists"):
        await catalog.remove_entity("orders", request_id="r1")
    await until_removed(catalog, fake)
    assert fake.targets() == []


async def test_undo_waits_until_the_name_is_free(catalog: backstage.Backstage, fake: FakeBackstage) -> None:
    await catalog.ensure_entity(ORDERS, request_id="r1")
    fake.forgets_seconds = 60.0
    with pytest.raises(TemporaryBackendError, match="still shows orders"):
        await catalog.remove_entity("orders", request_id="r1")
    await until_removed(catalog, fake)
    assert await catalog.find_entity("orders") is None


async def test_undo_that_may_not_see_locations_does_not_claim_success(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    await catalog.ensure_entity(ORDERS, request_id="r1")
    fake.permissions = ALL - {"catalog.location.read"}
    with pytest.raises(PermanentBackendError, match="does not show the bot"):
        await catalog.remove_entity("orders", request_id="r1")
    fake.permissions = ALL
    await until_removed(catalog, fake)
    assert fake.targets() == []


# ---------------------------------------------------------------- a backend that fails

HARM = [
    pytest.param(Fault("POST", lost, executed=True), id="registered, answer lost"),
    pytest.param(Fault("POST", lost), id="broke off before registering"),
    pytest.param(Fault("POST", hangs, executed=True), id="registered, then hangs"),
    pytest.param(Fault("POST", hangs), id="hangs"),
    pytest.param(Fault("POST", broken, executed=True), id="registered, says 500"),
    pytest.param(Fault("POST", broken, times=3), id="500"),
    pytest.param(Fault("POST", garbage, executed=True), id="registered, answers garbage"),
    pytest.param(Fault("POST", garbage), id="garbage"),
    pytest.param(Fault("POST", lost, times=4, real=False), id="trial broke off"),
    pytest.param(Fault("POST", garbage, times=2, real=False), id="trial answers garbage"),
    pytest.param(Fault("GET", hangs, times=4), id="reading hangs"),
    pytest.param(Fault("GET", broken, times=4), id="reading says 500"),
]


@pytest.mark.parametrize("fault", HARM)
async def test_registering_through_trouble_ends_with_one_location(
    catalog: backstage.Backstage, fake: FakeBackstage, fault: Fault
) -> None:
    fake.faults = [replace(fault)]
    with pytest.raises(TemporaryBackendError):
        await catalog.ensure_entity(ORDERS, request_id="r1")
    assert (await until_ensured(catalog, fake)).request_id == "r1"
    assert fake.targets() == [FILE]
    await until_removed(catalog, fake)
    assert fake.targets() == []
    assert fake.visible() == []


@pytest.mark.parametrize("fault", HARM)
async def test_undo_after_trouble_leaves_nothing(
    catalog: backstage.Backstage, fake: FakeBackstage, fault: Fault
) -> None:
    """The first attempt failed for good in the middle, and the request is undone instead of tried again."""
    fake.faults = [replace(fault)]
    with pytest.raises(TemporaryBackendError):
        await catalog.ensure_entity(ORDERS, request_id="r1")
    fake.faults = []
    await fake.clock.sleep(60)
    await until_removed(catalog, fake)
    assert fake.targets() == []
    assert fake.visible() == []


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault("DELETE", lost, executed=True), id="unregistered, answer lost"),
        pytest.param(Fault("DELETE", lost, times=4), id="broke off"),
        pytest.param(Fault("DELETE", hangs, executed=True), id="unregistered, then hangs"),
        pytest.param(Fault("DELETE", broken, times=4), id="500"),
        pytest.param(Fault("DELETE", garbage), id="success, but nothing happened"),
        pytest.param(Fault("GET", hangs, times=4), id="reading hangs"),
    ],
)
async def test_undo_through_trouble_ends_with_nothing(
    catalog: backstage.Backstage, fake: FakeBackstage, fault: Fault
) -> None:
    await catalog.ensure_entity(ORDERS, request_id="r1")
    fake.faults = [replace(fault)]
    await until_removed(catalog, fake)
    assert fake.targets() == []
    assert fake.visible() == []


async def test_success_that_registered_nothing_is_found_out(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    location = {"id": "x", "type": "url", "target": FILE, "entityRef": "location:default/x"}

    def claims_success(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(201, json={"location": location, "entities": []})

    fake.faults = [Fault("POST", claims_success)]
    with pytest.raises(TemporaryBackendError) as caught:
        await catalog.ensure_entity(ORDERS, request_id="r1")
    assert caught.value.kind is BackendErrorKind.NOT_READY
    await until_ensured(catalog, fake)
    assert fake.targets() == [FILE]


async def test_a_proxy_s_404_is_not_an_answer_about_the_catalog(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    fake.faults = [Fault("GET", lambda _request: httpx.Response(404, text="default backend - 404"))]
    with pytest.raises(TemporaryBackendError) as caught:
        await catalog.find_entity("orders")
    assert "base_url" in caught.value.sentence


@pytest.mark.parametrize("status", [400, 404, 409, 418])
@pytest.mark.parametrize("real", [True, False], ids=["registering", "on trial"])
async def test_what_a_proxy_refuses_is_neither_success_nor_final(
    catalog: backstage.Backstage, fake: FakeBackstage, status: int, real: bool
) -> None:
    fake.faults = [Fault("POST", lambda _request: httpx.Response(status, text="no"), times=3, real=real)]
    with pytest.raises(TemporaryBackendError, match="something else answers there"):
        await catalog.ensure_entity(ORDERS, request_id="r1")
    assert fake.targets() == []
    await until_ensured(catalog, fake)
    fake.faults = [Fault("DELETE", lambda _request: httpx.Response(status, text="no"), times=3)]
    with pytest.raises(TemporaryBackendError, match="something else answers there"):
        await catalog.remove_entity("orders", request_id="r1")
    await until_removed(catalog, fake)
    assert fake.targets() == []


async def test_a_backend_that_stays_away_is_left_alone_for_a_moment(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    fake.faults = [Fault("GET", broken, times=50)]
    for _ in range(4):
        with pytest.raises(TemporaryBackendError):
            await catalog.find_entity("orders")
    asked = len(fake.calls)
    with pytest.raises(TemporaryBackendError, match="left alone"):
        await catalog.find_entity("orders")
    assert len(fake.calls) == asked
    assert "open" in catalog.breaker_state()


async def test_a_failing_database_is_never_an_answer(
    catalog: backstage.Backstage, fake: FakeBackstage, store: MemoryStore
) -> None:
    store.failure = TemporaryBackendError("The bot's database cannot be reached.", backend="database")
    with pytest.raises(TemporaryBackendError, match="cannot be reached"):
        await catalog.ensure_entity(ORDERS, request_id="r1")
    assert fake.targets() == []


@pytest.mark.parametrize(
    ("missing", "said"),
    [("catalog.location.create", "accessRestrictions"), ("", "catalog.readonly")],
    ids=["permission", "read-only"],
)
async def test_what_may_not_be_registered_is_said_for_good(
    catalog: backstage.Backstage, fake: FakeBackstage, missing: str, said: str
) -> None:
    fake.permissions, fake.read_only = ALL - {missing}, not missing
    with pytest.raises(PermanentBackendError) as caught:
        await catalog.ensure_entity(ORDERS, request_id="r1")
    assert caught.value.kind is BackendErrorKind.DENIED
    assert said in caught.value.sentence
    assert fake.targets() == []


# ---------------------------------------------------------------- facts


async def test_services_live_in_the_namespace_that_is_set(fake: FakeBackstage, store: MemoryStore) -> None:
    settings = backstage.Settings(base_url="https://backstage.example.com", namespace="shop")
    file = component()
    file["metadata"]["namespace"] = "shop"
    fake.files[FILE] = file
    fake.emit(component(), file="https://example.com/other", origin="https://example.com/other")
    async with backstage.connect(
        settings, place(store), transport=fake.transport(), timing=fake.clock.timing()
    ) as catalog:
        made = await catalog.ensure_entity(ORDERS, request_id="r1")
        assert made.links["Catalog"].endswith("/catalog/shop/component/orders")
        assert [entity.request_id for entity in await catalog.search("orders")] == ["r1"]


async def test_owner_and_on_call_are_read_back_as_facts(fake: FakeBackstage, store: MemoryStore) -> None:
    settings = backstage.Settings(
        base_url="https://backstage.internal",
        ui_url="https://portal.example.com/",
        on_call={
            "opsgenie.com/missing": "https://opsgenie.example.com/{value}",
            "pagerduty.com/service-id": "https://acme.pagerduty.com/service-directory/{value}",
        },
    )
    entity = component(**{"pagerduty.com/service-id": "PABC123"})
    entity["metadata"]["links"].append({"url": "javascript:alert(1)", "title": "Runbook"})
    entity["spec"] |= {"owner": "group:platform/Payments", "lifecycle": "experimental"}
    fake.emit(entity, file=FILE, origin=FILE)
    async with backstage.connect(settings, place(store), transport=fake.transport()) as catalog:
        found = await catalog.find_entity("orders")
    assert found is not None
    assert (found.owner, found.lifecycle, found.request_id) == ("Payments", "experimental", None)
    assert found.links == {
        "Repository": "https://github.com/acme/orders",
        "Catalog": "https://portal.example.com/catalog/default/component/orders",
        "On call": "https://acme.pagerduty.com/service-directory/PABC123",
    }


@pytest.mark.parametrize(
    ("owner", "team"),
    [
        ("orders", "orders"),
        ("group:orders", "orders"),
        ("Group:default/orders", "orders"),
        ("payments/orders", "orders"),
        ("user:default/ann", "user:default/ann"),
        ("", ""),
    ],
)
async def test_the_owner_is_the_team_s_name(
    catalog: backstage.Backstage, fake: FakeBackstage, owner: str, team: str
) -> None:
    entity = component()
    entity["spec"]["owner"] = owner
    fake.emit(entity, file=FILE, origin=FILE)
    found = await catalog.find_entity("orders")
    assert found is not None
    assert found.owner == team


@pytest.mark.parametrize("path", ["go-service", "node-service", "python-service"])
def test_golden_paths_carry_the_annotation_that_is_read(path: str) -> None:
    root = Path(__file__).parents[2] / "golden_paths" / path
    written = (root / "template" / "catalog-info.yaml.jinja").read_text(encoding="utf-8")
    assert f"{GOLDEN_PATH}: {path}" in written


# ---------------------------------------------------------------- searching


async def test_searching_pages_and_means_what_was_typed(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    for number in range(240):
        fake.emit(component(f"s{number:03}"), file=f"{FILE}{number}", origin=FILE)
    fake.emit(component("a_b"), file=FILE, origin=FILE)
    fake.emit(component("axb"), file=FILE, origin=FILE)
    assert [entity.name for entity in await catalog.search("  S239 ")] == ["s239"]
    assert [entity.name for entity in await catalog.search("a_b")] == ["a_b"]
    assert [entity.name for entity in await catalog.search("%")] == []
    assert [entity.name for entity in await catalog.search("s1,kind=user")] == []
    assert len(await catalog.search("")) == 20
    assert len(await catalog.search("orders", limit=1000)) == backstage.SEARCH_LIMIT
    assert len(await catalog.search("", limit=-5)) == 1


async def test_wildcards_do_not_hide_matches_on_later_pages(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    for number in range(150):
        fake.emit(component(f"a{number:03}b"), file=f"{FILE}{number}", origin=FILE)
    fake.emit(component("za_b"), file=FILE, origin=FILE)
    assert [entity.name for entity in await catalog.search("a_b")] == ["za_b"]


async def test_only_components_of_the_namespace_are_found(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    elsewhere = component("elsewhere")
    elsewhere["metadata"]["namespace"] = "payments"
    for entity in (component(), elsewhere, {**component("template"), "kind": "Template"}):
        fake.emit(entity, file=FILE, origin=FILE)
    assert [entity.name for entity in await catalog.search("")] == ["orders"]


async def test_a_search_that_cannot_be_asked_is_no_empty_list(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    fake.faults = [Fault("GET", garbage, times=5)]
    with pytest.raises(TemporaryBackendError, match="cannot be read"):
        await catalog.search("orders")


# ---------------------------------------------------------------- check


async def test_check_of_a_working_set_up_changes_nothing(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    fake.permissions = ALL
    fake.register(FILE)
    assert [finding.ok for finding in await catalog.check()] == [True] * 4
    assert fake.targets() == [FILE]


@pytest.mark.parametrize("missing", sorted(ALL))
async def test_check_names_the_permission_that_is_missing(
    catalog: backstage.Backstage, fake: FakeBackstage, missing: str
) -> None:
    fake.permissions = ALL - {missing}
    fake.register(FILE)
    (bad,) = [finding for finding in await catalog.check() if not finding.ok]
    assert missing in bad.fix
    assert fake.targets() == [FILE]


async def test_check_tells_read_only_from_a_missing_permission(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    fake.read_only = True
    fake.register(FILE)
    (bad,) = [finding for finding in await catalog.check() if not finding.ok]
    assert "catalog.readonly" in bad.fix


async def test_check_without_a_registered_location_does_not_cry_wolf(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    fake.emit(component(), file=FILE, origin="github-discovery")
    assert all(finding.ok for finding in await catalog.check())


async def test_check_of_a_wrong_token_says_which_variable(
    fake: FakeBackstage, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    surroundings = place(store, BACKSTAGE_TOKEN="another-token-that-is-wrong")
    async with backstage.connect(SETTINGS, surroundings, transport=fake.transport()) as catalog:
        (bad,) = await catalog.check()
    assert not bad.ok
    assert "BACKSTAGE_TOKEN" in bad.fix
    assert "another-token" not in f"{bad}{caplog.text}"


async def test_check_of_a_backend_that_is_away_is_one_line(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    fake.faults = [Fault("GET", broken, times=50)]
    (bad,) = await catalog.check()
    assert not bad.ok
    assert bad.fix


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize("held", [{"OTHER": "x"}, {"BACKSTAGE_TOKEN": "  "}, {"BACKSTAGE_TOKEN": "tökén"}])
async def test_without_a_token_the_bot_says_which_variable_is_missing(
    store: MemoryStore, held: dict[str, str]
) -> None:
    with pytest.raises(StartError, match="BACKSTAGE_TOKEN"):
        async with backstage.open(SETTINGS, place(store, **held)):
            raise AssertionError("it opened")


async def test_the_start_does_not_wait_for_backstage(store: MemoryStore) -> None:
    nobody = backstage.Settings(base_url="http://127.0.0.1:9", connect_seconds=0.2)
    async with backstage.open(nobody, place(store)) as catalog:
        assert "closed" in catalog.breaker_state()


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "backstage.example.com"},
        {"base_url": "https://b.example.com", "location_template": "https://github.com/acme/x.yaml"},
        {"base_url": "https://b.example.com", "namespace": "default,kind=user"},
        {"base_url": "https://b.example.com", "on_call": {"a/b": "https://example.com"}},
        {"base_url": "https://b.example.com", "token": "secret"},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        backstage.Settings(**wrong)


def test_the_address_of_the_file_follows_the_code_host() -> None:
    forgejo = "{repository_url}/src/branch/main/catalog-info.yaml"
    entity = replace(ORDERS, links={"repository": "https://git.example.com/acme/orders.git/"})
    assert backstage.location_target(forgejo, entity) == (
        "https://git.example.com/acme/orders/src/branch/main/catalog-info.yaml"
    )


def test_the_page_grants_exactly_what_check_asks_for() -> None:
    page = (Path(__file__).parents[2] / "docs" / "backends" / "backstage.md").read_text(encoding="utf-8")
    snippet = page.split("accessRestrictions:", 1)[1].split("```", 1)[0]
    assert set(re.findall(r"- (catalog\.[a-z.]+)", snippet)) == ALL


async def test_what_carries_our_mark_is_listed_whoever_registered_it(
    catalog: backstage.Backstage, fake: FakeBackstage
) -> None:
    for number in range(120):
        marked = component(f"s{number:03}", **{REQUEST_ID: f"r-{number}"})
        fake.emit(marked, file=f"{FILE}{number}", origin=FILE)
    fake.emit(component("foreign"), file=FILE, origin=FILE)
    listed = await catalog.list_marked()
    assert len(listed) == 120
    assert (listed[7].kind, listed[7].name, listed[7].request_id) == ("catalog entry", "s007", "r-7")
    assert listed[7].place == "https://backstage.example.com/catalog/default/component/s007"
