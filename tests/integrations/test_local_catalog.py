"""The catalog in the bot's database: who owns a name, what a search finds, what a failing database becomes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bot.errors import BackendErrorKind, NotFoundError, PermanentBackendError, TemporaryBackendError
from integrations import local_catalog
from integrations.ports import Catalog, Entity, Surroundings

ORDERS = Entity("orders", "Orders", "Takes orders", owner="orders", golden_path="python-service")


class MemoryStore:
    """An EntityStore as the contract describes it; every call gives way, as a database's does."""

    def __init__(self) -> None:
        self.rows: dict[str, Entity] = {}
        self.writes = 0
        self.failure: Exception | None = None

    async def _away(self) -> None:
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure

    async def put_entity(self, entity: Entity) -> None:
        await self._away()
        self.writes += 1
        self.rows[entity.name] = entity

    async def find_entity(self, name: str) -> Entity | None:
        await self._away()
        return self.rows.get(name)

    async def search_entities(self, text: str, *, limit: int) -> Sequence[Entity]:
        await self._away()
        found = [
            entity
            for _, entity in sorted(self.rows.items())
            if text.lower() in f"{entity.name} {entity.title} {entity.description} {entity.owner}".lower()
        ]
        return found[:limit]

    async def delete_entity(self, name: str) -> None:
        await self._away()
        self.rows.pop(name, None)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def catalog(store: MemoryStore, tmp_path: Path) -> AsyncIterator[local_catalog.LocalCatalog]:
    place = Surroundings(state_folder=tmp_path, base_folder=tmp_path, entities=store, secrets={})
    async with local_catalog.open(local_catalog.Settings(), place) as opened:
        yield opened


async def test_an_entity_carries_its_request(catalog: local_catalog.LocalCatalog) -> None:
    assert isinstance(catalog, Catalog)
    made = await catalog.ensure_entity(ORDERS, request_id="r1")
    assert made == replace(ORDERS, request_id="r1")
    assert await catalog.find_entity("orders") == made
    assert await catalog.find_entity("payments") is None


async def test_ensuring_again_writes_only_what_changed(
    catalog: local_catalog.LocalCatalog, store: MemoryStore
) -> None:
    await catalog.ensure_entity(ORDERS, request_id="r1")
    await catalog.ensure_entity(ORDERS, request_id="r1")
    assert store.writes == 1
    changed = replace(ORDERS, links={"repository": "https://example.com"})
    assert (await catalog.ensure_entity(changed, request_id="r1")).links == changed.links
    assert store.writes == 2


@pytest.mark.parametrize("owner", ["r2", None])
async def test_a_name_of_somebody_else_is_refused_and_kept(
    catalog: local_catalog.LocalCatalog, store: MemoryStore, owner: str | None
) -> None:
    store.rows["orders"] = theirs = replace(ORDERS, owner="payments", request_id=owner)
    with pytest.raises(PermanentBackendError) as caught:
        await catalog.ensure_entity(ORDERS, request_id="r1")
    assert caught.value.kind is BackendErrorKind.ALREADY_EXISTS
    assert "payments" in caught.value.message
    await catalog.remove_entity("orders", request_id="r1")
    assert await catalog.find_entity("orders") == theirs


async def test_two_requests_at_once_have_one_winner(
    catalog: local_catalog.LocalCatalog, store: MemoryStore
) -> None:
    results = await asyncio.gather(
        *(catalog.ensure_entity(ORDERS, request_id=f"r{number}") for number in range(5)),
        return_exceptions=True,
    )
    won = [result for result in results if isinstance(result, Entity)]
    assert won == [store.rows["orders"]]
    assert sum(isinstance(result, PermanentBackendError) for result in results) == 4


async def test_undo_removes_what_the_request_made_and_may_be_repeated(
    catalog: local_catalog.LocalCatalog,
) -> None:
    await catalog.ensure_entity(ORDERS, request_id="r1")
    await catalog.remove_entity("orders", request_id="r1")
    await catalog.remove_entity("orders", request_id="r1")
    assert await catalog.find_entity("orders") is None
    assert (await catalog.ensure_entity(ORDERS, request_id="r2")).request_id == "r2"


async def test_searching_finds_and_lists_within_limits(catalog: local_catalog.LocalCatalog) -> None:
    for number in range(120):
        await catalog.ensure_entity(
            replace(ORDERS, name=f"s{number:03}", title=f"S{number}"), request_id="r1"
        )
    assert [entity.name for entity in await catalog.search("  S119 ")] == ["s119"]
    assert len(await catalog.search("")) == 20
    assert len(await catalog.search("", limit=1000)) == local_catalog.SEARCH_LIMIT
    assert len(await catalog.search("", limit=-5)) == 1
    assert await catalog.search("nothing like it") == []


async def test_a_failing_database_is_never_an_answer(
    catalog: local_catalog.LocalCatalog, store: MemoryStore
) -> None:
    assert [finding.ok for finding in await catalog.check()] == [True]
    store.failure = TemporaryBackendError("The bot's database cannot be reached.", backend="database")
    for call in (
        catalog.find_entity("orders"),
        catalog.search("orders"),
        catalog.ensure_entity(ORDERS, request_id="r1"),
        catalog.remove_entity("orders", request_id="r1"),
    ):
        with pytest.raises(TemporaryBackendError, match="cannot be reached"):
            await call
    (finding,) = await catalog.check()
    assert not finding.ok
    assert finding.fix


@pytest.mark.parametrize("failure", [NotFoundError("gone"), KeyError("a mistake of ours")])
async def test_what_is_no_outage_is_not_taken_for_one(
    catalog: local_catalog.LocalCatalog, store: MemoryStore, failure: Exception
) -> None:
    store.failure = failure
    with pytest.raises(type(failure)):
        await catalog.find_entity("orders")
