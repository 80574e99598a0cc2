"""The tables, declared as SQLModel classes: private to the store and its transactions, which hand out domain values instead.

Who reads or writes them executes statements on the tables at the end of this file; no class here is ever instantiated
(docs/decisions/0011-statements-instead-of-sessions.md).

Three rules hold for every column. Moments are aware datetimes and come back in UTC. JSON is stored as its canonical text,
so that what was hashed is what is read. Texts that are sorted or compared use the byte order on both engines, because
keyset pages must mean the same on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Boolean, DateTime, Index, Integer, Text, TypeDecorator, text
from sqlalchemy import Table as SchemaTable
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from bot.audit import storable_text
from bot.domain import JSON, canonical_json


class Moment(TypeDecorator[datetime]):
    """An aware datetime. SQLite has no time zones: there it is stored in UTC, as text of one width."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime says no moment; give it a time zone")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text as people and backends write it, without the characters one of the engines cannot hold."""

    impl: Any = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else storable_text(value)


class Key(Words):
    """Text that is sorted or compared: in byte order, whatever the database's locale is."""

    impl = Text().with_variant(Text(collation="C"), "postgresql")
    cache_ok = True


class CanonicalJSON(TypeDecorator[Any]):
    """A JSON value as its canonical text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else storable_text(canonical_json(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else json.loads(value)


# SQLModel reads the column type from `sa_type`; instances carry no state, so one of each will do.
KEY: Any = Key()
WORDS: Any = Words()
MOMENT: Any = Moment()
CANONICAL_JSON: Any = CanonicalJSON()
# SQLite gives row ids to INTEGER primary keys only.
COUNTER: Any = BigInteger().with_variant(Integer(), "sqlite")


class Table(SQLModel, registry=registry()):
    """Base of the bot's own tables. Its metadata is what Alembic may see; the engine's tables live beside them."""


class ServiceRow(Table, table=True):
    __tablename__ = "services"
    name: str = Field(primary_key=True, sa_type=KEY)
    team: str = Field(sa_type=KEY, index=True)
    golden_path: str = Field(sa_type=WORDS)
    description: str = Field(sa_type=WORDS)
    database: str = Field(sa_type=WORDS)
    repository_url: str = Field(sa_type=WORDS)
    web_url: str = Field(sa_type=WORDS)
    created_by: str = Field(sa_type=KEY)
    created_at: datetime = Field(sa_type=MOMENT)
    request_id: str = Field(sa_type=KEY)
    search_text: str = Field(sa_type=WORDS)
    """Case-folded name and description: the engines fold case differently, so it is done once, here."""


class ServiceFragmentRow(Table, table=True):
    """What `search_text` holds from each of its places on, cut short: so a part of a text is the beginning of a fragment."""

    __tablename__ = "service_fragments"
    __table_args__: ClassVar[Any] = {"sqlite_with_rowid": False}
    fragment: str = Field(primary_key=True, sa_type=KEY)
    service: str = Field(primary_key=True, sa_type=KEY)


class DeploymentRow(Table, table=True):
    __tablename__ = "deployments"
    __table_args__: ClassVar[Any] = (
        Index("deployments_by_place", "service", "environment", "deployed_at", "id"),
        Index("deployments_once", "service", "environment", "revision", "deployed_at", unique=True),
    )
    id: int | None = Field(default=None, primary_key=True, sa_type=COUNTER)
    service: str = Field(sa_type=KEY)
    environment: str = Field(sa_type=KEY)
    revision: str = Field(sa_type=KEY)
    ref_revision: str = Field(sa_type=KEY)
    healthy: bool = Field(sa_type=Boolean)
    deployed_by: str = Field(sa_type=WORDS)
    deployed_at: datetime = Field(sa_type=MOMENT)
    request_id: str = Field(sa_type=KEY)


class RequestRow(Table, table=True):
    __tablename__ = "requests"
    __table_args__: ClassVar[Any] = (
        Index("requests_by_age", "created_at", "id"),
        Index("requests_by_requester", "requester", "created_at", "id"),
        Index("requests_by_service", "service", "created_at", "id"),
        Index("requests_by_team", "team", "created_at", "id"),
        Index("requests_by_state", "state", "updated_at", "id"),
        # Only proposals and requests that wait for approval have a deadline, so this index stays small.
        Index(
            "requests_due",
            "due_at",
            "id",
            sqlite_where=text("due_at IS NOT NULL"),
            postgresql_where=text("due_at IS NOT NULL"),
        ),
    )
    id: str = Field(primary_key=True, sa_type=KEY)
    dedupe_key: str = Field(sa_type=KEY, unique=True)
    active_key: str | None = Field(default=None, sa_type=KEY, unique=True, nullable=True)
    """What this request is about while it is open; NULL once it is closed, or where a command has none."""
    command: str = Field(sa_type=KEY)
    requester: str = Field(sa_type=KEY)
    requester_name: str = Field(sa_type=WORDS)
    team_id: str = Field(sa_type=KEY)
    channel_id: str = Field(sa_type=KEY)
    team: str = Field(sa_type=KEY)
    service: str = Field(sa_type=KEY)
    environment: str = Field(sa_type=KEY)
    arguments: JSON = Field(sa_type=CANONICAL_JSON)
    state: str = Field(sa_type=KEY)
    version: int = Field(sa_type=Integer)
    run: int = Field(default=0, sa_type=Integer)
    replica: str = Field(default="", sa_type=KEY)
    """Who carries out the run, or did."""
    deaths: int = Field(default=0, sa_type=Integer)
    """How many replicas ended without a word while they carried it out."""
    created_at: datetime = Field(sa_type=MOMENT)
    updated_at: datetime = Field(sa_type=MOMENT)
    due_at: datetime | None = Field(default=None, sa_type=MOMENT, nullable=True)
    plan: JSON | None = Field(default=None, sa_type=CANONICAL_JSON, nullable=True)
    gates: list[JSON] = Field(sa_type=CANONICAL_JSON)
    plan_hash: str = Field(default="", sa_type=KEY)
    plan_changes: list[str] = Field(sa_type=CANONICAL_JSON)
    outcome: str = Field(default="", sa_type=WORDS)


class ApprovalRow(Table, table=True):
    __tablename__ = "approvals"
    __table_args__: ClassVar[Any] = (
        Index("approvals_once", "request_id", "user_id", "plan_hash", unique=True),
    )
    id: int | None = Field(default=None, primary_key=True, sa_type=COUNTER)
    request_id: str = Field(sa_type=KEY, foreign_key="requests.id")
    user_id: str = Field(sa_type=KEY)
    decision: str = Field(sa_type=KEY)
    rule: str = Field(sa_type=KEY)
    plan_hash: str = Field(sa_type=KEY)
    reason: str = Field(sa_type=WORDS)
    decided_at: datetime = Field(sa_type=MOMENT)


class StepRow(Table, table=True):
    __tablename__ = "steps"
    request_id: str = Field(primary_key=True, sa_type=KEY, foreign_key="requests.id")
    key: str = Field(primary_key=True, sa_type=KEY)
    position: int = Field(sa_type=Integer)
    title: str = Field(sa_type=WORDS)
    state: str = Field(sa_type=KEY)
    run: int = Field(default=0, sa_type=Integer)
    """The run that last started or undid this step: a later run gets a deadline of its own."""
    detail: str = Field(default="", sa_type=WORDS)
    error: str = Field(default="", sa_type=WORDS)
    external_id: str = Field(default="", sa_type=WORDS)
    output: JSON = Field(sa_type=CANONICAL_JSON)
    links: list[JSON] = Field(sa_type=CANONICAL_JSON)
    unsure: bool = Field(default=False, sa_type=Boolean)
    started_at: datetime | None = Field(default=None, sa_type=MOMENT, nullable=True)
    finished_at: datetime | None = Field(default=None, sa_type=MOMENT, nullable=True)
    due_at: datetime | None = Field(default=None, sa_type=MOMENT, nullable=True)
    halt: JSON | None = Field(default=None, sa_type=CANONICAL_JSON, nullable=True)


# Each engine uses a partial index only for a condition written as it writes the query's.
_DIRTY = text("revision > sent_revision AND NOT gone")
_DIRTY_ON_SQLITE = text("revision > sent_revision AND gone = 0")


class CardRow(Table, table=True):
    __tablename__ = "cards"
    __table_args__: ClassVar[Any] = (
        Index("cards_once", "request_id", "kind", "target", unique=True),
        Index("cards_dirty", "not_before", "id", sqlite_where=_DIRTY_ON_SQLITE, postgresql_where=_DIRTY),
    )
    id: str = Field(primary_key=True, sa_type=KEY)
    request_id: str = Field(sa_type=KEY, foreign_key="requests.id")
    kind: str = Field(sa_type=KEY)
    target: str = Field(sa_type=KEY)
    """Where the card was meant to go (a channel, or a person for a DM): posting learns the real channel."""
    channel_id: str = Field(sa_type=KEY)
    ts: str = Field(default="", sa_type=KEY)
    revision: int = Field(default=1, sa_type=Integer)
    sent_revision: int = Field(default=0, sa_type=Integer)
    post_started_at: datetime | None = Field(default=None, sa_type=MOMENT, nullable=True)
    attempts: int = Field(default=0, sa_type=Integer)
    gone: bool = Field(default=False, sa_type=Boolean)
    not_before: datetime = Field(sa_type=MOMENT)
    """Claimed by a sender, or backing off, until then."""


class AuditEventRow(Table, table=True):
    __tablename__ = "audit_events"
    __table_args__: ClassVar[Any] = (
        Index("audit_events_by_service", "service", "sequence"),
        Index("audit_events_by_service_and_actor", "service", "actor", "sequence"),
        Index("audit_events_by_actor", "actor", "sequence"),
        Index("audit_events_by_request", "request_id", "sequence"),
    )
    sequence: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    at: str = Field(sa_type=KEY)
    actor: str = Field(sa_type=KEY)
    event: str = Field(sa_type=KEY)
    request_id: str = Field(sa_type=KEY)
    service: str = Field(sa_type=KEY)
    environment: str = Field(sa_type=KEY)
    data: JSON = Field(sa_type=CANONICAL_JSON)
    previous_hash: str = Field(sa_type=KEY)
    hash: str = Field(sa_type=KEY)
    key: str | None = Field(default=None, sa_type=KEY, unique=True, nullable=True)
    """Names a fact that must be written once, however often its transaction is repeated. Not part of the hash."""


class AuditHeadRow(Table, table=True):
    """One row: where the chain ends. Whoever writes locks it first, so it is also the order of all writers."""

    __tablename__ = "audit_head"
    id: int = Field(primary_key=True, sa_type=Integer, sa_column_kwargs={"autoincrement": False})
    sequence: int = Field(sa_type=BigInteger)
    hash: str = Field(sa_type=KEY)


class EntityRow(Table, table=True):
    __tablename__ = "entities"
    name: str = Field(primary_key=True, sa_type=KEY)
    title: str = Field(sa_type=WORDS)
    description: str = Field(sa_type=WORDS)
    owner: str = Field(sa_type=KEY)
    golden_path: str = Field(sa_type=WORDS)
    lifecycle: str = Field(sa_type=WORDS)
    links: dict[str, str] = Field(sa_type=CANONICAL_JSON)
    request_id: str | None = Field(default=None, sa_type=KEY, nullable=True)
    search_text: str = Field(sa_type=WORDS)


class InboxRow(Table, table=True):
    """Deliveries that were handled, so that a second one is known as such."""

    __tablename__ = "inbox"
    dedupe_key: str = Field(primary_key=True, sa_type=KEY)
    seen_at: datetime = Field(sa_type=MOMENT, index=True)
    request_id: str = Field(default="", sa_type=KEY)


class HookDeliveryRow(Table, table=True):
    """What the company's systems told, so that a replay is known as such: after a restart, and at every replica."""

    __tablename__ = "hook_deliveries"
    name: str = Field(primary_key=True, sa_type=KEY)
    delivery: str = Field(primary_key=True, sa_type=KEY)
    received_at: datetime = Field(sa_type=MOMENT, index=True)


class ReplicaRow(Table, table=True):
    """A process that may carry out runs. It is written before the first is claimed."""

    __tablename__ = "replicas"
    id: str = Field(primary_key=True, sa_type=KEY)
    beat_at: datetime = Field(sa_type=DateTime(timezone=True))


def _table(declared: type[Table]) -> SchemaTable:
    table: SchemaTable = declared.__table__  # type: ignore[attr-defined]
    return table


SERVICES = _table(ServiceRow)
FRAGMENTS = _table(ServiceFragmentRow)
DEPLOYMENTS = _table(DeploymentRow)
REQUESTS = _table(RequestRow)
APPROVALS = _table(ApprovalRow)
STEPS = _table(StepRow)
CARDS = _table(CardRow)
EVENTS = _table(AuditEventRow)
HEAD = _table(AuditHeadRow)
ENTITIES = _table(EntityRow)
INBOX = _table(InboxRow)
HOOK_DELIVERIES = _table(HookDeliveryRow)
REPLICAS = _table(ReplicaRow)
