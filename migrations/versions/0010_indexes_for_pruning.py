"""What is old enough to be pruned is found without reading what is not."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None

LAST_RUN = "Machine's: the run that last wrote this row (sync.runs.id)"
LAST_RUN_UNTIL = "Machine's: the run that last wrote this row (sync.runs.id, until that is pruned)"


def upgrade() -> None:
    """Add the indexes, and say of the one reference to a run that it may lead nowhere."""
    op.create_index(
        "rejected_records_resolved",
        "rejected_records",
        ["connection", "resolved_at"],
        schema="sync",
        postgresql_where=sa.text("resolved_at IS NOT NULL"),
    )
    op.create_index("audits_of_stream", "audits", ["connection", "stream", sa.text("checked_at DESC")], schema="sync")
    op.alter_column("calls", "last_run_id", comment=LAST_RUN_UNTIL, existing_comment=LAST_RUN)


def downgrade() -> None:
    """Drop them."""
    op.alter_column("calls", "last_run_id", comment=LAST_RUN, existing_comment=LAST_RUN_UNTIL)
    op.drop_index("audits_of_stream", table_name="audits", schema="sync")
    op.drop_index("rejected_records_resolved", table_name="rejected_records", schema="sync")
