"""What the company's systems told the bot, so that a replay is known as such."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "hook_deliveries",
        sa.Column("name", KEY, primary_key=True),
        sa.Column("delivery", KEY, primary_key=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_hook_deliveries_received_at", "hook_deliveries", ["received_at"])
