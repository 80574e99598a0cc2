"""What somebody did to one service is found by one index: with two, a database reads through whichever it takes."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("audit_events_by_service_and_actor", "audit_events", ["service", "actor", "sequence"])
