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

from sqlalchemy import Date, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from etl.warehouse.database import Database
from etl.warehouse.loading.transaction import behind_fence, hold
from etl.warehouse.rollups.remaking import TOUCHED, chunks_of, find_calls, store_calls

_DAYS_OF = bindparam("days", type_=ARRAY(Date))
_ARE_BEING_MADE = text(
    "UPDATE sync.touched_days SET being_made = true WHERE connection = :connection AND day = ANY(:days) AND NOT people_only"
).bindparams(_DAYS_OF)
_STILL_ARE = text(
    "SELECT day FROM sync.touched_days WHERE connection = :connection AND day = ANY(:days) AND being_made ORDER BY day"
).bindparams(_DAYS_OF)


def make_calls_beside(database: Database, name: str, run_id: int, *, written: int) -> int:
    """
    Make those of calls again in the middle of a run, and return of how many calls; of none if it were more than `written`.

    The first and the last touched day are left for later: at one of them the run goes on writing. Raises FenceLost.
    """
    with database.begin() as session:
        days = [(row.day, row.calls) for row in session.execute(TOUCHED, {"connection": name})][1:-1]
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
