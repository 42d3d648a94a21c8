"""Knows how the cost of a call grows with the number of calls held: one long backfill, looked at while it runs."""

from __future__ import annotations

import time

import psycopg

from benchmarks.bench import Found, Sample, Stage, configure, etl
from benchmarks.dataset import lasting
from benchmarks.lanes.backfill import connection, held
from benchmarks.postgres import Lane
from benchmarks.process import LaneFailed
from benchmarks.serving import pages

WINDOW = 100_000
EDGE = 10
"""
So many windows at each end are compared. The very first is left out, since the program starts in it; ten are about as many as lie
between two of Postgres's checkpoints, after which every page is written to the log once more.
"""

Mark = tuple[float, int, int, float]
"""Seconds, calls read so far, WAL bytes, the database's processor seconds."""


class _Observer:
    """Asks from a session of its own how far the run is; few and small questions, so that they do not cost what they measure."""

    def __init__(self, stage: Stage, lane: Lane) -> None:
        self.marks: list[Mark] = []
        self._stage = stage
        self._session = psycopg.connect(lane.conninfo, autocommit=True)
        self._next = 0.0

    def look(self) -> None:
        """Take a mark, at most five times a second."""
        now = time.perf_counter()
        if now < self._next:
            return
        self._next = now + 0.2
        row = self._session.execute(
            "SELECT coalesce(sum(inserted), 0)::bigint, (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint FROM sync.runs"
        ).fetchone()
        if row is not None:
            self.marks.append((time.perf_counter(), row[0], row[1], self._stage.postgres.cpu()))

    def close(self) -> None:
        """End the session."""
        self._session.close()


def measure(stage: Stage, found: Found, *, calls: int) -> None:
    """Add one sample, with the cost of each window of calls."""
    stage.say(f"scale: a backfill of {calls:,} Tuple calls, looked at while it runs")
    window = min(WINDOW, max(calls // 20, 1000))
    with pages(lasting("tuple", calls), folder=stage.data) as served, stage.postgres.database(migrated=True) as lane:
        config = configure(stage.scratch, lane, served, {"pairing": connection(calls)})
        observer = _Observer(stage, lane)
        try:
            sample, _ = stage.measured(etl(config, "sync"), calls=calls, pages=served, meanwhile=observer.look)
            observer.look()
        finally:
            observer.close()
        sample |= held(lane)
    if sample["rows"] != calls:
        raise LaneFailed(f"{sample['rows']:,} of {calls:,} calls were loaded")
    costs = windows(observer.marks, window)
    found["scale"].append(sample | {"window": window, "windows": costs, **_growth(costs)})


def windows(marks: list[Mark], size: int) -> list[Sample]:
    """Return the cost of each window of `size` calls, interpolated between the marks."""
    found: list[Sample] = []
    before = _at(marks, 0)
    for end in range(size, marks[-1][1] + 1 if marks else 0, size):
        here = _at(marks, end)
        if before is not None and here is not None:
            seconds, wal, cpu = (here[index] - before[index] for index in range(3))
            found.append({"held": end, "seconds": seconds, "wal": wal, "database_cpu": cpu})
        before = here
    return found


def _at(marks: list[Mark], calls: int) -> tuple[float, float, float] | None:
    """Return seconds, WAL and processor seconds at the moment when so many calls were held."""
    later = next((index for index, mark in enumerate(marks) if mark[1] >= calls and (calls or mark[1])), None)
    if later is None:
        return None
    one, two = marks[max(later - 1, 0)], marks[later]
    share = (calls - one[1]) / (two[1] - one[1]) if two[1] > one[1] else 0.0
    between = [one[index] + share * (two[index] - one[index]) for index in (0, 2, 3)]
    return between[0], between[1], between[2]


def _growth(costs: list[Sample]) -> Sample:
    """Return how many times the first windows' cost the last ones' is."""
    settled = costs[1:]
    if len(settled) < 2:
        return {}
    edge = min(EDGE, max(len(settled) // 3, 1))

    def ratio(name: str) -> float:
        first, last = (sum(one[name] for one in part) for part in (settled[:edge], settled[-edge:]))
        return last / first if first else 0.0

    return {"growth": ratio("seconds"), "wal_growth": ratio("wal"), "database_cpu_growth": ratio("database_cpu")}
