"""
What the warehouse holds now, as a fingerprint for each file: where it differs from the manifest's, the file is made again.

Calls are counted by month, and those that were written since the mark are looked at: a month that a call came to, or in which
one changed, holds a newer `changed_at`; a month that only lost calls (moved, deleted, erased) holds fewer. The roll-ups are
small, and their rows are hashed: so whatever changed them is seen.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from psycopg import Connection as Session
from psycopg import sql

from etl.warehouse.export.relations import AGENT_DAILY, CALLS, Part, Relation

OVERLAP = timedelta(minutes=5)
"""How long before the mark something may have been written that was not committed yet: no writing transaction lasts so long."""

_COUNTS = """
SELECT connection, date_trunc('month', day::timestamp)::date AS month, sum(calls)::bigint
FROM (SELECT connection, day, count(*) AS calls FROM {calls} GROUP BY connection, day) AS days
GROUP BY 1, 2
"""
_AGENTS = """
SELECT
    connection, date_trunc('month', day::timestamp)::date AS month,
    sum(DISTINCT hash_record_extended(ROW(agent_id, agent_name), 0))
FROM {agents}
GROUP BY 1, 2
"""
_WRITTEN = """
SELECT connection, date_trunc('month', day::timestamp)::date AS month, changed_at, count(*)
FROM {calls}
WHERE changed_at >= {since}
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
"""
_NEWEST = "SELECT max(changed_at) FROM {calls}"
_ROWS = """
SELECT
    rows.connection, date_trunc('month', rows.{unit}::timestamp)::date AS month,
    count(*), sum(hash_record_extended(rows, 0))
FROM {relation} AS rows
GROUP BY 1, 2
"""


class Fingerprint(NamedTuple):
    """How a part stands: as the manifest would tell it that was written at its mark, and as the next one has to tell it."""

    before: str
    now: str


class Calls:
    """The calls as they stand in a snapshot, beside those of a manifest with this mark."""

    def __init__(self, session: Session, schema: str, mark: datetime | None) -> None:
        calls = sql.Identifier(schema, CALLS.name)
        self._counts = {
            Part(connection, month): count
            for connection, month, count in session.execute(sql.SQL(_COUNTS).format(calls=calls)).fetchall()
        }
        agents = sql.SQL(_AGENTS).format(agents=sql.Identifier(schema, AGENT_DAILY.name))
        self._agents = {Part(connection, month): names for connection, month, names in session.execute(agents).fetchall()}
        self._written: dict[Part, list[tuple[datetime, int]]] = defaultdict(list)
        known = mark or _first(session.execute(sql.SQL(_NEWEST).format(calls=calls)).fetchone())
        if known is not None:
            written = sql.SQL(_WRITTEN).format(calls=calls, since=sql.Literal(known - OVERLAP))
            for connection, month, changed_at, count in session.execute(written).fetchall():
                self._written[Part(connection, month)].append((changed_at.astimezone(UTC), count))
        newest = [changed_at for times in self._written.values() for changed_at, _ in times]
        self._before = known
        self.mark: datetime | None = max([known, *newest]) if known is not None else None
        """The mark of the next manifest: it never goes back, also where the newest calls were deleted."""

    def fingerprints(self, relation: Relation) -> dict[Part, Fingerprint]:
        """Return how each month of a relation stands, whose rows follow from calls."""
        return {
            part: Fingerprint(
                self._fingerprint(part, count, self._before, relation), self._fingerprint(part, count, self.mark, relation)
            )
            for part, count in self._counts.items()
        }

    def _fingerprint(self, part: Part, count: int, mark: datetime | None, relation: Relation) -> str:
        since = mark - OVERLAP if mark is not None else None
        lines = [f"{at.isoformat()}={calls}" for at, calls in self._written[part] if since is None or at >= since]
        recent = sha256("\n".join(lines).encode()).hexdigest()[:16]
        return f"{count}/{recent}" + (f"/{self._agents.get(part, 0)}" if relation.names_agents else "")


def of_rows(session: Session, schema: str, relation: Relation) -> dict[Part, Fingerprint]:
    """Return how each month of a roll-up stands, by its rows."""
    query = sql.SQL(_ROWS).format(relation=sql.Identifier(schema, relation.name), unit=sql.Identifier(relation.unit))
    found = session.execute(query).fetchall()
    return {
        Part(connection, month): Fingerprint(told, told)
        for connection, month, count, content in found
        for told in (f"{count}/{content}",)
    }


def _first(row: tuple[datetime | None] | None) -> datetime | None:
    return row[0] if row else None
