"""What belongs to a call and what it was before: messages, events, history; audits, and the provider's own daily counts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)

COMPRESSED = (("call_messages", "text"), ("call_events", "data"), ("call_history", "raw"), ("call_history", "detail"))
"""The columns that may be long enough to be stored compressed."""

CALL_VERSIONS = """
CREATE VIEW call_versions AS
SELECT connection, call_id, version, status, provider_status, raw, detail, valid_from, valid_to, deleted
FROM call_history
UNION ALL
SELECT
    calls.connection,
    calls.call_id,
    coalesce(
        (
            SELECT max(earlier.version)
            FROM call_history AS earlier
            WHERE earlier.connection = calls.connection AND earlier.call_id = calls.call_id
        ),
        0
    ) + 1,
    calls.status,
    calls.provider_status,
    calls.raw,
    calls.detail,
    calls.last_changed_at,
    NULL,
    false
FROM calls
"""

DELETED_CALLS = """
CREATE VIEW deleted_calls AS
SELECT
    gone.connection,
    gone.call_id,
    connections.provider,
    gone.status,
    gone.raw,
    gone.detail,
    gone.first_seen_at,
    gone.valid_to AS deleted_at
FROM call_history AS gone
LEFT JOIN sync.connections ON connections.connection = gone.connection
WHERE
    gone.deleted
    AND NOT EXISTS (
        SELECT FROM call_history AS later
        WHERE later.connection = gone.connection AND later.call_id = gone.call_id AND later.version > gone.version
    )
    AND NOT EXISTS (SELECT FROM calls WHERE calls.connection = gone.connection AND calls.call_id = gone.call_id)
"""

COMMENTS = {
    "VIEW call_versions": (
        "One row per version of a call, superseded and current: what held at an instant t is where valid_from <= t and "
        "(valid_to > t or valid_to is null)"
    ),
    "COLUMN call_versions.connection": "The configured account that the call was read from",
    "COLUMN call_versions.call_id": "The id of the call at its provider, unique within a connection",
    "COLUMN call_versions.version": "The number of this version of the call, from 1 without a gap",
    "COLUMN call_versions.status": "How the call stood, in the same words as calls.status",
    "COLUMN call_versions.provider_status": "The status in the provider's own word; null where the provider gave none",
    "COLUMN call_versions.raw": "The call as the provider listed it",
    "COLUMN call_versions.detail": "The call as the provider gave it when asked for this call alone; null where it was not asked",
    "COLUMN call_versions.valid_from": "When this warehouse first saw the call as it stands here",
    "COLUMN call_versions.valid_to": (
        "When the next version, or the absence of the call, was seen: true before it, no longer at it; null: holds now"
    ),
    "COLUMN call_versions.deleted": "Whether this version ended because the call was found gone at its provider",
    "VIEW deleted_calls": "One row per call that was found gone at its provider and was not listed again, as it last stood",
    "COLUMN deleted_calls.connection": "The configured account that the call was read from",
    "COLUMN deleted_calls.call_id": "The id of the call at its provider, unique within a connection",
    "COLUMN deleted_calls.provider": "The provider that the call was read from, by its short name",
    "COLUMN deleted_calls.status": "How the call stood last, in the same words as calls.status",
    "COLUMN deleted_calls.raw": "The call as the provider last listed it",
    "COLUMN deleted_calls.detail": (
        "The call as the provider last gave it when asked for this call alone; null where it was not asked"
    ),
    "COLUMN deleted_calls.first_seen_at": "When this warehouse first saw the call",
    "COLUMN deleted_calls.deleted_at": "When the call was found gone",
}


def upgrade() -> None:
    """Make the tables and the views, and say in a comment what everything is."""
    op.create_table(
        "call_messages",
        sa.Column(
            "connection",
            sa.Text(),
            nullable=False,
            comment="The configured account that the call was read from; join to calls by connection and call_id",
        ),
        sa.Column(
            "call_id",
            sa.Text(),
            nullable=False,
            comment="The id of the call at its provider; join to calls by connection and call_id",
        ),
        sa.Column(
            "message_id",
            sa.Text(),
            nullable=False,
            comment="The id of the message at the provider; its position where the provider gives none",
        ),
        sa.Column(
            "position", sa.Integer(), nullable=False, comment="The place of the message in the conversation, from 1; order by it"
        ),
        sa.Column("role", sa.Text(), comment="Who spoke, in the provider's own word, such as assistant or user"),
        sa.Column(
            "text", sa.Text(), comment="What was said; null where the provider gives no text, such as for an attachment alone"
        ),
        sa.Column("message_type", sa.Text(), comment="What kind of message it is, in the provider's own word, such as text"),
        sa.Column("sent_at", INSTANT, comment="When the message was sent; null where the provider does not say"),
        sa.PrimaryKeyConstraint("connection", "call_id", "message_id", name="call_messages_pkey"),
        comment="One row per message of a conversation, where a provider gives it message by message; else see calls.transcript",
    )
    op.create_table(
        "call_events",
        sa.Column(
            "connection",
            sa.Text(),
            nullable=False,
            comment="The configured account that the call was read from; join to calls by connection and call_id",
        ),
        sa.Column(
            "call_id",
            sa.Text(),
            nullable=False,
            comment="The id of the call at its provider; join to calls by connection and call_id",
        ),
        sa.Column(
            "event_id",
            sa.Text(),
            nullable=False,
            comment="The id of the event at the provider; its position where the provider gives none",
        ),
        sa.Column("position", sa.Integer(), nullable=False, comment="The place of the event in the provider's list, from 1"),
        sa.Column("type", sa.Text(), comment="What happened, in the provider's own word"),
        sa.Column("occurred_at", INSTANT, comment="When it happened; null where the provider does not say"),
        sa.Column("data", postgresql.JSONB(), nullable=False, comment="The event as the provider gave it, whole"),
        sa.PrimaryKeyConstraint("connection", "call_id", "event_id", name="call_events_pkey"),
        comment="One row per event in the life of a call, where a provider gives them",
    )
    op.create_table(
        "call_history",
        sa.Column("connection", sa.Text(), nullable=False, comment="The configured account that the call was read from"),
        sa.Column("call_id", sa.Text(), nullable=False, comment="The id of the call at its provider, unique within a connection"),
        sa.Column(
            "version",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="The number of this version of the call, from 1 without a gap; the version in calls follows the highest",
        ),
        sa.Column("status", sa.Text(), nullable=False, comment="How the call stood, in the same words as calls.status"),
        sa.Column(
            "provider_status", sa.Text(), comment="The status in the provider's own word; null where the provider gave none"
        ),
        sa.Column("raw", postgresql.JSONB(), nullable=False, comment="The call as the provider listed it"),
        sa.Column(
            "detail",
            postgresql.JSONB(),
            comment="The call as the provider gave it when asked for this call alone; null where it was not asked",
        ),
        sa.Column("valid_from", INSTANT, nullable=False, comment="When this warehouse first saw the call as it stands here"),
        sa.Column(
            "valid_to",
            INSTANT,
            nullable=False,
            comment="When the next version, or the absence of the call, was seen: true before it, no longer at it",
        ),
        sa.Column(
            "deleted",
            sa.Boolean(),
            nullable=False,
            comment="Whether this version ended because the call was found gone at its provider",
        ),
        sa.Column(
            "stream",
            sa.Text(),
            nullable=False,
            comment="Machine's: the stream that the call was read in (calls, or the id of an agent)",
        ),
        sa.Column("cursor_at", INSTANT, nullable=False, comment="Machine's: the instant that placed the call in its stream"),
        sa.Column("observed_at", INSTANT, nullable=False, comment="Machine's: when raw was observed"),
        sa.Column("detail_observed_at", INSTANT, comment="Machine's: when detail was observed"),
        sa.Column(
            "content_hash",
            sa.LargeBinary(),
            nullable=False,
            comment="Machine's: what told quickly whether a record that was read again had changed",
        ),
        sa.Column(
            "first_seen_at",
            INSTANT,
            nullable=False,
            comment="Machine's: when this warehouse first saw the call; the same as in calls",
        ),
        sa.CheckConstraint(
            "status IN ('queued', 'ringing', 'in_progress', 'completed', 'busy', 'no_answer', 'failed', 'canceled', 'rejected', "
            "'voicemail', 'unknown')",
            name=op.f("call_history_status_check"),
        ),
        sa.CheckConstraint("valid_from < valid_to", name=op.f("call_history_validity_check")),
        sa.PrimaryKeyConstraint("connection", "call_id", "version", name="call_history_pkey"),
        comment="One row per version of a call that no longer holds; see the view call_versions for all versions together",
    )
    op.create_index("call_history_deleted", "call_history", ["connection", "valid_to"], postgresql_where=sa.text("deleted"))
    op.create_table(
        "provider_daily_totals",
        sa.Column("connection", sa.Text(), nullable=False, comment="The configured account that the provider counted"),
        sa.Column(
            "day",
            sa.Date(),
            nullable=False,
            comment="The day as the provider names it; it ends at the provider's midnight, which need not be that of calls.day",
        ),
        sa.Column("calls", sa.BigInteger(), nullable=False, comment="How many calls the provider says that day had"),
        sa.Column("observed_at", INSTANT, nullable=False, comment="When the provider said so"),
        sa.PrimaryKeyConstraint("connection", "day", name="provider_daily_totals_pkey"),
        comment="One row per day that a provider itself counts: its own number of calls, to be shown beside this warehouse's",
    )
    op.create_table(
        "audits",
        sa.Column("connection", sa.Text(), nullable=False, comment="The configured account that was audited"),
        sa.Column("stream", sa.Text(), nullable=False, comment="The stream that was audited: calls, or the id of an agent"),
        sa.Column(
            "range_start",
            INSTANT,
            nullable=False,
            comment="Calls whose cursor lies from this instant on were counted; -infinity: without a lower bound",
        ),
        sa.Column("checked_at", INSTANT, nullable=False, comment="When the audit was made"),
        sa.Column(
            "range_end",
            INSTANT,
            nullable=False,
            comment="Calls whose cursor lies before this instant were counted; infinity: without an upper bound",
        ),
        sa.Column(
            "provider_count", sa.BigInteger(), comment="How many calls the provider says there are; null where it does not say"
        ),
        sa.Column(
            "warehouse_count", sa.BigInteger(), comment="How many calls the warehouse holds; null where they were not counted"
        ),
        sa.Column(
            "rejected_count",
            sa.BigInteger(),
            comment="How many unresolved rejects the warehouse holds besides; null where they were not counted",
        ),
        sa.Column(
            "verdict",
            sa.Text(),
            nullable=False,
            comment=(
                "complete (the provider's count is that of calls and rejects), mismatch, repaired (was one and is none any more) "
                "or unverifiable (the provider has no count to compare with)"
            ),
        ),
        sa.Column(
            "note",
            sa.Text(),
            comment="What the warehouse, compared with itself, was found to be, in words; holds no personal data",
        ),
        sa.CheckConstraint("verdict IN ('complete', 'mismatch', 'repaired', 'unverifiable')", name=op.f("audits_verdict_check")),
        sa.PrimaryKeyConstraint("connection", "stream", "range_start", "checked_at", name="audits_pkey"),
        schema="sync",
        comment="One row per stretch of time that was audited: what the provider counts beside what the warehouse holds",
    )
    _compress()
    op.execute(CALL_VERSIONS)
    op.execute(DELETED_CALLS)
    for thing, comment in COMMENTS.items():
        quoted = comment.replace("'", "''")
        op.get_bind().exec_driver_sql(f"COMMENT ON {thing} IS '{quoted}'")


def downgrade() -> None:
    """Drop what the upgrade made, its rows included; calls and all else stay."""
    op.execute("DROP VIEW deleted_calls")
    op.execute("DROP VIEW call_versions")
    op.drop_table("audits", schema="sync")
    for table in ("provider_daily_totals", "call_history", "call_events", "call_messages"):
        op.drop_table(table)


def _compress() -> None:
    """Choose lz4, which unpacks several times faster than the default, where the server was built with it."""
    offered = "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
    if op.get_bind().execute(sa.text(offered)).scalar_one():
        for table, column in COMPRESSED:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET COMPRESSION lz4")
