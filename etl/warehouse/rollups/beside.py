"""
Makes the roll-ups of days again beside the pages of a run, in a session of their own, without keeping the pages waiting.

Working a day out takes long, storing it next to nothing; so only the storing takes the fence. First, behind the fence, the days
say that they are being made; a page that touches one of them takes that back, in its own transaction. Then they are worked out,
while pages go on. At last, behind the fence again, what was found is stored of the days that still say so: no page has touched
them since, so that it is what calls say now. The others stay touched. Of a run that is killed meanwhile, all do.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import Connection, Date, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from etl.warehouse.database import Database
from etl.warehouse.loading.transaction import behind_fence, hold
from etl.warehouse.rollups.remaking import (
    chunks_of,
    find_calls,
    find_people,
    has_people,
    store_calls,
    store_people,
)

_DAYS_OF = bindparam("days", type_=ARRAY(Date))
_TOUCHED = text("SELECT day FROM sync.touched_days WHERE connection = :connection AND NOT people_only ORDER BY day")
_TOUCHED_WEEKS = text(
    """
    SELECT date_trunc('week', day::timestamp)::date AS week, bool_and(people_only) AS people_only
    FROM sync.touched_days
    WHERE connection = :connection
    GROUP BY 1
    ORDER BY 1
    """
)
# Of no more days than are to be made: what is counted has to be read.
_HELD = text(
    "SELECT day, count(*) AS calls FROM public.calls WHERE connection = :connection AND day = ANY(:days) GROUP BY day"
).bindparams(_DAYS_OF)
_ARE_BEING_MADE = text(
    "UPDATE sync.touched_days SET being_made = true WHERE connection = :connection AND day = ANY(:days) AND NOT people_only"
).bindparams(_DAYS_OF)
_STILL_ARE = text(
    "SELECT day FROM sync.touched_days WHERE connection = :connection AND day = ANY(:days) AND being_made ORDER BY day"
).bindparams(_DAYS_OF)
_WEEKS_ARE_BEING_MADE = text(
    """
    UPDATE sync.touched_days SET being_made = true
    WHERE connection = :connection AND date_trunc('week', day::timestamp)::date = ANY(:days) AND people_only
    """
).bindparams(_DAYS_OF)
_WEEKS_STILL_ARE = text(
    """
    SELECT date_trunc('week', day::timestamp)::date AS week
    FROM sync.touched_days
    WHERE connection = :connection AND date_trunc('week', day::timestamp)::date = ANY(:days)
    GROUP BY 1
    HAVING bool_and(being_made AND people_only)
    ORDER BY 1
    """
).bindparams(_DAYS_OF)


def make_calls_beside(database: Database, name: str, run_id: int, *, written: int) -> int:
    """
    Make those of calls again in the middle of a run, and return of how many calls; of none if it were more than `written`.

    The first and the last touched day are left for later: at one of them the run goes on writing. Raises FenceLost.
    """
    with database.begin() as session:
        touched = list(session.execute(_TOUCHED, {"connection": name}).scalars())
        days = _held(session, name, touched[1:-1], more=0)
    held: int = sum(calls for _, calls in days)
    if held > written:
        return 0
    for chunk in chunks_of(days):
        announce(database, name, run_id, chunk)
        make_announced(database, name, run_id, chunk)
    return held


def announce(database: Database, name: str, run_id: int, days: Sequence[date]) -> None:
    """Write down that the roll-ups of calls of these touched days are being made. Raises FenceLost."""
    with behind_fence(database, name, run_id) as (session, _):
        session.execute(_ARE_BEING_MADE, {"connection": name, "days": list(days)})


def make_announced(database: Database, name: str, run_id: int, days: Sequence[date]) -> None:
    """Work these days out, and store those of them that nothing has touched since they were announced. Raises FenceLost."""
    with database.begin() as session:
        find_calls(session, name, days)
        hold(session, name, run_id)
        untouched = list(session.execute(_STILL_ARE, {"connection": name, "days": list(days)}).scalars())
        if untouched:
            store_calls(session, name, untouched, found=days)


def make_people_beside(database: Database, name: str, run_id: int, *, written: int) -> int:
    """
    Make those of people and pairs again in the middle of a run, of weeks of which those of calls are made.

    Returns of how many calls; of none if it were more than `written`. The first and the last touched week are left for later.
    Raises FenceLost.
    """
    with database.begin() as session:
        touched = list(session.execute(_TOUCHED_WEEKS, {"connection": name})) if has_people(session, name) else []
        weeks = _held(session, name, [row.week for row in touched[1:-1] if row.people_only], more=6)
    held: int = sum(calls for _, calls in weeks)
    if held > written:
        return 0
    for chunk in chunks_of(weeks):
        announce_weeks(database, name, run_id, chunk)
        make_announced_weeks(database, name, run_id, chunk)
    return held


def announce_weeks(database: Database, name: str, run_id: int, weeks: Sequence[date]) -> None:
    """Write down that the roll-ups of people and pairs of these weeks are being made. Raises FenceLost."""
    with behind_fence(database, name, run_id) as (session, _):
        session.execute(_WEEKS_ARE_BEING_MADE, {"connection": name, "days": list(weeks)})


def make_announced_weeks(database: Database, name: str, run_id: int, weeks: Sequence[date]) -> None:
    """Work these weeks out, and store those of them that nothing has touched since they were announced. Raises FenceLost."""
    with database.begin() as session:
        find_people(session, name, weeks)
        hold(session, name, run_id)
        untouched = list(session.execute(_WEEKS_STILL_ARE, {"connection": name, "days": list(weeks)}).scalars())
        if untouched:
            store_people(session, name, untouched)


def _held(session: Connection, name: str, days: Sequence[date], *, more: int) -> list[tuple[date, int]]:
    """Return these days with the number of calls of each, and of so many days after it."""
    last = date.max.toordinal()
    met = {date.fromordinal(min(day.toordinal() + later, last)): day for day in days for later in range(more + 1)}
    counted = dict.fromkeys(days, 0)
    for row in session.execute(_HELD, {"connection": name, "days": sorted(met)}):
        counted[met[row.day]] += row.calls
    return list(counted.items())
