"""What Alembic runs: the migrations, on the connection it was given, for the bot's own tables."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from bot.database import VERSION_TABLE
from bot.migrations.scope import include_name
from bot.tables import Table


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        version_table=VERSION_TABLE,
        include_name=include_name,
        # SQLite cannot alter most things in place: a revision that needs to gets its table copied.
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
