"""Which tables Alembic may see: the bot's own.

The durable engine keeps its tables in the same database, on SQLite even in the same namespace. Without this allow-list
autogenerate would propose to drop them.
"""

from __future__ import annotations

from typing import Any

from bot.tables import Table

OWN_TABLES = frozenset(Table.metadata.tables)


def include_name(name: str | None, kind: str, parents: Any) -> bool:
    """Tables that are ours, and what belongs to them."""
    if kind == "table":
        return name in OWN_TABLES
    return kind == "schema" or parents.get("table_name") in OWN_TABLES
