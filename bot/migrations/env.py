"""What Alembic runs: the migrations on the connection it was given. The bot's own tables only.

The durable engine keeps its tables in the same database, on SQLite even in the same namespace. Without the allow-list
below, autogenerate would propose to drop them.
"""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import Connection

from bot.database import VERSION_TABLE
from bot.tables import Table

OWN_TABLES = frozenset(Table.metadata.tables)


def include_name(name: str | None, kind: str, parents: Any) -> bool:
    """Tables that are ours, and what belongs to them."""
    if kind == "table":
        return name in OWN_TABLES
    return kind == "schema" or parents.get("table_name") in OWN_TABLES


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        version_table=VERSION_TABLE,
        include_name=include_name,
        render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
