"""A request names the process that carries out its run, and how many died with it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("requests", sa.Column("replica", KEY, nullable=False, server_default=""))
    op.add_column("requests", sa.Column("deaths", sa.Integer(), nullable=False, server_default="0"))
    op.drop_table("takeovers")
    # A process of the version before knows nothing of claims: without its row it ends before it writes in a run's name again.
    op.execute(sa.delete(sa.table("replicas")))
