"""Roll-ups that are made beside pages: what a page touches meanwhile is not stored, and all is exact at every instant."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from etl.errors import FenceLost
from etl.runs.terms import RunKind, Trigger
from etl.system import SystemThreads
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from etl.warehouse.rollups.beside import (
    CALLS,
    PEOPLE,
    announce,
    make_announced,
    make_calls_beside,
    make_people_beside,
)
from tests.warehouse.rollups.looking import assert_exact, rows, touched
from tests.warehouse.rollups.test_batches import Life
from tests.warehouse.rollups.test_in_passes import HOUR, call
from tests.warehouse.rollups.test_of_people import meeting

START = datetime(2026, 5, 4, 9, tzinfo=UTC)
DAYS = [date(2026, 5, day) for day in (4, 5, 6, 7, 8)]


def filled(database: Database, locks: Locks) -> Life:
    """Give a connection with calls on five days, two of which go on over midnight."""
    life = Life(database, locks)
    life.do("insert", [call(life, number, START + number * 6 * HOUR, 5 * HOUR, "inbound") for number in range(18)])
    assert touched(database, life.account.connection) == [(day, False) for day in DAYS]
    return life


def stored_days(database: Database, life: Life) -> list[date]:
    """Return the days of which something is stored."""
    return [row["day"] for row in rows(database, f"SELECT DISTINCT day FROM sync.calls_daily WHERE {life.where} ORDER BY 1")]


def test_days_between_the_first_and_the_last_are_made(database: Database) -> None:
    """At one of the two the run is writing."""
    with Locks(database, SystemThreads()) as locks:
        life = filled(database, locks)
        made = make_calls_beside(database, life.account.connection, life.run_id, written=100)
        assert made == 12
        assert touched(database, life.account.connection) == [(day, day in DAYS[1:-1]) for day in DAYS]
        assert stored_days(database, life) == DAYS[1:-1]
        assert_exact(database, life.where)


def test_nothing_is_made_where_the_days_hold_more_than_was_written(database: Database) -> None:
    """A run that walks over the same days again and again makes them once."""
    with Locks(database, SystemThreads()) as locks:
        life = filled(database, locks)
        assert make_calls_beside(database, life.account.connection, life.run_id, written=11) == 0
        assert stored_days(database, life) == []


@pytest.mark.parametrize(
    ("kind", "number", "day"),
    [("insert", 99, 5), ("update", 5, 5), ("rewrite", 5, 5), ("bury", 5, 5), ("erase", 5, 5)],
)
def test_a_day_that_a_page_touches_meanwhile_is_not_stored(database: Database, kind: str, number: int, day: int) -> None:
    """Whatever the page does; the others are, and readers see what calls say before and after."""
    with Locks(database, SystemThreads()) as locks:
        life = filled(database, locks)
        announce(database, life.account.connection, life.run_id, DAYS[1:], of=CALLS)
        at = datetime(2026, 5, day, 16, tzinfo=UTC)
        life.do(kind, [f"c{number}"] if kind in ("bury", "erase") else [call(life, number, at, HOUR, "outbound")])
        make_announced(database, life.account.connection, life.run_id, DAYS[1:], of=CALLS)
        assert touched(database, life.account.connection) == [(one, one in DAYS[2:]) for one in DAYS]
        assert stored_days(database, life) == DAYS[2:]
        assert_exact(database, life.where)
        life.do("all", ())
        assert_exact(database, life.where)


def test_a_call_over_midnight_takes_both_days_back(database: Database) -> None:
    """What goes on in a day is told by calls of the day before, too."""
    with Locks(database, SystemThreads()) as locks:
        life = filled(database, locks)
        announce(database, life.account.connection, life.run_id, DAYS[1:], of=CALLS)
        life.do("insert", [call(life, 99, datetime(2026, 5, 6, 22, tzinfo=UTC), 4 * HOUR, "inbound")])
        make_announced(database, life.account.connection, life.run_id, DAYS[1:], of=CALLS)
        assert stored_days(database, life) == [DAYS[1], DAYS[4]]
        assert_exact(database, life.where)


def test_what_was_announced_and_never_made_is_made_later(database: Database) -> None:
    """A killed run leaves its days as touched as they were; and what it announced is nobody else's."""
    with Locks(database, SystemThreads()) as locks:
        life = filled(database, locks)
        announce(database, life.account.connection, life.run_id, DAYS, of=CALLS)
        assert_exact(database, life.where)
        earlier = life.run_id
        life.run_id = life.warehouse.open_run(life.account, kind=RunKind.SYNC, trigger=Trigger.CLI)
        with pytest.raises(FenceLost):
            make_announced(database, life.account.connection, earlier, DAYS, of=CALLS)
        assert stored_days(database, life) == []
        life.do("insert", [call(life, 99, START + timedelta(days=1), HOUR, "outbound")])
        life.do("calls", ())
        assert_exact(database, life.where)
        life.do("all", ())
        assert_exact(database, life.where)


def test_all_days_touched_again_leave_nothing_behind_in_the_session(database: Database) -> None:
    """The session goes on to make others."""
    with Locks(database, SystemThreads()) as locks:
        life = filled(database, locks)
        announce(database, life.account.connection, life.run_id, DAYS, of=CALLS)
        life.do("rewrite", [call(life, number, START + number * 6 * HOUR, 5 * HOUR, "inbound") for number in range(18)])
        make_announced(database, life.account.connection, life.run_id, DAYS, of=CALLS)
        assert stored_days(database, life) == []
        life.do("all", ())
        assert stored_days(database, life) == DAYS
        assert_exact(database, life.where)


MONDAYS = [date(2026, 5, day) for day in (4, 11, 18, 25)]


def met(database: Database, locks: Locks) -> Life:
    """Give a connection with meetings in four weeks, of which those of calls are made but on the first and the last day."""
    life = Life(database, locks)
    life.do("insert", [meeting(life, number, START + number * 9 * HOUR) for number in range(64)])
    life.do("calls", ())
    assert [people_only for _, people_only in touched(database, life.account.connection)] == [False, *[True] * 23, False]
    return life


def stored_weeks(database: Database, life: Life) -> list[date]:
    """Return the weeks of which pairs are stored."""
    return [row["week"] for row in rows(database, f"SELECT DISTINCT week FROM sync.pair_weekly WHERE {life.where} ORDER BY 1")]


def test_weeks_between_the_first_and_the_last_are_made(database: Database) -> None:
    """Their days are touched no more; and again where that was more than was written, nothing is made."""
    with Locks(database, SystemThreads()) as locks:
        life = met(database, locks)
        assert make_people_beside(database, life.account.connection, life.run_id, written=1) == 0
        assert stored_weeks(database, life) == []
        assert make_people_beside(database, life.account.connection, life.run_id, written=100) == 37
        assert stored_weeks(database, life) == MONDAYS[1:3]
        left = [day for day, _ in touched(database, life.account.connection)]
        assert [day for day in left if MONDAYS[1] <= day < MONDAYS[3]] == []
        assert_exact(database, life.where)


@pytest.mark.parametrize("kind", ["insert", "update", "rewrite", "bury", "erase"])
def test_a_week_that_a_page_touches_meanwhile_is_not_stored(database: Database, kind: str) -> None:
    """Whatever the page does, on a day that was touched before or not; the other week is stored."""
    with Locks(database, SystemThreads()) as locks:
        life = met(database, locks)
        announce(database, life.account.connection, life.run_id, MONDAYS[1:3], of=PEOPLE)
        number = 99 if kind == "insert" else 25
        at = START + 25 * 9 * HOUR
        life.do(kind, [f"c{number}"] if kind in ("bury", "erase") else [meeting(life, number, at)])
        make_announced(database, life.account.connection, life.run_id, MONDAYS[1:3], of=PEOPLE)
        assert stored_weeks(database, life) == [MONDAYS[2]]
        assert_exact(database, life.where)
        life.do("all", ())
        assert_exact(database, life.where)


def test_a_day_that_is_touched_for_the_first_time_meanwhile_takes_its_week_back(database: Database) -> None:
    """It was not among those that said that they are being made."""
    with Locks(database, SystemThreads()) as locks:
        life = Life(database, locks)
        life.do("insert", [meeting(life, number, START + number * timedelta(days=7)) for number in range(1, 5)])
        life.do("calls", ())
        weeks = [date(2026, 5, 18), date(2026, 5, 25)]
        announce(database, life.account.connection, life.run_id, weeks, of=PEOPLE)
        life.do("insert", [meeting(life, 9, datetime(2026, 5, 21, 9, tzinfo=UTC))])
        make_announced(database, life.account.connection, life.run_id, weeks, of=PEOPLE)
        assert stored_weeks(database, life) == [weeks[1]]
        assert_exact(database, life.where)
