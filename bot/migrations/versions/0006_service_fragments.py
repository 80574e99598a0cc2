"""Services are found by any part of their name or description through an index, also where there are many of them."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
LENGTH = 16
AT_ONCE = 10_000


def upgrade() -> None:
    fragments = op.create_table(
        "service_fragments",
        sa.Column("fragment", KEY, primary_key=True),
        sa.Column("service", KEY, primary_key=True),
        sqlite_with_rowid=False,
    )
    services = sa.table("services", sa.column("name", KEY), sa.column("search_text", sa.Text()))
    connection, rows = op.get_bind(), list[dict[str, str]]()
    for name, text in connection.execute(sa.select(services.c.name, services.c.search_text)).all():
        rows += ({"fragment": fragment, "service": name} for fragment in _fragments(text))
        if len(rows) >= AT_ONCE:
            connection.execute(fragments.insert(), rows)
            rows.clear()
    if rows:
        connection.execute(fragments.insert(), rows)


def _fragments(text: str) -> Iterator[str]:
    yield from {text[at : at + LENGTH] for at in range(len(text))}
