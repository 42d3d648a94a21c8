"""Runs that ended are counted once, by every process alike, whenever it looks first, whatever is removed meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest

from etl.warehouse.database import Database
from etl.warehouse.reports.tally import BOUNDS, MARGIN, Counted, Ended, RunTally

GOOD, REFUSED = Ended("pairing", "succeeded", ""), Ended("pairing", "failed", "refused")


def run(database: Database, ended: Ended | None, *, took: int = 2, months_ago: int = 0, times: int = 1) -> None:
    """Let runs end, of three requests of which one was sent again, so many months ago; None: they go on."""
    insert = """
    INSERT INTO sync.runs (connection, trigger, status, error_code, requests, retries, started_at, finished_at)
    SELECT %(name)s, 'cli', %(status)s, nullif(%(code)s, ''), 3, 1, at.finished - %(took)s * interval '1 second',
           CASE WHEN %(status)s <> 'running' THEN at.finished END
    FROM generate_series(1, %(times)s),
         (SELECT date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - %(months)s * interval '1 month'
             + interval '1 second' AS finished) at
    """
    name, status, code = ended or Ended("pairing", "running", "")
    given = {"name": name, "status": status, "code": code, "took": took, "months": months_ago, "times": times}
    with database.begin() as session:
        session.exec_driver_sql(insert, given)


def execute(database: Database, statement: str) -> None:
    """Change the warehouse."""
    with database.begin() as session:
        session.exec_driver_sql(statement)


def counted(number: int, *, took: int = 2) -> Counted:
    """Return what so many runs come to."""
    within = [number if took <= bound else 0 for bound in BOUNDS]
    return Counted(runs=number, requests=3 * number, retries=number, seconds=float(took * number), within=within)


def test_every_run_counts_once_when_it_has_ended(database: Database) -> None:
    """One that goes on does not; looking again changes nothing; another process that looks later has the same."""
    tally = RunTally()
    assert tally.read(database) == {}
    run(database, GOOD)
    run(database, None)
    run(database, REFUSED, took=70)
    first = [tally.read(database) for _ in range(2)]
    execute(
        database, "UPDATE sync.runs SET status = 'succeeded', finished_at = started_at + interval '2 s' WHERE status = 'running'"
    )
    run(database, GOOD)

    assert first == [{GOOD: counted(1), REFUSED: counted(1, took=70)}] * 2
    assert tally.read(database) == RunTally().read(database) == {GOOD: counted(3), REFUSED: counted(1, took=70)}


def test_what_was_counted_stays_counted(database: Database) -> None:
    """Also where there are more than are looked at again, and where it is removed."""
    tally = RunTally()
    run(database, GOOD, times=MARGIN + 50)
    assert tally.read(database) == {GOOD: counted(MARGIN + 50)}
    execute(database, f"DELETE FROM sync.runs WHERE id IN (20, {MARGIN})")
    run(database, GOOD)

    assert tally.read(database) == {GOOD: counted(MARGIN + 51)}


def test_a_number_that_is_seen_late_counts(database: Database) -> None:
    """Of two runs that begin at once the later may be seen first."""
    tally = RunTally()
    run(database, GOOD, times=3)
    execute(database, "UPDATE sync.runs SET id = id + 10")
    assert tally.read(database) == {GOOD: counted(3)}
    run(database, GOOD)  # its number is below theirs

    assert tally.read(database) == {GOOD: counted(4)}


def test_counters_begin_anew_with_the_month(database: Database) -> None:
    """Of earlier runs their ways to end are known, with nothing, also by one that begins later."""
    tally = RunTally()
    run(database, REFUSED, months_ago=1)
    run(database, GOOD)
    before = tally.read(database)
    assert tally._month is not None
    tally._month -= timedelta(days=20)
    tally._sums[GOOD].runs = 700  # of last month

    assert before == tally.read(database) == RunTally().read(database) == {GOOD: counted(1), REFUSED: counted(0)}


@pytest.mark.parametrize("looked", [True, False], ids=["before", "after"])
def test_removing_old_runs_changes_no_counter(database: Database, *, looked: bool) -> None:
    """Whether they were counted before or never: they are not of this month."""
    tally = RunTally()
    run(database, GOOD, months_ago=14, times=5)
    run(database, GOOD, times=2)
    if looked:
        assert tally.read(database) == {GOOD: counted(2)}
    execute(database, "DELETE FROM sync.runs WHERE started_at < now() - interval '400 days'")

    assert tally.read(database) == {GOOD: counted(2)}
