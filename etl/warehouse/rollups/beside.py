"""
Makes the roll-ups of days again beside the pages of a run, in a session of their own, without keeping the pages waiting.

Working a day out takes long, storing it next to nothing; so only the storing takes the fence. First, behind the fence, the days
say that they are being made; a page that touches one of them takes that back, in its own transaction. Then they are worked out,
while pages go on. At last, behind the fence again, what was found is stored of the days that still say so: no page has touched
them since, so that it is what calls say now. The others stay touched. Of a run that is killed meanwhile, all do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, Date, TextClause, bindparam, text
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Roll-ups that are made together, of days or of weeks: how these are announced and looked at again, found and stored."""

    announced: TextClause
    untouched: TextClause
    find: Callable[[Connection, str, Sequence[date]], None]
    store: Callable[[Connection, str, Sequence[date], Sequence[date]], None]  # the untouched ones, of all that were found


CALLS = Part(
    announced=_ARE_BEING_MADE,
    untouched=_STILL_ARE,
    find=find_calls,
    store=lambda session, name, days, found: store_calls(session, name, days, found=found),
)
"""By day."""

PEOPLE = Part(
    announced=_WEEKS_ARE_BEING_MADE,
    untouched=_WEEKS_STILL_ARE,
    find=find_people,
    store=lambda session, name, weeks, found: store_people(session, name, weeks),
)
"""People and pairs, by week."""


def make_calls_beside(database: Database, name: str, run_id: int, *, written: int) -> int:
    """
    Make those of calls again in the middle of a run, and return of how many calls; of none if it were more than `written`.

    The first and the last touched day are left for later: at one of them the run goes on writing. Raises FenceLost.
    """
    with database.begin() as session:
        touched = list(session.execute(_TOUCHED, {"connection": name}).scalars())
        days = _held(session, name, touched[1:-1], more=0)
    return _make(database, name, run_id, days, of=CALLS, written=written)


def make_people_beside(database: Database, name: str, run_id: int, *, written: int) -> int:
    """
    Make those of people and pairs again in the middle of a run, of weeks of which those of calls are made.

    Returns of how many calls; of none if it were more than `written`. The first and the last touched week are left for later.
    Raises FenceLost.
    """
    with database.begin() as session:
        touched = list(session.execute(_TOUCHED_WEEKS, {"connection": name})) if has_people(session, name) else []
        weeks = _held(session, name, [row.week for row in touched[1:-1] if row.people_only], more=6)
    return _make(database, name, run_id, weeks, of=PEOPLE, written=written)


def announce(database: Database, name: str, run_id: int, days: Sequence[date], *, of: Part) -> None:
    """Write down that these touched days, or weeks, are being made. Raises FenceLost."""
    with behind_fence(database, name, run_id) as (session, _):
        session.execute(of.announced, {"connection": name, "days": list(days)})


def make_announced(database: Database, name: str, run_id: int, days: Sequence[date], *, of: Part) -> None:
    """Work these days, or weeks, out, and store those that nothing has touched since they were announced. Raises FenceLost."""
    with database.begin() as session:
        of.find(session, name, days)
        hold(database, session, name, run_id)
        untouched = list(session.execute(of.untouched, {"connection": name, "days": list(days)}).scalars())
        if untouched:
            of.store(session, name, untouched, days)


def _make(database: Database, name: str, run_id: int, days: Sequence[tuple[date, int]], *, of: Part, written: int) -> int:
    """Make days, or weeks, given with their numbers of calls, unless these are more than `written` together; return how many."""
    held = sum(calls for _, calls in days)
    if held > written:
        return 0
    for chunk in chunks_of(days):
        announce(database, name, run_id, chunk, of=of)
        make_announced(database, name, run_id, chunk, of=of)
    return held


def _held(session: Connection, name: str, days: Sequence[date], *, more: int) -> list[tuple[date, int]]:
    """Return these days with the number of calls of each, and of so many days after it."""
    last = date.max.toordinal()
    met = {date.fromordinal(min(day.toordinal() + later, last)): day for day in days for later in range(more + 1)}
    counted = dict.fromkeys(days, 0)
    for row in session.execute(_HELD, {"connection": name, "days": sorted(met)}):
        counted[met[row.day]] += row.calls
    return list(counted.items())
