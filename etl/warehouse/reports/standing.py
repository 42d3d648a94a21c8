"""Reports what decides whether a connection is due: its last attempts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from etl.warehouse.database import Database


class Attempts(NamedTuple):
    """
    What was tried last for a connection, UTC instants; None where it never was.

    `began` is when the newest sync began, and `ended` when it ended (None: it goes on, or was killed); `succeeded` is when the
    newest one that got through (a partial one counts) began. `failures` counts the syncs since then that failed or were killed,
    up to `NEWEST`. `audited` is when it was audited last.
    """

    began: datetime | None = None
    ended: datetime | None = None
    succeeded: datetime | None = None
    failures: int = 0
    audited: datetime | None = None


NEWEST = 20
"""Of a connection's syncs the newest are looked at: more failures in a row are not counted."""

LOOKED_AT = 1_000
"""Among so many of its newest runs of any kind they are looked for. If none is there, the connection counts as never synced."""

# For each connection a few entries of indexes are read, however long its history is and whatever is in it. That a connection is
# at least and at most the wanted one, and the order by it, leave the planner one index, whose order it must not make by a sort.
# With "equal" it may choose to walk all runs by their ids, and for a connection with few or none that is every run of all.
_BY_INDEX = "BEGIN; SET LOCAL enable_sort TO off; SET LOCAL enable_seqscan TO off; SET LOCAL enable_bitmapscan TO off"
_ATTEMPTS = """
SELECT now() AS now, wanted.connection, newest.statuses, newest.began, newest.ended,
       (SELECT r.started_at FROM sync.runs r
        WHERE r.connection >= wanted.connection AND r.connection <= wanted.connection
            AND r.status = 'succeeded' AND r.kind = 'sync'
        ORDER BY r.connection, r.id DESC LIMIT 1) AS succeeded
FROM unnest(%(connections)s::text[]) AS wanted (connection)
CROSS JOIN LATERAL (
    SELECT array_agg(s.status ORDER BY s.id DESC) AS statuses, array_agg(s.started_at ORDER BY s.id DESC) AS began,
           (array_agg(s.finished_at ORDER BY s.id DESC))[1] AS ended
    FROM (
        SELECT r.* FROM (
            SELECT connection, id, kind, status, started_at, finished_at FROM sync.runs
            WHERE connection >= wanted.connection AND connection <= wanted.connection
            ORDER BY connection, id DESC LIMIT %(looked_at)s
        ) AS r
        WHERE r.kind = 'sync' ORDER BY r.connection, r.id DESC LIMIT %(newest)s
    ) AS s
) AS newest
"""
# A statement of its own, which asks each connection's shard on a cluster: runs are on every node, audits are not.
_AUDITED = """
SELECT known.connection,
       (SELECT a.checked_at FROM sync.audits a WHERE a.connection = known.connection
        ORDER BY a.connection, a.checked_at DESC LIMIT 1) AS checked_at
FROM sync.connections AS known
WHERE known.connection = ANY(%(connections)s::text[])
"""
_FAILED, _GOT_THROUGH = frozenset({"failed", "crashed"}), frozenset({"succeeded", "partial"})


class Standing(NamedTuple):
    """What was tried last for each connection, and what the database's clock, which dates the runs of all machines, says now."""

    now: datetime
    attempts: dict[str, Attempts]


def standing(database: Database, connections: Sequence[str]) -> Standing:
    """Return what was tried last for each of these connections, of which there is at least one. Raises WarehouseError."""
    asked = {"connections": list(connections), "newest": NEWEST, "looked_at": LOOKED_AT}
    with database.plain() as session:
        session.execute(_BY_INDEX)
        rows = session.execute(_ATTEMPTS, asked).fetchall()
        audited = dict(session.execute(_AUDITED, asked).fetchall())
        session.execute("COMMIT")
    now = rows[0][0]
    return Standing(now, {name: _attempts(*tried, audited=audited.get(name)) for _, name, *tried in rows})


def _attempts(
    statuses: list[str] | None,
    began: list[datetime] | None,
    ended: datetime | None,
    succeeded: datetime | None,
    *,
    audited: datetime | None,
) -> Attempts:
    statuses, began = statuses or [], began or []
    good = next((number for number, status in enumerate(statuses) if status in _GOT_THROUGH), None)
    return Attempts(
        began=began[0] if began else None,
        ended=ended,
        succeeded=began[good] if good is not None else succeeded,
        failures=sum(status in _FAILED for status in statuses[:good]),
        audited=audited,
    )
