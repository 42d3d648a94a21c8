"""What somebody was told of, so that it is told once, by all workers together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

KINDS = (
    "What it is about: behind (no sync got through for longer than notify.alert_after after one was due), "
    "proof_failed (the newest audit found what does not agree), gap_lost (a stretch of time can be read no more) or "
    "no_new_calls (for longer than the longest pause of the 28 days before)"
)


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "alerts",
        sa.Column("connection", sa.Text(), nullable=False, comment="The configured account that the alert is about"),
        sa.Column("kind", sa.Text(), nullable=False, comment=KINDS),
        sa.Column("state", sa.Text(), nullable=False, comment="open, or closed: it is over, and that was told as well"),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False, comment="When this state began"),
        sa.Column(
            "notified_at",
            sa.DateTime(timezone=True),
            comment="When this state was told; null while it is still to be told",
        ),
        sa.Column(
            "number",
            sa.BigInteger(),
            nullable=False,
            comment="How many there are: gaps that cannot be closed; 1 for the other kinds",
        ),
        sa.Column(
            "looked_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When a worker that has the connection configured last looked at it, give or take some minutes",
        ),
        sa.CheckConstraint("kind IN ('behind', 'proof_failed', 'gap_lost', 'no_new_calls')", name=op.f("alerts_kind_check")),
        sa.CheckConstraint("state IN ('open', 'closed')", name=op.f("alerts_state_check")),
        sa.PrimaryKeyConstraint("connection", "kind", name=op.f("alerts_pkey")),
        schema="sync",
        comment="One row per connection and thing that somebody was told of, or is to be told of",
    )


def downgrade() -> None:
    """Drop it: what is wrong then is told again."""
    op.drop_table("alerts", schema="sync")
