"""
Reports the gaps of every stream: their range, why they exist, and whether they can still be closed.

`etl.runs.state` defines what a gap is. One that crosses the horizon is reported as two, since only its upper part can be closed;
the view `data_freshness` counts it once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Row, text

from etl.coverage import BEGINNING
from etl.printable import instant_text
from etl.runs.state import StreamState
from etl.runs.terms import RunStatus
from etl.warehouse.database import Database
from etl.warehouse.loading.transaction import spans_of


class Why(StrEnum):
    """Why a range of time was not read."""

    NOT_READ_YET = "not_read_yet"  # no run has got there yet
    NOT_REACHED = "not_reached"  # the last run could not read it: the provider did not serve it
    BELOW_HORIZON = "below_horizon"  # older than where the provider's list ends


class Gap(NamedTuple):
    """A range of a stream's time that was not read; `start` is None if it has no lower bound."""

    connection: str
    stream: str
    start: datetime | None
    end: datetime
    why: Why

    @property
    def closable(self) -> bool:
        """Whether a later run can close it."""
        return self.why is not Why.BELOW_HORIZON


WHY = {
    Why.NOT_READ_YET: "no run has come so far; the next ones go on.",
    Why.NOT_REACHED: "the last run could not reach it; every run tries again.",
    Why.BELOW_HORIZON: "the provider's list ends above it; it can be had no more.",
}


def told(gap: Gap) -> str:
    """Say what was not read, and why."""
    start = f"from {instant_text(gap.start)}" if gap.start is not None else "from the beginning"
    return f"not read {start} to {instant_text(gap.end)}: {WHY[gap.why]}"


_STREAMS = text(
    """
    SELECT s.connection, s.stream, s.domain_start, s.coverage, s.horizon, r.status AS last_status
    FROM sync.state s
    LEFT JOIN LATERAL (
        -- The last run that read pages: a replay reads none. Where none of the newest hundred did, it is as if none ever had.
        SELECT r.status
        FROM (SELECT * FROM sync.runs WHERE connection = s.connection ORDER BY id DESC LIMIT 100) r
        WHERE r.pages > 0 ORDER BY r.id DESC LIMIT 1
    ) r ON true
    ORDER BY s.connection, s.stream
    """
)


def gaps(database: Database) -> list[Gap]:
    """Return the gaps of every stream, oldest first."""
    with database.begin() as session:
        rows = session.execute(_STREAMS).all()
    return [gap for row in rows for gap in _gaps_of(row)]


def _gaps_of(row: Row[Any]) -> Iterator[Gap]:
    state = StreamState(start=row.domain_start, coverage=spans_of(row.coverage), horizon=row.horizon)
    unread = Why.NOT_REACHED if row.last_status == RunStatus.SUCCEEDED else Why.NOT_READ_YET
    for spans, why in ((state.lost, Why.BELOW_HORIZON), (state.closable, unread)):
        for span in spans:
            yield Gap(row.connection, row.stream, None if span.start == BEGINNING else span.start, span.end, why)
