"""Holds what is stored of many days at once to what the reading views compute of the same days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest

from etl.model import CallRow, Derived
from etl.system import SystemThreads
from etl.warehouse import schema
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from etl.warehouse.rollups.comparing import differing
from tests.warehouse.rollups.looking import assert_exact, rows
from tests.warehouse.rollups.test_batches import Life

HOUR = timedelta(hours=1)


def call(life: Life, number: int, at: datetime, lasts: timedelta, direction: str | None, *, is_test: bool = False) -> Derived:
    """Return a call that was answered at once."""
    row = CallRow(
        connection=life.account.connection, call_id=f"c{number}", provider="acme", occurred_at=at, status="completed",
        provider_status=None, direction=direction, from_address="+14155550100", to_address="+14155550101",
        agent_id=("a1", "a2", None)[number % 3], created_at=at, ringing_at=None, started_at=at, answered_at=at,
        ended_at=at + lasts, duration_seconds=lasts // timedelta(seconds=1), is_test=is_test, end_reason=None,
        error_reason=None, latency_ms=None, cost=None, currency=None, recording_url=None, transcript=None, attributes=None,
        raw="{}", detail=None, first_seen_at=at, last_changed_at=at, stream="calls", cursor_at=at, observed_at=at,
        detail_observed_at=None, detail_due_at=None, content_hash=b"", last_run_id=1, parent_call_id=None,
    )  # fmt: skip
    return Derived(row, (), ())


def many(life: Life, start: datetime, *, directions: Sequence[str | None], tests: bool) -> list[Derived]:
    """Return calls of a week, of a minute to a day and a half, many of which meet at the same instants."""
    found = []
    for number in range(160):
        at = start + timedelta(minutes=number * 61 - number % 4)
        lasts = timedelta(minutes=(1, 60, 30, 119, 2160)[number % 5], microseconds=number % 2)
        direction = directions[number % len(directions)]
        found.append(call(life, number, at, lasts, direction, is_test=tests and number % 7 == 0))
    return found


@pytest.mark.parametrize("directions", [(None,), ("inbound", "outbound"), ("outbound", None, "inbound")])
@pytest.mark.parametrize("tests", [False, True])
@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("Europe/Berlin", datetime(2026, 3, 26, 9, tzinfo=UTC)),
        ("Asia/Kolkata", datetime(2026, 5, 1, 18, tzinfo=UTC)),
        # Its clocks change by half an hour: a day of 23 and a half hours, and one of 24 and a half.
        ("Australia/Lord_Howe", datetime(2026, 4, 2, 9, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 10, 1, 9, tzinfo=UTC)),
    ],
)
def test_what_is_stored_is_what_the_views_compute(
    database: Database, zone: str, start: datetime, directions: tuple[str | None, ...], *, tests: bool
) -> None:
    """Every direction, tests among them or not, over days of any length; also where only some of the days are made again."""
    schema.set_reporting_timezone(database, zone)
    with Locks(database, SystemThreads()) as locks:
        life = Life(database, locks)
        calls = many(life, start, directions=directions, tests=tests)
        life.do("insert", calls)
        life.do("all", ())
        assert list(differing(database, life.account.connection)) == []
        life.do("update", [call(life, number, start + number * 5 * HOUR, 3 * HOUR, directions[0]) for number in (3, 30)])
        life.do("calls", ())
        life.do("all", ())
        assert list(differing(database, life.account.connection)) == []


def test_days_that_are_thousands_of_years_apart(database: Database) -> None:
    """Instants that no single number holds exactly."""
    with Locks(database, SystemThreads()) as locks:
        life = Life(database, locks)
        years = (1, 2, 1969, 2026, 2087, 2300, 9998)
        life.do(
            "insert",
            [call(life, year, datetime(year, 1, 1, 23, 59, 59, 999_999, tzinfo=UTC), HOUR, "inbound") for year in years],
        )
        life.do("calls", ())
        life.do("all", ())
        assert list(differing(database, life.account.connection)) == []
        assert_exact(database, life.where)


def test_nothing_is_left_behind_in_the_session(database: Database) -> None:
    """Days are made again by the same session, one chunk after the other."""
    with Locks(database, SystemThreads()) as locks:
        life = Life(database, locks)
        for number in range(3):
            life.do("insert", [call(life, number, datetime(2026, 1, 1 + number, tzinfo=UTC), HOUR, None)])
            life.warehouse.remake(life.account, run_id=life.run_id, stop=Event())
        assert rows(database, "SELECT relname FROM pg_class WHERE relname IN ('counted_calls', 'swept_hours')") == []
