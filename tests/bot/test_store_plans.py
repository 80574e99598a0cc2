"""No list walks a whole table: the indexes the queries were made for are the ones SQLite chooses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from database import Clock

from bot.store import Store

Ask = Callable[[Store, Clock], Awaitable[Any]]


async def plans(store: Store, ask: Awaitable[Any]) -> list[str]:
    """SQLite's plan of every SELECT that `ask` executes."""
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        await ask
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    lines: list[str] = []
    async with store.engine.connect() as connection:
        for statement, parameters in asked:
            found = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            lines += [str(row[-1]) for row in found]
    return lines


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("ask", "index"),
    [
        (lambda store, _: store.list_requests(), "requests_by_age"),
        (lambda store, _: store.list_requests(requester="U1"), "requests_by_requester"),
        (lambda store, _: store.list_requests(service="orders"), "requests_by_service"),
        (lambda store, _: store.list_requests(teams=["orders"]), "requests_by_team"),
        (lambda store, _: store.list_claimable("here"), "requests_by_state"),
        (lambda store, clock: store.unplanned(older_than=clock.now), "requests_by_state"),
        (lambda store, _: store.find_active("promote:orders"), "sqlite_autoindex_requests"),
        (lambda store, _: store.expire_due(), "requests_due"),
        (lambda store, _: store.claim_dirty_cards(), "cards_dirty"),
        (lambda store, _: store.list_deployments("orders", "production"), "deployments_by_place"),
        (lambda store, _: store.list_audit(service="orders"), "audit_events_by_service"),
        (lambda store, _: store.list_audit(actor="U1"), "audit_events_by_actor"),
        (lambda store, _: store.list_audit(request_id="r1"), "audit_events_by_request"),
        (lambda store, _: store.list_services(), "sqlite_autoindex_services"),
        (
            lambda store, _: store.list_services(text="no such words"),
            "PRIMARY KEY (fragment>? AND fragment<?)",
        ),
    ],
)
async def test_a_list_comes_from_its_index_in_order(store: Store, clock: Clock, ask: Ask, index: str) -> None:
    lines = await plans(store, ask(store, clock))

    assert any(index in line for line in lines), lines
    assert not [line for line in lines if line.startswith("SCAN") and "USING INDEX" not in line], lines
    assert not [line for line in lines if "TEMP B-TREE" in line], lines


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("narrowed", [{"requester": "U1"}, {"service": "orders"}, {"teams": ["orders"]}])
async def test_open_requests_are_looked_for_among_the_open_ones(
    store: Store, narrowed: dict[str, Any]
) -> None:
    """Not through all that somebody ever asked for: the few that are open may be sorted."""
    lines = await plans(store, store.list_requests(only_open=True, **narrowed))

    assert any("requests_by_state" in line for line in lines), lines
