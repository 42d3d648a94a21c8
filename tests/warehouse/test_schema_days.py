"""Holds `calls.day` to the reporting time zone that the database keeps."""

from datetime import date

import pytest
from sqlalchemy import text

from etl.errors import UsageError
from etl.warehouse import schema
from etl.warehouse.database import Database

CALL = text(
    "INSERT INTO calls (connection, call_id, provider, occurred_at, status, is_test, raw, first_seen_at, last_changed_at, stream,"
    " cursor_at, observed_at, content_hash, last_run_id) VALUES ('pairing', 'c1', 'acme', CAST(:at AS timestamptz), 'completed',"
    " false, '{}', now(), now(), 'calls', now(), now(), '', 1) RETURNING day"
)


def day_of(database: Database, at: str) -> date:
    with database.begin() as connection:
        day: date = connection.execute(CALL, {"at": at}).scalar_one()
    return day


def test_days_end_at_midnight_utc_at_first(database: Database) -> None:
    """A new warehouse reports in UTC."""
    assert schema.reporting_timezone(database) == "UTC"
    assert day_of(database, "2026-03-28 23:30:00+00") == date(2026, 3, 28)


@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("Europe/Berlin", "2026-03-28 23:30:00+00", date(2026, 3, 29)),
        ("Europe/Berlin", "2026-07-01 22:00:00+00", date(2026, 7, 2)),  # summer: midnight comes an hour earlier
        ("America/Los_Angeles", "2026-03-29 06:59:59+00", date(2026, 3, 28)),
        ("Pacific/Kiritimati", "2026-03-28 10:00:00+00", date(2026, 3, 29)),
        ("Etc/GMT+12", "2026-03-29 11:00:00+00", date(2026, 3, 28)),
    ],
)
def test_days_end_at_midnight_of_the_zone_that_was_set(database: Database, zone: str, at: str, day: date) -> None:
    """The server computes the day of a row that is written after."""
    schema.set_reporting_timezone(database, zone)
    assert schema.reporting_timezone(database) == zone
    assert day_of(database, at) == day


def test_a_session_that_wrote_before_follows_the_change(database: Database) -> None:
    """No plan of an open session keeps the old zone."""
    with database.autocommit() as connection:
        for _ in range(10):  # more often than psycopg needs to prepare the statement
            assert connection.execute(CALL, {"at": "2026-03-28 23:30:00+00"}).scalar_one() == date(2026, 3, 28)
            connection.execute(text("DELETE FROM calls"))
        schema.set_reporting_timezone(database, "Europe/Berlin")
        assert connection.execute(CALL, {"at": "2026-03-28 23:30:00+00"}).scalar_one() == date(2026, 3, 29)


def test_the_zone_stays_once_calls_are_held(database: Database) -> None:
    """Days already stored would disagree, so the change is refused; the zone it has may be set again."""
    day_of(database, "2026-03-28 23:30:00+00")
    schema.set_reporting_timezone(database, "UTC")
    with pytest.raises(UsageError) as caught:
        schema.set_reporting_timezone(database, "Europe/Berlin")
    assert "days are those of UTC, not of Europe/Berlin" in caught.value.happened
    assert schema.reporting_timezone(database) == "UTC"


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "UTC'; DROP TABLE calls; --", "berlin", "CEST", "\0"])
def test_an_unknown_zone_is_refused(database: Database, zone: str) -> None:
    """Whatever is written there, the database is not changed."""
    with pytest.raises(UsageError):
        schema.set_reporting_timezone(database, zone)
    assert schema.reporting_timezone(database) == "UTC"


def test_a_migration_keeps_the_zone(database: Database) -> None:
    """Migrating a warehouse of the newest version leaves what was set."""
    schema.set_reporting_timezone(database, "Asia/Kolkata")
    schema.migrate(database)
    assert schema.reporting_timezone(database) == "Asia/Kolkata"
    assert schema.differences(database) == []
