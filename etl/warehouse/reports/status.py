"""Reports how each connection stands, its streams and its runs, and answers users' own queries."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import desc, select, text

from etl.printable import age, number_of
from etl.warehouse.database import Database
from etl.warehouse.tables import runs

Row = Mapping[str, Any]

# One statement, so that everything is of one instant. Calls are counted from indexes: held ones from
# (connection, stream, cursor_at), the others by the view from partial indexes; of runs and audits the newest are found by theirs.
_STATUS = text(
    """
    SELECT c.connection, c.provider, c.capabilities -> 'clocks' AS clocks,
           r.id AS last_run, r.status AS last_status, r.started_at AS last_started_at, r.finished_at AS last_finished_at,
           r.error_code, r.error_message,
           f.last_success, f.complete_until AS high_water_mark, f.fresh_until,
           make_interval(secs => f.lag_seconds) AS lag, f.gaps, f.unclosable_gaps,
           f.open_calls, f.details_due, f.details_failing,
           (SELECT count(*) FROM public.calls k WHERE k.connection = c.connection) AS calls,
           (SELECT count(*) FROM sync.rejected_records x WHERE x.connection = c.connection AND x.resolved_at IS NULL) AS rejects,
           (SELECT count(*) FROM sync.schema_drift d WHERE d.connection = c.connection) AS drift,
           (SELECT max(l.max_lateness) FROM sync.runs l WHERE l.connection = c.connection
               AND l.max_lateness IS NOT NULL AND l.started_at > now() - interval '30 days') AS max_lateness,
           a.audited_at, a.audit_verdict, a.audit_provider_count, a.audit_known_count,
           a.audit_held_count
    FROM sync.connections c
    LEFT JOIN public.data_freshness f USING (connection)
    LEFT JOIN LATERAL (SELECT * FROM sync.runs r WHERE r.connection = c.connection ORDER BY r.id DESC LIMIT 1) r ON true
    LEFT JOIN LATERAL (
        SELECT max(checked_at) AS audited_at, sum(provider_count)::bigint AS audit_provider_count,
               (sum(warehouse_count) + sum(rejected_count))::bigint AS audit_known_count,
               sum(warehouse_count)::bigint AS audit_held_count,
               (array_agg(verdict ORDER BY array_position(ARRAY['mismatch', 'unverifiable', 'repaired', 'complete'], verdict)))[1]
                   AS audit_verdict
        FROM sync.audits a
        WHERE a.connection = c.connection
          AND a.checked_at = (SELECT max(m.checked_at) FROM sync.audits m WHERE m.connection = c.connection)
    ) a ON true
    ORDER BY c.connection
    """
)

_STREAMS = text("SELECT connection, stream, high_water_mark, horizon, closed_at FROM sync.state ORDER BY connection, stream")

_RECENT = text(
    """
    SELECT r.*
    FROM sync.connections c
    CROSS JOIN LATERAL (SELECT * FROM sync.runs r WHERE r.connection = c.connection ORDER BY r.id DESC LIMIT :each) r
    ORDER BY r.connection, r.id DESC
    """
)

_PENDING = text(
    """
    SELECT sync.reporting_timezone() AS zone,
           ARRAY(
               SELECT c.connection FROM sync.connections c
               WHERE EXISTS (SELECT 1 FROM public.call_history h WHERE h.connection = c.connection AND h.occurred_at IS NULL)
               ORDER BY 1
           ) AS unfilled
    """
)


def pending(database: Database) -> Row:
    """Return the time zone of the warehouse, and the connections with versions whose further columns are still to be filled."""
    with database.begin() as session:
        return dict(session.execute(_PENDING).mappings().one())


def connections(database: Database) -> list[Row]:
    """Return one row per connection with how it stands."""
    with database.begin() as session:
        return [dict(row) for row in session.execute(_STATUS).mappings()]


def streams(database: Database) -> list[Row]:
    """Return each stream's mark, horizon and closing."""
    with database.begin() as session:
        return [dict(row) for row in session.execute(_STREAMS).mappings()]


def run_history(database: Database, connection: str | None, *, limit: int) -> list[Row]:
    """Return the newest runs, newest first."""
    statement = select(runs).order_by(desc(runs.c.id)).limit(limit)
    if connection is not None:
        statement = statement.where(runs.c.connection == connection)
    with database.begin() as session:
        return [dict(row) for row in session.execute(statement).mappings()]


def recent_runs(database: Database, *, each: int) -> dict[str, list[Row]]:
    """Return the newest runs of each connection, so many at most, newest first."""
    found: dict[str, list[Row]] = {}
    with database.begin() as session:
        for row in session.execute(_RECENT, {"each": each}).mappings():
            found.setdefault(row["connection"], []).append(dict(row))
    return found


def proof(row: Row, *, now: datetime) -> str | None:
    """Return how a connection's last audit reads: what is held, and rejected, of what the provider counts, and how long ago."""
    if row["audited_at"] is None:
        return None
    ago = f"{age(now - row['audited_at'])} ago"
    if row["audit_provider_count"] is None:
        return f"{row['audit_verdict']}, {ago}"
    rejected = row["audit_known_count"] - row["audit_held_count"]
    beside = f"{rejected:,} rejected, " if rejected else ""
    counts = f"{row['audit_held_count']:,} of {number_of(row['audit_provider_count'], 'call')}, {beside}{ago}"
    return counts if row["audit_verdict"] in ("complete", "repaired") else f"{row['audit_verdict']}: {counts}"
