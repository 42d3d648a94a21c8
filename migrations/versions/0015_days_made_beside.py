"""A touched day says whether its roll-ups are being made beside the pages of a run; a write that touches it takes that back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

BEING_MADE = (
    "Whether its roll-ups are being made beside the pages of a run: they are stored only if it still says so then, "
    "since a write that touches the day takes it back"
)


def upgrade() -> None:
    """Add the column; no day is being made."""
    op.add_column(
        "touched_days",
        sa.Column("being_made", sa.Boolean(), nullable=False, server_default=sa.text("false"), comment=BEING_MADE),
        schema="sync",
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_column("touched_days", "being_made", schema="sync")
