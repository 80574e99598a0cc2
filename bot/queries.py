"""What may be asked of the database: every list is a keyset page with a limit, no totals, no offsets. Reads only.

A list of requests brings approvals and steps along, each in one query for the whole page.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

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
    KEY,
    MOMENT,
    AuditEventRow,
    AuditHeadRow,
    CardRow,
    DeploymentRow,
    EntityRow,
    ReplicaRow,
    RequestRow,
    ServiceFragmentRow,
    ServiceRow,
)
from bot.transaction import HEAD_ID, load_requests
from integrations.ports import Entity

FEW = 200
"""So many services are quicker fetched by name than found by looking through all."""
_LAST_CHARACTER = "\U0010ffff"

# ---------------------------------------------------------------- services and deployments


async def list_services(
    session: AsyncSession, *, text: str, teams: Sequence[str], after: str, limit: int
) -> list[Service]:
    statement = select(ServiceRow).where(col(ServiceRow.name) > after).order_by(col(ServiceRow.name))
    if text:
        few = await _few_that_may_contain(session, searchable(text))
        if few == []:
            return []
        if few is not None:
            statement = statement.where(col(ServiceRow.name).in_(few))
        statement = statement.where(_contains(col(ServiceRow.search_text), text))
    if teams:
        statement = statement.where(col(ServiceRow.team).in_(teams))
    return [to_service(row) for row in await session.scalars(statement.limit(limit))]


async def _few_that_may_contain(session: AsyncSession, text: str) -> list[str] | None:
    """None where they are many: then a page of them is found soon by looking through all in their order."""
    for part in {text[:FRAGMENT_LENGTH], text[-FRAGMENT_LENGTH:]}:
        fragment = col(ServiceFragmentRow.fragment)
        last = part + _LAST_CHARACTER * (FRAGMENT_LENGTH - len(part))
        statement = select(col(ServiceFragmentRow.service)).where(fragment >= part, fragment <= last)
        found = (await session.scalars(statement.limit(FEW))).all()
        if len(found) < FEW:
            return sorted(set(found))
    return None


def _contains(column: Any, text: str) -> ColumnElement[bool]:
    """What people type is looked for as it is: `%` and `_` mean themselves."""
    found: ColumnElement[bool] = column.contains(searchable(text), autoescape=True)
    return found


async def list_deployments(
    session: AsyncSession, service: str, environment: str, *, limit: int
) -> list[DeploymentRecord]:
    statement = (
        select(DeploymentRow)
        .where(col(DeploymentRow.service) == service, col(DeploymentRow.environment) == environment)
        .order_by(col(DeploymentRow.deployed_at).desc(), col(DeploymentRow.id).desc())
        .limit(limit)
    )
    return [to_deployment(row) for row in await session.scalars(statement)]


# ---------------------------------------------------------------- requests


async def find_request(session: AsyncSession, request_id: str) -> Request | None:
    row = await session.get(RequestRow, request_id)
    return None if row is None else (await load_requests(session, [row]))[0]


async def find_active(session: AsyncSession, active_key: str) -> Request | None:
    row = await session.scalar(select(RequestRow).where(col(RequestRow.active_key) == active_key))
    return None if row is None else (await load_requests(session, [row]))[0]


async def list_requests(
    session: AsyncSession,
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
    statement = select(RequestRow).order_by(col(RequestRow.created_at).desc(), col(RequestRow.id).desc())
    wanted = frozenset(states or (OPEN_STATES if only_open else ()))
    # Few are open, however many there were: an index on who or what would be read through for them, so it is not offered.
    seen = _as_value if wanted and wanted <= OPEN_STATES else _as_column
    if requester:
        statement = statement.where(seen(RequestRow.requester) == requester)
    if service:
        statement = statement.where(seen(RequestRow.service) == service)
    if teams:
        statement = statement.where(seen(RequestRow.team).in_(teams))
    if wanted:
        statement = statement.where(col(RequestRow.state).in_(sorted(wanted)))
    last = await session.get(RequestRow, before) if before else None
    if last is not None:
        # As a pair, which an index is entered at; `or` would be judged row by row from the newest on.
        place = tuple_(col(RequestRow.created_at), col(RequestRow.id))
        statement = statement.where(place < tuple_(literal(last.created_at, MOMENT), literal(last.id, KEY)))
    return await load_requests(session, (await session.scalars(statement.limit(limit))).all())


def _as_column(column: str) -> SQLColumnExpression[str]:
    return col(column)


def _as_value(column: str) -> SQLColumnExpression[str]:
    """The same text, and not what an index is about."""
    return col(column).concat("")


async def list_unplanned(session: AsyncSession, *, older_than: datetime, limit: int) -> list[Request]:
    """Longest unchanged first."""
    statement = (
        select(RequestRow)
        .where(col(RequestRow.state) == RequestState.PLANNING, col(RequestRow.updated_at) <= older_than)
        .order_by(col(RequestRow.updated_at), col(RequestRow.id))
        .limit(limit)
    )
    return await load_requests(session, (await session.scalars(statement)).all())


async def list_claimable(session: AsyncSession, replica: str) -> list[RunId]:
    """What this replica carries out is among them: whether it still does, only the process knows."""
    statement = select(col(RequestRow.id), col(RequestRow.run)).where(
        col(RequestRow.state).in_(sorted(WORKING_STATES)),
        (col(RequestRow.replica) == replica) | col(RequestRow.replica).not_in(select(col(ReplicaRow.id))),
    )
    return [RunId(request_id, run) for request_id, run in await session.execute(statement)]


async def list_cards(session: AsyncSession, request_id: str) -> list[Card]:
    statement = select(CardRow).where(col(CardRow.request_id) == request_id).order_by(col(CardRow.id))
    return [to_card(row) for row in await session.scalars(statement)]


# ---------------------------------------------------------------- audit


async def audit_head(session: AsyncSession) -> Head:
    row = await session.get_one(AuditHeadRow, HEAD_ID)
    return Head(row.sequence, row.hash)


async def list_audit(
    session: AsyncSession,
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
    statement = select(AuditEventRow).order_by(col(AuditEventRow.sequence).desc())
    if service:
        statement = statement.where(col(AuditEventRow.service) == service)
    if actor:
        statement = statement.where(col(AuditEventRow.actor) == actor)
    if request_id:
        statement = statement.where(col(AuditEventRow.request_id) == request_id)
    if before:
        statement = statement.where(col(AuditEventRow.sequence) < before)
    if not steps:
        statement = statement.where(col(AuditEventRow.event).not_like("step.%"))
    oldest = "" if since is None else timestamp(since)
    return [to_event(row) for row in await session.scalars(statement.limit(limit)) if row.at >= oldest]


async def audit_page(session: AsyncSession, *, after: int, upto: int, limit: int) -> list[AuditEvent]:
    """Oldest first, for walking the chain; `upto` holds the walk to what was there when it began."""
    statement = (
        select(AuditEventRow)
        .where(col(AuditEventRow.sequence) > after, col(AuditEventRow.sequence) <= upto)
        .order_by(col(AuditEventRow.sequence))
        .limit(limit)
    )
    return [to_event(row) for row in await session.scalars(statement)]


# ---------------------------------------------------------------- catalog


async def find_entity(session: AsyncSession, name: str) -> Entity | None:
    row = await session.get(EntityRow, name)
    return None if row is None else to_entity(row)


async def search_entities(session: AsyncSession, text: str, *, limit: int) -> list[Entity]:
    statement = select(EntityRow).order_by(col(EntityRow.name)).limit(limit)
    if text:
        statement = statement.where(_contains(col(EntityRow.search_text), text))
    return [to_entity(row) for row in await session.scalars(statement)]
