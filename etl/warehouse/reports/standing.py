"""Reports what decides whether a connection is due: its last attempts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text

from etl.warehouse.database import Database


class Attempts(NamedTuple):
    """
    What was tried last for a connection, UTC instants; None where it never was.

    `began` is when the newest sync began, and `ended` when it ended (None: it goes on, or was killed); `succeeded` is when the
    newest one that got through (a partial one counts) began. `failures` counts the syncs since then that failed or were killed.
    `audited` is when it was audited last.
    """

    began: datetime | None = None
    ended: datetime | None = None
    succeeded: datetime | None = None
    failures: int = 0
    audited: datetime | None = None


COUNTED = 20
"""Failures in a row are counted up to this."""

# For each connection a few entries of indexes are read, however long its history is.
_ATTEMPTS = text(
    """
    SELECT now() AS now, wanted.connection, newest.started_at AS began, newest.finished_at AS ended, good.started_at AS succeeded,
           (SELECT count(*) FROM (
               SELECT FROM sync.runs f
               WHERE f.connection = wanted.connection AND f.kind = 'sync' AND f.id > coalesce(good.id, 0)
                   AND f.status IN ('failed', 'crashed')
               ORDER BY f.id DESC LIMIT :counted
           ) AS failed)::int AS failures,
           (SELECT max(a.checked_at) FROM sync.audits a WHERE a.connection = wanted.connection) AS audited
    FROM unnest(CAST(:connections AS text[])) AS wanted (connection)
    LEFT JOIN LATERAL (
        SELECT r.started_at, r.finished_at FROM sync.runs r
        WHERE r.connection = wanted.connection AND r.kind = 'sync' ORDER BY r.id DESC LIMIT 1
    ) AS newest ON true
    LEFT JOIN LATERAL (
        SELECT r.id, r.started_at FROM sync.runs r
        WHERE r.connection = wanted.connection AND r.kind = 'sync' AND r.status IN ('succeeded', 'partial')
        ORDER BY r.id DESC LIMIT 1
    ) AS good ON true
    """
)


class Standing(NamedTuple):
    """What was tried last for each connection, and what the database's clock, which dates the runs of all machines, says now."""

    now: datetime
    attempts: dict[str, Attempts]


def standing(database: Database, connections: Sequence[str]) -> Standing:
    """Return what was tried last for each of these connections, of which there is at least one. Raises WarehouseError."""
    with database.begin() as session:
        rows = session.execute(_ATTEMPTS, {"connections": list(connections), "counted": COUNTED}).all()
    found = {row.connection: Attempts(row.began, row.ended, row.succeeded, row.failures, row.audited) for row in rows}
    return Standing(rows[0].now, found)
