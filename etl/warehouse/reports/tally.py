"""
Counts the runs that ended in this month (UTC), as counters: each run once, and every process comes to the same numbers.

They begin anew with each month, which whoever reads counters takes for a restart. Counted from the beginning they would fall
whenever old runs are removed, and that would look like a restart with all of them new. The table grows for years and is asked
about every few seconds, so what was counted is remembered and only what came since is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock
from typing import Any, NamedTuple

from sqlalchemy import Row, text

from etl.runs.terms import RunStatus
from etl.warehouse.database import Database

BOUNDS = (1, 5, 15, 60, 300, 900, 3_600, 14_400)
"""Seconds: runs are counted by whether they took at most so long."""

MARGIN = 1_000
"""Of two runs that begin at once, the later number may be seen first: the newest numbers are looked at again, so many of them."""

_WITHIN = ", ".join(f"count(*) FILTER (WHERE recent AND seconds <= {bound})" for bound in BOUNDS)

_MONTH = text("SELECT date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'")

_ENDED = text(
    f"""
    WITH newest AS (
        SELECT coalesce(max(id), 0) AS id FROM sync.runs
    ),
    chosen AS (
        SELECT id, connection, status, coalesce(error_code, '') AS error_code, requests, retries,
               extract(epoch FROM finished_at - started_at) AS seconds, finished_at >= :month AS recent
        FROM sync.runs
        WHERE (id > :after AND NOT id = ANY(CAST(:counted AS bigint[]))) OR id = ANY(CAST(:going_on AS bigint[]))
    )
    SELECT (SELECT id FROM newest) AS newest, connection, status, error_code, count(*) FILTER (WHERE recent) AS runs,
           coalesce(sum(requests) FILTER (WHERE recent), 0)::bigint AS requests,
           coalesce(sum(retries) FILTER (WHERE recent), 0)::bigint AS retries,
           coalesce(sum(seconds) FILTER (WHERE recent), 0)::float8 AS seconds, ARRAY[{_WITHIN}] AS within,
           coalesce(
               array_agg(id) FILTER (WHERE status = 'running' OR id > (SELECT id FROM newest) - {MARGIN}), '{{}}'
           ) AS ids
    FROM chosen
    GROUP BY connection, status, error_code
    ORDER BY connection, status, error_code
    """  # noqa: S608 - numbers of ours
)


class Ended(NamedTuple):
    """Which runs are counted together: those of a connection that ended in one way; `error_code` is empty where none failed."""

    connection: str
    status: str
    error_code: str


@dataclass(slots=True)
class Counted:
    """
    What runs came to: their number, requests, those sent again, and how long they took.

    `within` holds for each of `BOUNDS` how many took at most so long; `seconds` is the sum.
    """

    runs: int = 0
    requests: int = 0
    retries: int = 0
    seconds: float = 0.0
    within: list[int] = field(default_factory=lambda: [0] * len(BOUNDS))


class RunTally:
    """
    The runs of one warehouse that ended in this month; safe to share between threads.

    Of earlier ones it is known in which ways they ended: these are there with nothing. A run that was removed after it was
    counted (`etl prune`) stays counted.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._month: datetime | None = None
        self._begin()

    def _begin(self) -> None:
        self._sums: dict[Ended, Counted] = {}
        self._after = 0
        self._counted: frozenset[int] = frozenset()
        self._going_on: frozenset[int] = frozenset()

    def read(self, database: Database) -> dict[Ended, Counted]:
        """Count what ended since the last time, and return all sums. Raises WarehouseError, and has counted nothing then."""
        with self._lock:
            with database.begin() as session:
                month = session.execute(_MONTH).scalar_one()
                if month != self._month:
                    self._month = month
                    self._begin()
                given = {"after": self._after, "counted": list(self._counted), "going_on": list(self._going_on), "month": month}
                rows = session.execute(_ENDED, given).all()
            self._add(rows)
            return {ended: replace(sums) for ended, sums in self._sums.items()}

    def _add(self, rows: Sequence[Row[Any]]) -> None:
        going_on, counted = set(), set(self._counted)
        for row in rows:
            if row.status == RunStatus.RUNNING:
                going_on |= set(row.ids)
                continue
            counted |= set(row.ids)
            sums = self._sums.setdefault(Ended(row.connection, row.status, row.error_code), Counted())
            sums.runs += row.runs
            sums.requests += row.requests
            sums.retries += row.retries
            sums.seconds += row.seconds
            sums.within = [one + more for one, more in zip(sums.within, row.within, strict=True)]
        self._after = max([self._after, *(row.newest - MARGIN for row in rows)])
        self._counted = frozenset(one for one in counted if one > self._after)
        self._going_on = frozenset(going_on)
