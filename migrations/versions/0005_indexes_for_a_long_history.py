"""What a run looks up at its start, and `etl status`, does not depend on how many runs, audits and rejects there were."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.text("id DESC")


def upgrade() -> None:
    """Add the indexes."""
    op.create_index("runs_running", "runs", ["connection"], schema="sync", postgresql_where=sa.text("status = 'running'"))
    op.create_index(
        "runs_succeeded_syncs",
        "runs",
        ["connection", ID],
        schema="sync",
        postgresql_where=sa.text("status = 'succeeded' AND kind = 'sync'"),
    )
    op.create_index(
        "runs_with_late_calls",
        "runs",
        ["connection", "started_at"],
        schema="sync",
        postgresql_where=sa.text("max_lateness IS NOT NULL"),
    )
    op.create_index("audits_latest", "audits", ["connection", sa.text("checked_at DESC")], schema="sync")
    op.create_index(
        "rejected_records_open",
        "rejected_records",
        ["connection", "stream"],
        schema="sync",
        postgresql_where=sa.text("resolved_at IS NULL"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("rejected_records_open", table_name="rejected_records", schema="sync")
    op.drop_index("audits_latest", table_name="audits", schema="sync")
    for name in ("runs_with_late_calls", "runs_succeeded_syncs", "runs_running"):
        op.drop_index(name, table_name="runs", schema="sync")
