"""What a query leaves away, and where its reader sits, changes nothing of what it shows of touched days."""

from datetime import UTC, datetime, timedelta

import pytest

from etl import providers
from etl.model import CallRow, Derived, ParticipantRow
from etl.runs.account import Account
from etl.runs.terms import RunKind, Trigger
from etl.system import SystemThreads
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from etl.warehouse.postgres import PostgresWarehouse
from tests.warehouse.rollups.looking import ordered, rows

NOON = datetime(2026, 3, 25, 12, tzinfo=UTC)  # the clocks of Berlin change four days later
SCHEMAS = ("public", "masked")
LASTING = (timedelta(minutes=5), timedelta(minutes=90), timedelta(hours=14), timedelta(hours=30), timedelta(days=10))


def call(number: int, lasts: timedelta) -> Derived:
    """A call of that length, inbound and outbound by turns, one of three a test, in which two people were."""
    at = NOON + timedelta(minutes=7 * number)
    row = CallRow(
        *("voice", f"c{number}", "acme", at, "completed", "completed", ("inbound", "outbound")[number % 2], None, None, None),
        *(at, None, at, at, at + lasts, None, number % 3 == 2, None, None, None, None, None, None, None, None, "{}", None),
        *(at, at, "calls", at, at, None, None, b"", 1),
    )
    people = ((f"p{who}", f"{who}@example.com", at, at + lasts, None) for who in ("zoe", "kim"))
    return Derived(row, tuple(ParticipantRow("voice", f"c{number}", *person) for person in people), ())


@pytest.fixture
def touched(database: Database) -> Database:
    """Give a warehouse with calls of every length, whose days are all touched."""
    account = Account(connection="voice", provider=providers.get("krosai"), lookback=timedelta(hours=1))
    with Locks(database, SystemThreads()) as locks:
        warehouse = PostgresWarehouse(database, locks)
        run_id = warehouse.open_run(account, kind=RunKind.SYNC, trigger=Trigger.CLI)
        with warehouse.page(account, run_id=run_id) as page:
            page.insert([call(number, lasts) for number, lasts in enumerate(LASTING)])
    return database


def test_hours_are_the_same_whether_peaks_are_asked_for_or_not(touched: Database) -> None:
    """An hour into which a call only reaches has a row with no calls."""
    whole = rows(touched, "SELECT * FROM calls_hourly")
    some = ("connection", "hour", "direction", "is_test", "day", "calls")

    found = rows(touched, f"SELECT {', '.join(some)} FROM calls_hourly")

    assert ordered(found) == ordered([{name: row[name] for name in some} for row in whole])
    assert sum(row["calls"] for row in found) == len(LASTING)
    assert sum(row["calls"] == 0 for row in found) > 168


@pytest.mark.parametrize("view", ["calls_hourly", "lines_hourly", "person_daily", "pair_weekly"])
def test_what_is_shown_does_not_depend_on_the_readers_time_zone(touched: Database, view: str) -> None:
    """A call occupies a line for 168 hours at most, also where these are 6 days and 23 hours by the reader's clocks."""
    found = []
    for zone in ("UTC", "Europe/Berlin", "Asia/Kathmandu"):
        with touched.begin() as session:
            session.exec_driver_sql(f"SET LOCAL TimeZone TO '{zone}'")
            found.append(ordered([dict(row) for row in session.exec_driver_sql(f"SELECT * FROM {view}").mappings()]))

    assert found[0] == found[1] == found[2] != []


def test_the_schema_masked_shows_the_same_numbers(touched: Database) -> None:
    """Both read one view."""
    found = [rows(touched, f"SELECT connection, week, calls, seconds_together FROM {place}.pair_weekly") for place in SCHEMAS]

    assert found[0] == found[1] != []
