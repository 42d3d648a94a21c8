"""Reports what monitoring measures: how each connection stands, and of the whole its version, its size and its allowances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select, text

from etl.runs.allowances import Standing
from etl.warehouse.database import Database
from etl.warehouse.tables import allowances

# A few entries of indexes for each connection, and no count of calls: asked for every few seconds, however much is held.
_CONNECTIONS = text(
    """
    SELECT f.connection, f.last_success, f.complete_until, f.lag_seconds, f.open_calls, f.details_due, f.details_failing,
           (SELECT count(*) FROM sync.rejected_records x WHERE x.connection = f.connection AND x.resolved_at IS NULL) AS rejects,
           (SELECT count(*) FROM sync.schema_drift d WHERE d.connection = f.connection) AS drift,
           f.proved_at, f.proof
    FROM public.data_freshness f
    ORDER BY f.connection
    """
)

_WHOLE = text("SELECT (SELECT version_num FROM sync.alembic_version) AS version, pg_database_size(current_database()) AS bytes")

_HAS_QUEUE = text("SELECT to_regclass('jobs.procrastinate_jobs') IS NOT NULL")

# A job at work whose worker shows no sign of life holds its account up until another worker clears it away.
_QUEUE = text(
    """
    SELECT j.args ->> 'connection' AS connection,
           count(*) FILTER (WHERE j.status = 'todo') AS waiting,
           count(*) FILTER (
               WHERE j.status = 'doing' AND NOT EXISTS (
                   SELECT FROM jobs.procrastinate_workers w
                   WHERE w.id = j.worker_id AND w.last_heartbeat > now() - CAST(:dead_after AS interval)
               )
           ) AS stalled
    FROM jobs.procrastinate_jobs j
    WHERE j.status IN ('todo', 'doing')
    GROUP BY 1
    """
)

_NEWEST_HEARTBEAT = text("SELECT now() - max(last_heartbeat) FROM jobs.procrastinate_workers")

DEAD_AFTER = "15 seconds"
"""A worker without a sign of life for so long is taken for dead, as `etl queue` has it."""


class Whole(NamedTuple):
    """The warehouse as a whole: the version of its schema, and the size of its database in bytes."""

    version: str
    bytes: int


class Queued(NamedTuple):
    """How many jobs of a connection wait, and how many are held by workers that show no sign of life."""

    waiting: int
    stalled: int


def connections(database: Database) -> list[Mapping[str, Any]]:
    """Return one row per connection that was ever synced: how far it is, and what is open, due, failing and rejected."""
    with database.begin() as session:
        return [dict(row) for row in session.execute(_CONNECTIONS).mappings()]


def whole(database: Database) -> Whole:
    """Return what is measured of the warehouse as a whole."""
    with database.begin() as session:
        return Whole(*session.execute(_WHOLE).one())


def queued(database: Database) -> dict[str, Queued] | None:
    """Return the connections that have jobs in the workers' queue; None where the warehouse has no queue yet."""
    with database.begin() as session:
        if not session.execute(_HAS_QUEUE).scalar_one():
            return None
        found = session.execute(_QUEUE, {"dead_after": DEAD_AFTER})
        return {row.connection: Queued(row.waiting, row.stalled) for row in found}


def heartbeat_seconds(database: Database) -> float | None:
    """Return how many seconds ago a worker last showed a sign of life in the queue; None where there is no queue or worker."""
    with database.begin() as session:
        if not session.execute(_HAS_QUEUE).scalar_one():
            return None
        age = session.execute(_NEWEST_HEARTBEAT).scalar()
    return None if age is None else float(age.total_seconds())


def allowances_of(database: Database, accounts: Sequence[str]) -> dict[str, Standing]:
    """Return what is kept of these accounts' allowances; one that was never used is left out."""
    with database.begin() as session:
        rows = session.execute(select(allowances).where(allowances.c.account.in_(accounts))).all()
    return {row.account: Standing(row.memory, row.paused_until, row.day, row.day_requests, row.written_at) for row in rows}
