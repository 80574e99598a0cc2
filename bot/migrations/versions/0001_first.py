"""The first schema: requests and what belongs to them, what exists, the audit chain, the catalog."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The types are written out here: a migration must stay what it was when bot/tables.py moves on.
WORDS = sa.Text()
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)
COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
GENESIS = "0" * 64


def upgrade() -> None:
    _requests()
    _approvals_and_steps()
    _cards_and_inbox()
    _what_exists()
    _audit()
    if op.get_context().dialect.name == "sqlite":
        _protect_audit_on_sqlite()
    else:
        _protect_audit_on_postgresql()


def _column(name: str, type_: sa.types.TypeEngine[Any], *, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, type_, nullable=null)


def _columns(type_: sa.types.TypeEngine[Any], *names: str) -> list[sa.Column[Any]]:
    return [_column(name, type_) for name in names]


def _partial_index(name: str, table: str, columns: list[str], *, sqlite: str, postgresql: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(sqlite), postgresql_where=sa.text(postgresql))


def _requests() -> None:
    op.create_table(
        "requests",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("dedupe_key", KEY, nullable=False, unique=True),
        sa.Column("active_key", KEY, nullable=True, unique=True),
        *_columns(KEY, "command", "requester"),
        _column("requester_name", WORDS),
        *_columns(KEY, "team_id", "channel_id", "team", "service", "environment"),
        _column("arguments", WORDS),
        _column("state", KEY),
        *_columns(sa.Integer(), "version", "run"),
        *_columns(MOMENT, "created_at", "updated_at"),
        _column("due_at", MOMENT, null=True),
        _column("plan", WORDS, null=True),
        _column("gates", WORDS),
        _column("plan_hash", KEY),
        *_columns(WORDS, "plan_changes", "outcome"),
    )
    op.create_index("requests_by_age", "requests", ["created_at", "id"])
    for column in ("requester", "service", "team"):
        op.create_index(f"requests_by_{column}", "requests", [column, "created_at", "id"])
    op.create_index("requests_by_state", "requests", ["state", "updated_at", "id"])
    due = "due_at IS NOT NULL"
    _partial_index("requests_due", "requests", ["due_at", "id"], sqlite=due, postgresql=due)


def _approvals_and_steps() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", COUNTER, primary_key=True),
        sa.Column("request_id", KEY, sa.ForeignKey("requests.id"), nullable=False),
        *_columns(KEY, "user_id", "decision", "rule", "plan_hash"),
        _column("reason", WORDS),
        _column("decided_at", MOMENT),
    )
    op.create_index("approvals_once", "approvals", ["request_id", "user_id", "plan_hash"], unique=True)
    op.create_table(
        "steps",
        sa.Column("request_id", KEY, sa.ForeignKey("requests.id"), primary_key=True),
        sa.Column("key", KEY, primary_key=True),
        _column("position", sa.Integer()),
        _column("title", WORDS),
        _column("state", KEY),
        _column("run", sa.Integer()),
        *_columns(WORDS, "detail", "error", "external_id", "output", "links"),
        _column("unsure", sa.Boolean()),
        *(_column(name, MOMENT, null=True) for name in ("started_at", "finished_at", "due_at")),
    )


def _cards_and_inbox() -> None:
    op.create_table(
        "cards",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("request_id", KEY, sa.ForeignKey("requests.id"), nullable=False),
        *_columns(KEY, "kind", "target", "channel_id", "ts"),
        *_columns(sa.Integer(), "revision", "sent_revision"),
        _column("post_started_at", MOMENT, null=True),
        _column("attempts", sa.Integer()),
        _column("gone", sa.Boolean()),
        _column("not_before", MOMENT),
    )
    op.create_index("cards_once", "cards", ["request_id", "kind", "target"], unique=True)
    _partial_index(
        "cards_dirty",
        "cards",
        ["not_before", "id"],
        sqlite="revision > sent_revision AND gone = 0",
        postgresql="revision > sent_revision AND NOT gone",
    )
    op.create_table(
        "inbox",
        sa.Column("dedupe_key", KEY, primary_key=True),
        _column("seen_at", MOMENT),
        _column("request_id", KEY),
    )
    op.create_index("ix_inbox_seen_at", "inbox", ["seen_at"])


def _what_exists() -> None:
    op.create_table(
        "services",
        sa.Column("name", KEY, primary_key=True),
        _column("team", KEY),
        *_columns(WORDS, "golden_path", "description", "database", "repository_url", "web_url"),
        _column("created_by", KEY),
        _column("created_at", MOMENT),
        _column("request_id", KEY),
        _column("search_text", WORDS),
    )
    op.create_index("ix_services_team", "services", ["team"])
    op.create_table(
        "deployments",
        sa.Column("id", COUNTER, primary_key=True),
        *_columns(KEY, "service", "environment", "revision", "ref_revision"),
        _column("healthy", sa.Boolean()),
        _column("deployed_by", WORDS),
        _column("deployed_at", MOMENT),
        _column("request_id", KEY),
    )
    place = ["service", "environment"]
    op.create_index("deployments_by_place", "deployments", [*place, "deployed_at", "id"])
    op.create_index("deployments_once", "deployments", [*place, "revision", "deployed_at"], unique=True)
    op.create_table(
        "entities",
        sa.Column("name", KEY, primary_key=True),
        *_columns(WORDS, "title", "description"),
        _column("owner", KEY),
        *_columns(WORDS, "golden_path", "lifecycle", "links"),
        _column("request_id", KEY, null=True),
        _column("search_text", WORDS),
    )


def _audit() -> None:
    op.create_table(
        "audit_events",
        sa.Column("sequence", sa.BigInteger(), primary_key=True, autoincrement=False),
        *_columns(KEY, "at", "actor", "event", "request_id", "service", "environment"),
        _column("data", WORDS),
        *_columns(KEY, "previous_hash", "hash"),
        sa.Column("key", KEY, nullable=True, unique=True),
    )
    for name, column in (("service", "service"), ("actor", "actor"), ("request", "request_id")):
        op.create_index(f"audit_events_by_{name}", "audit_events", [column, "sequence"])
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        _column("sequence", sa.BigInteger()),
        _column("hash", KEY),
    )
    op.bulk_insert(head, [{"id": 1, "sequence": 0, "hash": GENESIS}])


def _protect_audit_on_sqlite() -> None:
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_events_no_{verb.lower()} BEFORE {verb} ON audit_events "
            "BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END"
        )
    # INSERT OR REPLACE deletes without firing the trigger above.
    op.execute(
        "CREATE TRIGGER audit_events_no_replace BEFORE INSERT ON audit_events "
        "WHEN EXISTS (SELECT 1 FROM audit_events WHERE sequence = NEW.sequence OR key = NEW.key) "
        "BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END"
    )
    op.execute(
        "CREATE TRIGGER audit_head_no_delete BEFORE DELETE ON audit_head "
        "BEGIN SELECT RAISE(ABORT, 'the head of the audit chain stays'); END"
    )


def _protect_audit_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION audit_events_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'audit events are append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_events_append_only()"
    )
    op.execute(
        "CREATE TRIGGER audit_head_no_delete BEFORE DELETE OR TRUNCATE ON audit_head "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_events_append_only()"
    )
