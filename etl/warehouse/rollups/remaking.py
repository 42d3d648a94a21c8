"""
Makes the roll-ups of touched days again, in transactions behind the fence.

A reading view computes touched days; making a day again is storing what the view says of it, by statements that find it quicker
(`in_passes`, `of_people`). The stored rows of a touched day are never shown, and if a run is killed its days stay touched.
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
from etl.warehouse.rollups import in_passes, of_people
from etl.warehouse.run_statements import HAS_TOUCHED
from etl.warehouse.tables.rollups import KEYED, calls_hourly, keyed, talk_time_monthly

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
_HAS_PEOPLE = text(
    """
    SELECT EXISTS (SELECT 1 FROM public.call_participants WHERE connection = :connection)
        OR EXISTS (SELECT 1 FROM sync.person_daily WHERE connection = :connection)
    """
)
_PEOPLE_ARE_LEFT = text(
    "UPDATE sync.touched_days SET people_only = true, being_made = false "
    "WHERE connection = :connection AND day = ANY(:days) AND NOT people_only"
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
    with database.plain() as asking:
        if asking.execute(HAS_TOUCHED, (name,)).fetchone() == (False,):
            return
    with database.begin() as session:
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
    there_are_any = has_people(session, name)
    for chunk in chunks_of(days):
        yield partial(make_calls, name=name, days=chunk)
    for chunk in chunks_of(weeks):
        yield partial(make_people, name=name, weeks=chunk, there_are_any=there_are_any)


def make_calls(session: Connection, name: str, days: Sequence[date]) -> None:
    """Make the roll-ups of calls of these touched days again; what is left to be made of them are people and pairs."""
    find_calls(session, name, days)
    store_calls(session, name, days, found=days)


def find_calls(session: Connection, name: str, days: Sequence[date]) -> None:
    """Work out the roll-ups of calls of these days, without writing anything that others see."""
    session.execute(_ROOM)
    in_passes.find(session, name, days)


def store_calls(session: Connection, name: str, days: Sequence[date], *, found: Sequence[date]) -> None:
    """Store what was found, as far as it is of these days."""
    in_passes.store(session, name, days, found=found)
    session.execute(_PEOPLE_ARE_LEFT, {"connection": name, "days": list(days)})
    months = [month for month, _ in groupby(sorted(day.replace(day=1) for day in days))]
    for statement in _REMAKE_MONTHS:
        session.execute(statement, {"connection": name, "days": months})


def make_people(session: Connection, name: str, weeks: Sequence[date], *, there_are_any: bool) -> None:
    """Make the roll-ups of people and pairs of these weeks again, whose touched days are then touched no more."""
    if there_are_any:
        find_people(session, name, weeks)
        store_people(session, name, weeks)
    else:
        days = list(session.execute(_DAYS_OF_WEEKS, {"connection": name, "days": list(weeks)}).scalars())
        session.execute(_UNTOUCH, {"connection": name, "days": days})


def has_people(session: Connection, name: str) -> bool:
    """Whether anybody is known to be in a call of this connection, or was."""
    return bool(session.execute(_HAS_PEOPLE, {"connection": name}).scalar_one())


def find_people(session: Connection, name: str, weeks: Sequence[date]) -> None:
    """Work out the roll-ups of people and pairs of these weeks, without writing anything that others see."""
    session.execute(_ROOM)
    of_people.find(session, name, weeks)


def store_people(session: Connection, name: str, weeks: Sequence[date]) -> None:
    """Store what was found of these weeks, whose touched days are then touched no more."""
    days = list(session.execute(_DAYS_OF_WEEKS, {"connection": name, "days": list(weeks)}).scalars())
    of_people.store(session, name, weeks=weeks, days=days)
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
