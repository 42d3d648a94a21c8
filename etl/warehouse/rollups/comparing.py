"""
Compares the stored roll-ups of a connection with what its calls say, for audits.

It marks days as touched in a transaction that is taken back, so that the reading views compute them: what a roll-up means stands
in its view alone. Days that are touched anyway are never shown as they are stored, and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from sqlalchemy import Date, Table, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from etl.warehouse.database import Database
from etl.warehouse.loading.transaction import behind_fence
from etl.warehouse.rollups.remaking import chunks_of, source_of, taken_from_view
from etl.warehouse.tables.rollups import OF_CALLS, pair_weekly, person_daily, talk_time_monthly

_DAYS = bindparam("days", type_=ARRAY(Date))

# Of calls and of every roll-up, so that rows of days without a call are found as well.
_KNOWN = text(
    f"""
    SELECT known.day, count(calls.day) AS calls
    FROM (
        SELECT DISTINCT day FROM (
            SELECT day FROM public.calls WHERE connection = :connection
            {" ".join(f"UNION ALL SELECT day FROM sync.{table.name} WHERE connection = :connection" for table in OF_CALLS)}
            UNION ALL SELECT day FROM sync.person_daily WHERE connection = :connection
            UNION ALL SELECT week FROM sync.pair_weekly WHERE connection = :connection
            UNION ALL SELECT month FROM sync.talk_time_monthly WHERE connection = :connection
        ) AS every
    ) AS known
    LEFT JOIN public.calls ON calls.connection = :connection AND calls.day = known.day
    GROUP BY known.day
    ORDER BY known.day
    """  # noqa: S608 - names of ours
)
_TOUCHED = text("SELECT day, people_only FROM sync.touched_days WHERE connection = :connection")
_TOUCH = text(
    """
    INSERT INTO sync.touched_days AS touched_days (connection, day)
    SELECT CAST(:connection AS text), day FROM unnest(:days) AS day
    ON CONFLICT (connection, day) DO UPDATE SET people_only = false, being_made = false
    """
).bindparams(_DAYS)


class Differing(NamedTuple):
    """A stored roll-up that is not what calls say, and the first day (week, month) on which it is not."""

    relation: str
    day: date


def _difference(table: Table, unit: str) -> str:
    columns = ", ".join(column.name for column in table.columns)
    stored = f"SELECT {columns} FROM sync.{table.name} WHERE connection = :connection AND {unit} = ANY(:days)"  # noqa: S608
    computed = f"SELECT {taken_from_view(table)} FROM {source_of(table)} WHERE connection = :connection AND {unit} = ANY(:days)"  # noqa: S608
    # Each side once: as two differences, every row would be computed twice.
    both = f"SELECT *, 1 FROM ({stored}) AS stored UNION ALL SELECT *, -1 FROM ({computed}) AS computed"  # noqa: S608
    return f"""
        SELECT DISTINCT {unit} AS day
        FROM (SELECT {unit} FROM ({both}) AS both_sides ({columns}, side) GROUP BY {columns} HAVING sum(side) <> 0) AS differing
        ORDER BY 1
    """  # noqa: S608 - names of ours


_BY_DAY = {table.name: text(_difference(table, "day")).bindparams(_DAYS) for table in (*OF_CALLS, person_daily)}
_PAIRS = text(_difference(pair_weekly, "week")).bindparams(_DAYS)
_MONTHS = text(_difference(talk_time_monthly, "month")).bindparams(_DAYS)


def differing(database: Database, name: str) -> Iterator[Differing]:
    """Yield every day of a stored roll-up that is not what calls say. The caller holds the connection's lock."""
    with database.begin() as session:
        known = [(row.day, row.calls) for row in session.execute(_KNOWN, {"connection": name})]
        touched = {row.day: row.people_only for row in session.execute(_TOUCHED, {"connection": name})}
    settled = [(day, calls) for day, calls in known if day not in touched]
    for days in chunks_of(settled):
        yield from _differing(database, name, days)


def _differing(database: Database, name: str, days: list[date]) -> Iterator[Differing]:
    found: list[Differing] = []
    values = {"connection": name, "days": days}
    weeks = sorted({date.fromordinal(day.toordinal() - day.weekday()) for day in days})
    months = sorted({day.replace(day=1) for day in days})
    with database.begin() as session:
        shown = {row.day for row in session.execute(_TOUCHED, {"connection": name})}
        busy_weeks = {date.fromordinal(day.toordinal() - day.weekday()) for day in shown}
        busy_months = {day.replace(day=1) for day in shown}
        session.execute(_TOUCH, values)
        for relation, statement in _BY_DAY.items():
            found += [Differing(relation, row.day) for row in session.execute(statement, values)]
        for relation, statement, units in (
            ("pair_weekly", _PAIRS, [week for week in weeks if week not in busy_weeks]),
            ("talk_time_monthly", _MONTHS, [month for month in months if month not in busy_months]),
        ):
            rows = session.execute(statement, {"connection": name, "days": units})
            found += [Differing(relation, row.day) for row in rows]
        session.rollback()
    yield from found


def touch(database: Database, name: str, run_id: int, days: list[date]) -> None:
    """Mark days as touched, so that the run makes them again at its end. Raises FenceLost."""
    with behind_fence(database, name, run_id) as (session, _):
        session.execute(_TOUCH, {"connection": name, "days": days})
