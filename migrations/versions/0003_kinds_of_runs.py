"""Runs say what they were for; `data_freshness.last_success` is that of a sync, since nothing else reads what is new."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

DATA_FRESHNESS = """
CREATE OR REPLACE VIEW data_freshness AS
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
        WHERE runs.connection = connections.connection AND runs.status = 'succeeded' /* which */
        ORDER BY runs.id DESC
        LIMIT 1
    ) AS last_success,
    CASE WHEN unread = 0 THEN fresh_until END AS fresh_until,
    CASE WHEN incomplete = 0 THEN complete_until END AS complete_until,
    CASE WHEN unread = 0 THEN now() - fresh_until END AS lag,
    coalesce(gaps, 0)::bigint AS gaps,
    coalesce(unclosable_gaps, 0)::bigint AS unclosable_gaps
FROM sync.connections
LEFT JOIN summary ON summary.connection = connections.connection
"""

LAST_SUCCESS = "When the last successful {} ended; null before the first"


def upgrade() -> None:
    """Add the column, filled in as far as it can be told, and have the view look at it."""
    op.add_column(
        "runs",
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            server_default="sync",
            comment="What the run did: sync, repair (etl audit --repair) or replay (etl replay)",
        ),
        schema="sync",
    )
    op.create_check_constraint(op.f("runs_kind_check"), "runs", "kind IN ('sync', 'repair', 'replay')", schema="sync")
    # Only a replay looks at records without having read a page; an earlier repair cannot be told from a sync.
    op.execute("UPDATE sync.runs SET kind = 'replay' WHERE requests = 0 AND pages = 0 AND records_seen > 0")
    _view(only="AND runs.kind = 'sync'", runs="sync")


def downgrade() -> None:
    """Drop the column; every run that succeeded counts again."""
    _view(only="", runs="run")
    op.drop_column("runs", "kind", schema="sync")


def _view(*, only: str, runs: str) -> None:
    op.execute(DATA_FRESHNESS.replace("/* which */", only))
    op.get_bind().exec_driver_sql(f"COMMENT ON COLUMN data_freshness.last_success IS '{LAST_SUCCESS.format(runs)}'")
