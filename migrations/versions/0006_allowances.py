"""Request allowances are kept per account, across connections, processes and machines."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

REQUEST_LOG = "What the request limiter and the daily budget must remember across runs"
UNUSED = "No longer used: what must be remembered of requests stands in sync.allowances"
# Random from the server's own strong source, so that the key travels in no statement.
KEY = "INSERT INTO sync.account_key VALUES (decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'))"


def upgrade() -> None:
    """Make the table and the key; `request_log` stays for programs that do not know of them, and for nobody else."""
    op.create_table(
        "allowances",
        sa.Column(
            "account",
            sa.Text(),
            nullable=False,
            comment="The account: a keyed hash (sync.account_key) of provider and token, from which neither can be found",
        ),
        sa.Column(
            "memory",
            postgresql.JSONB(),
            nullable=False,
            server_default="{}",
            comment="What its limits must remember: the limits, and when requests were answered",
        ),
        sa.Column(
            "paused_until",
            sa.DateTime(timezone=True),
            comment="Nothing is asked for before this instant, because the provider said so; else null",
        ),
        sa.Column("day", sa.Date(), comment="The day (UTC) that day_requests counts; null before the first request"),
        sa.Column(
            "day_requests",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="Requests that were sent on that day",
        ),
        sa.Column(
            "owner",
            sa.BigInteger(),
            comment="The process that uses the account; null if none does, and what stands here is complete",
        ),
        sa.Column(
            "written_at",
            sa.DateTime(timezone=True),
            comment="When its owner last wrote this row: at most once a second while requests go out",
        ),
        sa.Column(
            "wanted_at",
            sa.DateTime(timezone=True),
            comment="When another process asked for the account in vain; null while nobody waits",
        ),
        sa.PrimaryKeyConstraint("account", name=op.f("allowances_pkey")),
        schema="sync",
        comment="One row per account (a provider and a token): what is used of its request allowance, across runs and machines",
    )
    op.create_table(
        "account_key",
        sa.Column("key", sa.LargeBinary(), nullable=False, comment="32 random bytes of this warehouse alone"),
        sa.PrimaryKeyConstraint("key", name=op.f("account_key_pkey")),
        schema="sync",
        comment="One row: the key of the hashes in sync.allowances; it has no other use",
    )
    op.execute(KEY)
    op.alter_column("connections", "request_log", schema="sync", comment=UNUSED, existing_comment=REQUEST_LOG)


def downgrade() -> None:
    """Drop both: the next run knows nothing of the requests before it."""
    op.alter_column("connections", "request_log", schema="sync", comment=REQUEST_LOG, existing_comment=UNUSED)
    op.drop_table("account_key", schema="sync")
    op.drop_table("allowances", schema="sync")
