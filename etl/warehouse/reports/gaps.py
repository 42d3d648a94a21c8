"""
Knows the gaps of every stream: from when to when, why they are there, and whether they can still be closed. Reads only.

What counts as a gap is what the view `data_freshness` counts; one that reaches over the horizon is two here, since only its
upper part can be closed.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import text

from etl.warehouse.database import Database


class Why(StrEnum):
    """Why a stretch of time was not read."""

    NOT_READ_YET = "not_read_yet"  # no run has come so far
    NOT_REACHED = "not_reached"  # the last run read what the provider let it read, and this was not among it
    BELOW_HORIZON = "below_horizon"  # the provider's list ends above it


class Gap(NamedTuple):
    """A stretch of a stream's time that was not read; `start` None: without a lower bound."""

    connection: str
    stream: str
    start: datetime | None
    end: datetime
    why: Why

    @property
    def closable(self) -> bool:
        """Whether a later run can still close it."""
        return self.why is not Why.BELOW_HORIZON


_GAPS = text(
    """
    WITH reach AS (
        SELECT s.*,
            CASE WHEN horizon IS NULL THEN domain_start
                 ELSE greatest(domain_start, least(lower(coverage), horizon)) END AS beginning
        FROM sync.state s
        WHERE NOT isempty(coverage)
    ),
    holes AS (
        SELECT reach.*, tstzmultirange(tstzrange(beginning, upper(coverage))) - coverage AS holes
        FROM reach
        WHERE beginning IS NULL OR beginning < upper(coverage)
    ),
    parts AS (
        SELECT connection, stream, unnest(holes - tstzmultirange(tstzrange(NULL, horizon))) AS part, false AS lost
        FROM holes WHERE horizon IS NOT NULL
        UNION ALL
        SELECT connection, stream, unnest(holes * tstzmultirange(tstzrange(NULL, horizon))), true
        FROM holes WHERE horizon IS NOT NULL
        UNION ALL
        SELECT connection, stream, unnest(holes), false FROM holes WHERE horizon IS NULL
    )
    SELECT p.connection, p.stream, lower(p.part) AS starts, upper(p.part) AS ends, p.lost, r.status AS last_status
    FROM parts p
    LEFT JOIN LATERAL (
        -- The last run that read pages: a replay reads none.
        SELECT r.status FROM sync.runs r WHERE r.connection = p.connection AND r.pages > 0 ORDER BY r.id DESC LIMIT 1
    ) r ON true
    ORDER BY p.connection, p.stream, lower(p.part) NULLS FIRST
    """
)


def gaps(database: Database) -> list[Gap]:
    """Return the gaps of every stream, oldest first."""
    with database.begin() as session:
        rows = session.execute(_GAPS).all()
    return [
        Gap(row.connection, row.stream, row.starts, row.ends, _why(lost=row.lost, last_status=row.last_status)) for row in rows
    ]


def _why(*, lost: bool, last_status: str | None) -> Why:
    if lost:
        return Why.BELOW_HORIZON
    return Why.NOT_REACHED if last_status == "succeeded" else Why.NOT_READ_YET
