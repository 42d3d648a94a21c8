"""
Makes the roll-ups of touched days again, in transactions behind the fence.

A reading view computes touched days, so making a day again is copying what the view says of it into the stored rows: the
definition stands in the view alone. The stored rows of a touched day are never shown, and if a run is killed its days stay
touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from itertools import groupby
from threading import Event

from sqlalchemy import Connection, Date, Table, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from etl.warehouse.database import Database
from etl.warehouse.loading.transaction import behind_fence
from etl.warehouse.rollups import in_passes
from etl.warehouse.tables.rollups import KEYED, calls_hourly, keyed, pair_weekly, person_daily, talk_time_monthly

CHUNK = 100_000
"""The number of calls whose days are made again in one transaction, a single day of more excepted."""

_DAYS_OF = bindparam("days", type_=ARRAY(Date))


NULLABLE = frozenset({"direction", "currency", "agent_id"})
"""The parts of keys that may be null in a view, and are the empty text in the stored rows."""


def taken_from_view(table: Table) -> str:
    """Return the columns of a stored roll-up as they are selected from its reading view."""
    return ", ".join(_taken(column.name) for column in table.columns)


def source_of(table: Table) -> str:
    """Return the view that a stored roll-up is copied from: its reading view, or a wider one."""
    return "sync.hourly" if table is calls_hourly else f"public.{table.name}"


def _taken(name: str) -> str:
    if name in KEYED:
        return keyed(name)
    return f"coalesce({name}, '')" if name in NULLABLE else name


def _copied(table: Table, unit: str) -> tuple[str, str]:
    """Return the statements that delete the stored rows of some days (or weeks), and store what the view says of them."""
    columns = ", ".join(column.name for column in table.columns)
    taken = taken_from_view(table)
    where = f"WHERE connection = :connection AND {unit} = ANY(:days)"
    return (
        f"DELETE FROM sync.{table.name} {where}",  # noqa: S608 - names of ours
        f"INSERT INTO sync.{table.name} ({columns}) SELECT {taken} FROM {source_of(table)} {where}",  # noqa: S608
    )


_REMAKE_PEOPLE = tuple(text(part).bindparams(_DAYS_OF) for part in _copied(person_daily, "day"))
_REMAKE_PAIRS = tuple(text(part).bindparams(_DAYS_OF) for part in _copied(pair_weekly, "week"))
_REMAKE_MONTHS = tuple(
    text(part).bindparams(_DAYS_OF)
    for part in (
        f"DELETE FROM sync.{talk_time_monthly.name} WHERE connection = :connection AND month = ANY(:days)",  # noqa: S608
        """
        INSERT INTO sync.talk_time_monthly (connection, month, direction, is_test, bucket, calls)
        SELECT daily.connection, months.month, daily.direction, daily.is_test, daily.bucket, sum(daily.calls)
        FROM unnest(:days) AS months (month)
        JOIN sync.talk_time_daily AS daily
            ON daily.connection = :connection AND daily.day >= months.month
            AND daily.day < (months.month + interval '1 month')::date
        GROUP BY 1, 2, 3, 4, 5
        """,
    )
)

_TOUCHED = text(
    """
    SELECT touched.day, count(calls.day) AS calls
    FROM sync.touched_days AS touched
    LEFT JOIN public.calls ON calls.connection = touched.connection AND calls.day = touched.day
    WHERE touched.connection = :connection AND NOT touched.people_only
    GROUP BY touched.day
    ORDER BY touched.day
    """
)
_TOUCHED_WEEKS = text(
    """
    SELECT date_trunc('week', touched.day::timestamp)::date AS week, count(calls.day) AS calls
    FROM sync.touched_days AS touched
    LEFT JOIN public.calls ON calls.connection = touched.connection AND calls.day = touched.day
    WHERE touched.connection = :connection
    GROUP BY 1
    ORDER BY 1
    """
)
_ROOM = text("SET LOCAL work_mem TO '64MB'")  # a chunk is sorted in memory
_HAS_TOUCHED = text("SELECT EXISTS (SELECT 1 FROM sync.touched_days WHERE connection = :connection)")
_HAS_PEOPLE = text(
    """
    SELECT EXISTS (SELECT 1 FROM public.call_participants WHERE connection = :connection)
        OR EXISTS (SELECT 1 FROM sync.person_daily WHERE connection = :connection)
    """
)
_PEOPLE_ARE_LEFT = text(
    "UPDATE sync.touched_days SET people_only = true WHERE connection = :connection AND day = ANY(:days) AND NOT people_only"
).bindparams(_DAYS_OF)
_UNTOUCH = text("DELETE FROM sync.touched_days WHERE connection = :connection AND day = ANY(:days)").bindparams(_DAYS_OF)
_DAYS_OF_WEEKS = text(
    """
    SELECT day FROM sync.touched_days
    WHERE connection = :connection AND date_trunc('week', day::timestamp)::date = ANY(:days)
    """
).bindparams(_DAYS_OF)


def remake(database: Database, name: str, run_id: int, *, stop: Event) -> None:
    """Make all roll-ups of every touched day of a connection again, unless `stop` is set before. Raises FenceLost."""
    with database.begin() as session:
        if not session.execute(_HAS_TOUCHED, {"connection": name}).scalar_one():
            return
        parts = list(parts_of(session, name))
    for part in parts:
        if stop.is_set():
            return
        with behind_fence(database, name, run_id) as (session, _):
            part(session)


def parts_of(session: Connection, name: str) -> Iterator[Callable[[Connection], None]]:
    """Return what there is to do for the touched days of a connection, each part for a transaction of its own."""
    days = [(row.day, row.calls) for row in session.execute(_TOUCHED, {"connection": name})]
    weeks = [(row.week, row.calls) for row in session.execute(_TOUCHED_WEEKS, {"connection": name})]
    has_people = session.execute(_HAS_PEOPLE, {"connection": name}).scalar_one()
    for chunk in chunks_of(days):
        yield partial(make_calls, name=name, days=chunk)
    for chunk in chunks_of(weeks):
        yield partial(make_people, name=name, weeks=chunk, there_are_any=has_people)


def remake_calls(database: Database, name: str, run_id: int, *, written: int) -> int:
    """
    Make those of calls again in the middle of a run, and return of how many calls; of none if it were more than `written`.

    The first and the last touched day are left for later: at one of them the run goes on writing. Raises FenceLost.
    """
    with database.begin() as session:
        days = [(row.day, row.calls) for row in session.execute(_TOUCHED, {"connection": name})][1:-1]
    held: int = sum(calls for _, calls in days)
    if held > written:
        return 0
    for chunk in chunks_of(days):
        with behind_fence(database, name, run_id) as (session, _):
            make_calls(session, name, chunk)
    return held


def make_calls(session: Connection, name: str, days: Sequence[date]) -> None:
    """Make the roll-ups of calls of these touched days again; what is left to be made of them are people and pairs."""
    session.execute(_ROOM)
    in_passes.make(session, name, days)
    session.execute(_PEOPLE_ARE_LEFT, {"connection": name, "days": list(days)})
    months = [month for month, _ in groupby(sorted(day.replace(day=1) for day in days))]
    for statement in _REMAKE_MONTHS:
        session.execute(statement, {"connection": name, "days": months})


def make_people(session: Connection, name: str, weeks: Sequence[date], *, there_are_any: bool) -> None:
    """Make the roll-ups of people and pairs of these weeks again, whose touched days are then touched no more."""
    days = list(session.execute(_DAYS_OF_WEEKS, {"connection": name, "days": list(weeks)}).scalars())
    session.execute(_ROOM)
    if there_are_any:
        for statement in _REMAKE_PEOPLE:
            session.execute(statement, {"connection": name, "days": days})
        for statement in _REMAKE_PAIRS:
            session.execute(statement, {"connection": name, "days": list(weeks)})
    session.execute(_UNTOUCH, {"connection": name, "days": days})


def chunks_of(counted: Sequence[tuple[date, int]]) -> Iterator[list[date]]:
    """Yield days, given with the number of their calls, in lists of about `CHUNK` calls."""
    chunk: list[date] = []
    held = 0
    for day, calls in counted:
        if chunk and (held + calls > CHUNK or (day - chunk[0]).days > in_passes.SPAN):
            yield chunk
            chunk, held = [], 0
        chunk.append(day)
        held += calls
    if chunk:
        yield chunk
