"""What may be asked of the database: every list is a keyset page with a limit, no totals, no offsets. Reads only.

A list of requests brings approvals and steps along, each in one query for the whole page.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, bindparam, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.audit import Head, timestamp
from bot.domain import (
    OPEN_STATES,
    WORKING_STATES,
    AuditEvent,
    Card,
    DeploymentRecord,
    Request,
    RequestState,
    RunId,
    Service,
)
from bot.rows import FRAGMENT_LENGTH, searchable, to_card, to_deployment, to_entity, to_event, to_service
from bot.tables import (
    CARDS,
    DEPLOYMENTS,
    ENTITIES,
    EVENTS,
    FRAGMENTS,
    HEAD,
    KEY,
    MOMENT,
    REPLICAS,
    REQUESTS,
    SERVICES,
)
from bot.transaction import HEAD_ID, load_requests
from integrations.ports import Entity

FEW = 200
"""So many services are quicker fetched by name than found by looking through all."""
_LAST_CHARACTER = "\U0010ffff"
_REQUEST = select(REQUESTS).where(REQUESTS.c.id == bindparam("request"))
_ACTIVE = select(REQUESTS).where(REQUESTS.c.active_key == bindparam("subject"))

# ---------------------------------------------------------------- services and deployments


async def list_services(
    connection: AsyncConnection, *, text: str, teams: Sequence[str], after: str, limit: int
) -> list[Service]:
    statement = select(SERVICES).where(SERVICES.c.name > after).order_by(SERVICES.c.name)
    if text:
        few = await _few_that_may_contain(connection, searchable(text))
        if few == []:
            return []
        if few is not None:
            statement = statement.where(SERVICES.c.name.in_(few))
        statement = statement.where(_contains(SERVICES.c.search_text, text))
    if teams:
        statement = statement.where(SERVICES.c.team.in_(teams))
    return [to_service(row) for row in await connection.execute(statement.limit(limit))]


async def _few_that_may_contain(connection: AsyncConnection, text: str) -> list[str] | None:
    """None where they are many: then a page of them is found soon by looking through all in their order."""
    for part in {text[:FRAGMENT_LENGTH], text[-FRAGMENT_LENGTH:]}:
        fragment = FRAGMENTS.c.fragment
        last = part + _LAST_CHARACTER * (FRAGMENT_LENGTH - len(part))
        statement = select(FRAGMENTS.c.service).where(fragment >= part, fragment <= last)
        found = (await connection.execute(statement.limit(FEW))).scalars().all()
        if len(found) < FEW:
            return sorted(set(found))
    return None


def _contains(column: Any, text: str) -> ColumnElement[bool]:
    """What people type is looked for as it is: `%` and `_` mean themselves."""
    found: ColumnElement[bool] = column.contains(searchable(text), autoescape=True)
    return found


async def list_deployments(
    connection: AsyncConnection, service: str, environment: str, *, limit: int
) -> list[DeploymentRecord]:
    statement = (
        select(DEPLOYMENTS)
        .where(DEPLOYMENTS.c.service == service, DEPLOYMENTS.c.environment == environment)
        .order_by(DEPLOYMENTS.c.deployed_at.desc(), DEPLOYMENTS.c.id.desc())
        .limit(limit)
    )
    return [to_deployment(row) for row in await connection.execute(statement)]


# ---------------------------------------------------------------- requests


async def find_request(connection: AsyncConnection, request_id: str) -> Request | None:
    found = await connection.execute(_REQUEST, {"request": request_id})
    return next(iter(await load_requests(connection, found.all())), None)


async def find_active(connection: AsyncConnection, active_key: str) -> Request | None:
    found = await connection.execute(_ACTIVE, {"subject": active_key})
    return next(iter(await load_requests(connection, found.all())), None)


async def list_requests(
    connection: AsyncConnection,
    *,
    requester: str,
    service: str,
    teams: Sequence[str],
    states: Sequence[RequestState],
    only_open: bool,
    before: str,
    limit: int,
) -> list[Request]:
    """Newest first. A `before` that names no request is the first page: the list may have been asked for long ago."""
    statement = select(REQUESTS).order_by(REQUESTS.c.created_at.desc(), REQUESTS.c.id.desc())
    wanted = frozenset(states or (OPEN_STATES if only_open else ()))
    # Few are open, however many there were: an index on who or what would be read through for them, so it is not offered.
    seen = _as_value if wanted and wanted <= OPEN_STATES else _as_column
    if requester:
        statement = statement.where(seen(REQUESTS.c.requester) == requester)
    if service:
        statement = statement.where(seen(REQUESTS.c.service) == service)
    if teams:
        statement = statement.where(seen(REQUESTS.c.team).in_(teams))
    if wanted:
        statement = statement.where(REQUESTS.c.state.in_(sorted(wanted)))
    last = (await connection.execute(_REQUEST, {"request": before})).one_or_none() if before else None
    if last is not None:
        # As a pair, which an index is entered at; `or` would be judged row by row from the newest on.
        place = tuple_(REQUESTS.c.created_at, REQUESTS.c.id)
        statement = statement.where(place < tuple_(literal(last.created_at, MOMENT), literal(last.id, KEY)))
    return await load_requests(connection, (await connection.execute(statement.limit(limit))).all())


def _as_column(column: Column[str]) -> ColumnElement[str]:
    return column


def _as_value(column: Column[str]) -> ColumnElement[str]:
    """The same text, and not what an index is about."""
    return column.concat("")


async def list_unplanned(connection: AsyncConnection, *, older_than: datetime, limit: int) -> list[Request]:
    """Longest unchanged first."""
    statement = (
        select(REQUESTS)
        .where(REQUESTS.c.state == RequestState.PLANNING, REQUESTS.c.updated_at <= older_than)
        .order_by(REQUESTS.c.updated_at, REQUESTS.c.id)
        .limit(limit)
    )
    return await load_requests(connection, (await connection.execute(statement)).all())


async def list_claimable(connection: AsyncConnection, replica: str) -> list[RunId]:
    """What this replica carries out is among them: whether it still does, only the process knows."""
    statement = select(REQUESTS.c.id, REQUESTS.c.run).where(
        REQUESTS.c.state.in_(sorted(WORKING_STATES)),
        (REQUESTS.c.replica == replica) | REQUESTS.c.replica.not_in(select(REPLICAS.c.id)),
    )
    return [RunId(request_id, run) for request_id, run in await connection.execute(statement)]


async def list_cards(connection: AsyncConnection, request_id: str) -> list[Card]:
    statement = select(CARDS).where(CARDS.c.request_id == request_id).order_by(CARDS.c.id)
    return [to_card(row) for row in await connection.execute(statement)]


# ---------------------------------------------------------------- audit


async def audit_head(connection: AsyncConnection) -> Head:
    row = await connection.execute(select(HEAD.c.sequence, HEAD.c.hash).where(HEAD.c.id == HEAD_ID))
    return Head(*row.one())


async def list_audit(
    connection: AsyncConnection,
    *,
    service: str,
    actor: str,
    request_id: str,
    since: datetime | None,
    before: int,
    steps: bool,
    limit: int,
) -> list[AuditEvent]:
    """Newest first. Times grow with the sequence, so the oldest of a page are the ones before `since`: they are cut off here,
    because a condition that nothing recent meets would have the database look through all of history."""
    statement = select(EVENTS).order_by(EVENTS.c.sequence.desc())
    if service:
        statement = statement.where(EVENTS.c.service == service)
    if actor:
        statement = statement.where(EVENTS.c.actor == actor)
    if request_id:
        statement = statement.where(EVENTS.c.request_id == request_id)
    if before:
        statement = statement.where(EVENTS.c.sequence < before)
    if not steps:
        statement = statement.where(EVENTS.c.event.not_like("step.%"))
    oldest = "" if since is None else timestamp(since)
    return [to_event(row) for row in await connection.execute(statement.limit(limit)) if row.at >= oldest]


async def audit_page(connection: AsyncConnection, *, after: int, upto: int, limit: int) -> list[AuditEvent]:
    """Oldest first, for walking the chain; `upto` holds the walk to what was there when it began."""
    statement = (
        select(EVENTS)
        .where(EVENTS.c.sequence > after, EVENTS.c.sequence <= upto)
        .order_by(EVENTS.c.sequence)
        .limit(limit)
    )
    return [to_event(row) for row in await connection.execute(statement)]


# ---------------------------------------------------------------- catalog


async def find_entity(connection: AsyncConnection, name: str) -> Entity | None:
    row = (await connection.execute(select(ENTITIES).where(ENTITIES.c.name == name))).one_or_none()
    return None if row is None else to_entity(row)


async def search_entities(connection: AsyncConnection, text: str, *, limit: int) -> list[Entity]:
    statement = select(ENTITIES).order_by(ENTITIES.c.name).limit(limit)
    if text:
        statement = statement.where(_contains(ENTITIES.c.search_text, text))
    return [to_entity(row) for row in await connection.execute(statement)]
