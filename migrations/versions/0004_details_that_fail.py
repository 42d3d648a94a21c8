"""A detail that never comes is counted with its call; `data_freshness` says how many calls are open, due and failing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OPEN = "'queued', 'ringing', 'in_progress', 'unknown'"

DATA_FRESHNESS = """
WITH reach AS (
    SELECT
        connection,
        stream,
        high_water_mark,
        coverage,
        horizon,
        closed_at,
        -- Where holes begin to count. Below the horizon only what lies above the oldest range ever read is a hole: there was
        -- something, and it can be had no more. Without a horizon the past was not read to its end: all of it is a hole.
        CASE WHEN horizon IS NULL THEN domain_start ELSE greatest(domain_start, least(lower(coverage), horizon)) END AS beginning
    FROM sync.state
),
streams AS (
    SELECT
        reach.connection,
        high_water_mark,
        upper(coverage) AS fresh_until,
        closed_at,
        horizon,
        CASE
            WHEN isempty(coverage) OR beginning >= upper(coverage) THEN '{}'::tstzmultirange
            ELSE tstzmultirange(tstzrange(beginning, upper(coverage))) - coverage
        END AS holes
    FROM reach
),
judged AS (
    -- A range without a lower bound, up to the horizon; without a horizon nothing is lost.
    SELECT *, CASE WHEN horizon IS NULL THEN '{}' ELSE holes * tstzmultirange(tstzrange(NULL, horizon)) END AS lost FROM streams
),
-- An agent that is gone is read no further, so its stream says nothing about freshness; its holes stay holes.
summary AS (
    SELECT
        connection,
        min(fresh_until) FILTER (WHERE closed_at IS NULL) AS fresh_until,
        count(*) FILTER (WHERE closed_at IS NULL AND fresh_until IS NULL) AS unread,
        min(high_water_mark) FILTER (WHERE closed_at IS NULL) AS complete_until,
        count(*) FILTER (WHERE closed_at IS NULL AND high_water_mark IS NULL) AS incomplete,
        sum((SELECT count(*) FROM unnest(holes))) AS gaps,
        sum((SELECT count(*) FROM unnest(lost))) AS unclosable_gaps
    FROM judged
    GROUP BY connection
)
SELECT
    connections.connection,
    connections.provider,
    (
        SELECT runs.finished_at
        FROM sync.runs
        WHERE runs.connection = connections.connection AND runs.status = 'succeeded' AND runs.kind = 'sync'
        ORDER BY runs.id DESC
        LIMIT 1
    ) AS last_success,
    CASE WHEN unread = 0 THEN fresh_until END AS fresh_until,
    CASE WHEN incomplete = 0 THEN complete_until END AS complete_until,
    CASE WHEN unread = 0 THEN now() - fresh_until END AS lag,
    coalesce(gaps, 0)::bigint AS gaps,
    coalesce(unclosable_gaps, 0)::bigint AS unclosable_gaps/* more */
FROM sync.connections
LEFT JOIN summary ON summary.connection = connections.connection
"""

# Each count has a partial index of its own, so that it costs what it counts and not what is held.
COUNTS = f""",
    (SELECT count(*) FROM calls c WHERE c.connection = connections.connection AND c.status IN ({OPEN})) AS open_calls,
    (SELECT count(*) FROM calls c WHERE c.connection = connections.connection AND c.detail_due_at IS NOT NULL) AS details_due,
    (SELECT count(*) FROM calls c WHERE c.connection = connections.connection AND c.detail_failures > 0) AS details_failing
"""

COMMENTS = {
    "COLUMN data_freshness.open_calls": "How many calls have not ended (or have a status that this program does not know)",
    "COLUMN data_freshness.details_due": "How many calls have a detail that is still to be asked for, now or later",
    "COLUMN data_freshness.details_failing": (
        "How many calls have a detail that could not be had: the last request for it brought nothing usable. It is asked for "
        "less and less often"
    ),
}

CLOSED_AT = (
    "Since when the stream is read no more: its agent is gone at the provider, or is not configured; null while it is read"
)
CLOSED_AT_BEFORE = "When the agent of this stream was found gone at the provider; null while it is read"

COMMENTED = """
SELECT 'VIEW data_freshness', obj_description('public.data_freshness'::regclass, 'pg_class')
UNION ALL
SELECT 'COLUMN data_freshness.' || attname, col_description(attrelid, attnum)
FROM pg_attribute
WHERE
    attrelid = 'public.data_freshness'::regclass AND attnum > 0
    AND attname NOT IN ('open_calls', 'details_due', 'details_failing')
"""
"""What the view's comments are, of the columns that stay: a view that is dropped takes them along."""


def upgrade() -> None:
    """Add the column, its index, and the three counts."""
    op.add_column(
        "calls",
        sa.Column(
            "detail_failures",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="Machine's: how many requests for the detail in a row brought nothing usable; 0: the last one did, or none "
            "was made",
        ),
    )
    op.create_index("calls_detail_failing", "calls", ["connection", "stream"], postgresql_where=sa.text("detail_failures > 0"))
    op.execute("CREATE OR REPLACE VIEW data_freshness AS" + DATA_FRESHNESS.replace("/* more */", COUNTS))
    for thing, comment in COMMENTS.items():
        op.get_bind().exec_driver_sql(f"COMMENT ON {thing} IS '{comment}'")
    op.alter_column("state", "closed_at", comment=CLOSED_AT, schema="sync")


def downgrade() -> None:
    """Make the view as it was, and drop the column with its index."""
    session = op.get_bind()
    comments = session.exec_driver_sql(COMMENTED).all()
    op.execute("DROP VIEW data_freshness")
    op.execute("CREATE VIEW data_freshness AS" + DATA_FRESHNESS.replace("/* more */", ""))
    for thing, comment in comments:
        quoted = comment.replace("'", "''")
        session.exec_driver_sql(f"COMMENT ON {thing} IS '{quoted}'")
    op.drop_column("calls", "detail_failures")
    op.alter_column("state", "closed_at", comment=CLOSED_AT_BEFORE, schema="sync")
