"""
Knows how fast the warehouse is read: every query of the dashboards and of docs, at a tenth of the calls and at all of them.

Each size is made once (`synthetic.py`) and kept in `--data`, since ten million take half an hour. What is measured is a query's
own processor time in the server (`timing.py`): with nothing touched, and with the newest day of every connection touched, whose
roll-ups are then computed when they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import psycopg

from benchmarks import synthetic
from benchmarks.bench import Found, Sample
from benchmarks.postgres import Lane, Postgres, postgres
from benchmarks.questions import Question, charts, documented
from benchmarks.serving import ROOT
from benchmarks.timing import Asking
from etl.system import system_effects
from etl.warehouse import schema
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from etl.warehouse.postgres import PostgresWarehouse
from etl.warehouse.rollups.rebuilding import extent, rebuild

Say = Callable[[str], object]

DATABASE = "reading"
SLOW_MS = 50
"""Milliseconds from which on a query's plan is kept."""

CARRIED_OUT_MS = 2000
"""Milliseconds up to which the plan is the one that was carried out; beyond, the one that would be."""

_TOUCH = "INSERT INTO sync.touched_days (connection, day) SELECT connection, max(day) FROM sync.calls_daily GROUP BY connection"
_UNTOUCH = "DELETE FROM sync.touched_days"
_VIEWS = ("calls_daily", "agent_daily", "calls_hourly", "lines_hourly", "talk_time_daily", "person_daily", "pair_weekly")


def measure(found: Found, *, data: Path, calls: int, say: Say) -> None:
    """Add a sample for each query, state and size: `cpu_ms` (the median) and `cpu_ms_least` of five times, warm."""
    for size in (calls // 10, calls):
        say(f"reading: {size:,} calls")
        with _filled(data, size, found, say) as lane:
            for touched in (False, True):
                if touched:
                    lane.execute(_TOUCH)
                try:
                    _ask_all(lane, found, calls=size, touched=touched, say=say)
                    if touched:
                        _compute_days(lane, found, calls=size)
                finally:
                    lane.execute(_UNTOUCH)


@contextmanager
def _filled(data: Path, calls: int, found: Found, say: Say) -> Iterator[Lane]:
    """Give a migrated warehouse with so many calls whose roll-ups are made, from `data` if one of today is there."""
    folder = data / f"reading-{calls}"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    with postgres(folder) as server:
        lane = server.lane(DATABASE)
        if not server.has(DATABASE):
            server.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0")
        with Database(lane.url) as database:
            schema.migrate(database)
            if not lane.number("SELECT count(*) FROM sync.calls_daily"):
                _make(lane, server, database, found, calls=calls, say=say)
        synthetic.dimensions(lane)
        yield lane


def _make(lane: Lane, server: Postgres, database: Database, found: Found, *, calls: int, say: Say) -> None:
    begun = server.cpu()
    synthetic.fill(lane, calls=calls, say=say)
    filled = server.cpu()
    stop = Event()
    zone = schema.reporting_timezone(database)
    with Locks(database, system_effects(stop).threads) as locks:
        rebuild(database, PostgresWarehouse(database, locks), found=extent(database, zone), zone=zone, stop=stop)
    rebuilt = server.cpu()
    lane.execute("VACUUM ANALYZE")
    found["reading: made"].append({"calls": calls, "fill_cpu": filled - begun, "rebuild_cpu": rebuilt - filled})


def _ask_all(lane: Lane, found: Found, *, calls: int, touched: bool, say: Say) -> None:
    today, number = datetime.now(UTC).date(), synthetic.caller(lane)
    with Asking(lane.conninfo) as asking:
        # What docs ask may read calls themselves, for a minute; touched days are no matter to it.
        asked = [*charts(today), *(() if touched else documented(ROOT / "docs"))]
        for question in asked:
            for schema_read, sql in _forms(question, number):
                found["reading"].append(
                    {"calls": calls, "touched": touched, **_answered(asking, question, sql, reads=schema_read, say=say)}
                )
        for question in (question for question in asked if question.indexes):
            for statement in question.indexes:
                lane.execute(statement)
                lane.execute(f"ANALYZE {statement.split(' ON ')[1].split()[0]}")
            sql = question.of_made_up(number)
            sample = _answered(asking, question, sql, reads="public", say=say)
            found["reading: with its index"].append({"calls": calls, **sample})
            for statement in question.without_indexes():
                lane.execute(statement)


def _answered(asking: Asking, question: Question, sql: str, *, reads: str, say: Say) -> Sample:
    """Return what an answer costs, nothing where there is none, and the plan of one that is slow."""
    sample: Sample = {"page": question.page, "title": question.title, "reads": reads, "pairs": question.is_of_pairs}
    try:
        cost = asking.cost(sql)
    except psycopg.Error as why:
        say(f"  refused: {question.page}: {question.title} ({reads}): {why}")
        return sample
    if cost is None:
        say(f"  not answered in two minutes: {question.page}: {question.title}")
        return sample
    sample |= {"cpu_ms": round(cost.middle, 2), "cpu_ms_least": round(cost.least, 2), "rows": cost.rows}
    if reads == ("masked" if question.is_chart else "public") and cost.middle > SLOW_MS:
        sample["plan"] = asking.plan(sql, carried_out=cost.middle < CARRIED_OUT_MS).splitlines()
    return sample


def _forms(question: Question, number: str) -> list[tuple[str, str]]:
    if question.is_chart:
        return [("masked", question.sql), ("public", question.unmasked())]
    return [("public", question.of_made_up(number))]


def _compute_days(lane: Lane, found: Found, *, calls: int) -> None:
    """Measure what computing the newest day of each view costs, in the largest connection that has rows there."""
    with Asking(lane.conninfo) as asking:
        for view in _VIEWS:
            unit = "week" if view == "pair_weekly" else "day"
            newest_of = "date_trunc('week', max(day)::timestamp)::date" if unit == "week" else "max(day)"
            people = view in ("person_daily", "pair_weekly")
            name = next(one.name for one in synthetic.CONNECTIONS if bool(one.people) == people)
            newest = lane.ask(f"SELECT {newest_of} FROM sync.calls_daily WHERE connection = '{name}'")[0][0]  # noqa: S608 - ours
            cost = asking.cost(f"SELECT * FROM {view} WHERE connection = '{name}' AND {unit} = '{newest}'")  # noqa: S608 - ours
            if cost is not None:
                found["reading: a day computed"].append({"calls": calls, "view": view, "cpu_ms": round(cost.middle, 2)})
