"""Who runs things when there are several replicas, and how often a run outlived its replica."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "replicas",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "takeovers",
        sa.Column("workflow_id", KEY, primary_key=True),
        sa.Column("count", sa.Integer(), nullable=False),
    )
