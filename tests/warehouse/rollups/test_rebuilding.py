"""Holds `etl rollups rebuild` to what it promises: everything anew, of every connection that holds rows, also in another zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from threading import Event

import pytest

from etl import providers
from etl.errors import AlreadyRunning, UsageError
from etl.model import CallRow, Derived, ParticipantRow
from etl.runs.account import Account
from etl.runs.terms import Outcome, RunKind, RunStatus, Trigger
from etl.system import SystemThreads
from etl.warehouse import schema
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from etl.warehouse.postgres import PostgresWarehouse
from etl.warehouse.rollups.rebuilding import extent, rebuild
from tests.warehouse.rollups.looking import assert_exact, rows, touched

SPRING = datetime(2026, 3, 28, 20, tzinfo=UTC)  # Berlin's clocks go forward in the night
AUTUMN = datetime(2026, 10, 24, 20, tzinfo=UTC)


def call(connection: str, number: int, at: datetime) -> Derived:
    """A call of twenty minutes with two people."""
    end = at + timedelta(minutes=20)
    row = CallRow(
        *(connection, f"c{number}", "tuple", at, "completed", None, "inbound", "+14155550100", "+14155550101", "a1"),
        *(None, None, at, at, end, 1200, False, None, None, None, Decimal("0.05"), "USD", None, None, None, "{}", None),
        *(at, at, "calls", at, at, None, None, b"", 1),
    )
    people = [ParticipantRow(connection, f"c{number}", name, f"{name}@example.com", at, end, 1200) for name in ("ada", "bea")]
    return Derived(row, tuple(people), ())


class Held:
    """Two connections that hold calls around both nights in which Berlin's clocks change, made up."""

    def __init__(self, database: Database, warehouse: PostgresWarehouse) -> None:
        self.database, self.warehouse = database, warehouse
        for name in ("one", "gone"):
            account = Account(connection=name, provider=providers.get("tuple"), lookback=timedelta(hours=1))
            run_id = warehouse.open_run(account, kind=RunKind.SYNC, trigger=Trigger.CLI)
            times = [start + timedelta(minutes=17 * place) for start in (SPRING, AUTUMN) for place in range(40)]
            with warehouse.page(account, run_id=run_id) as page:
                page.insert([call(name, number, at) for number, at in enumerate(times)])
            warehouse.remake(account, run_id=run_id, stop=Event())
            warehouse.close_run(run_id, outcome=Outcome(connection=name, status=RunStatus.SUCCEEDED))

    def rebuild(self, zone: str = "UTC") -> list[tuple[str, RunStatus]]:
        """Rebuild, and return how that ended."""
        found = extent(self.database, zone)
        outcomes = rebuild(self.database, self.warehouse, found=found, zone=zone, stop=Event())
        return [(one.connection, one.status) for one in outcomes]


@pytest.fixture
def held(database: Database) -> Iterator[Held]:
    """Give the warehouse."""
    with Locks(database, SystemThreads()) as locks:
        yield Held(database, PostgresWarehouse(database, locks))


ALL_DONE = [("gone", RunStatus.SUCCEEDED), ("one", RunStatus.SUCCEEDED)]


def test_what_somebody_spoilt_is_made_anew(held: Held) -> None:
    """Rows that are wrong, missing, or of days and months without calls; of a connection that is configured no more too."""
    with held.database.begin() as session:
        session.exec_driver_sql("UPDATE sync.calls_daily SET calls = 99")
        session.exec_driver_sql("DELETE FROM sync.person_daily")
        session.exec_driver_sql("INSERT INTO sync.lines_hourly VALUES ('gone', '2020-01-01', '2020-01-01Z', 7, 1)")
        session.exec_driver_sql("INSERT INTO sync.talk_time_monthly VALUES ('one', '2020-02-01', '', false, 1, 1)")
        session.exec_driver_sql("INSERT INTO sync.pair_weekly VALUES ('one', '2020-01-06', 'a', 'b', 1, 1, '', '')")
    assert held.rebuild() == ALL_DONE
    assert len(assert_exact(held.database).calls) == 160
    assert touched(held.database, "one") == touched(held.database, "gone") == []
    kinds = rows(held.database, "SELECT kind, status, count(*) AS runs FROM sync.runs WHERE kind = 'rebuild' GROUP BY 1, 2")
    assert kinds == [{"kind": "rebuild", "status": "succeeded", "runs": 2}]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata"])
def test_a_new_zone_moves_days_and_roll_ups_at_once(held: Held, zone: str) -> None:
    """Rows whose day differs are written again, and their `changed_at` moves; the others stay as they are."""
    before = {row["call_key"]: row for row in rows(held.database, KEYED)}
    moved = extent(held.database, zone).moved
    assert held.rebuild(zone) == ALL_DONE
    world = assert_exact(held.database)
    assert (str(world.zone), schema.reporting_timezone(held.database)) == (zone, zone)
    assert all(one["day"] == world.day(one["occurred_at"]) for one in world.calls)
    after = {row["call_key"]: row for row in rows(held.database, KEYED)}
    changed = {key for key, row in after.items() if row["changed_at"] != before[key]["changed_at"]}
    assert changed == {key for key, row in after.items() if row["day"] != before[key]["day"]}
    assert len(changed) == moved > 0


KEYED = "SELECT connection || call_id AS call_key, day, changed_at FROM calls"


def test_a_connection_that_is_busy_keeps_all_as_they_are(held: Held, database_url: str) -> None:
    """It is named, and nothing is changed, in the other one neither; the old zone's roll-ups stay exact."""
    before = rows(held.database, "SELECT connection, call_id, xmin::text FROM calls ORDER BY 1, 2")
    with Database(database_url) as other, Locks(other, SystemThreads()) as locks:
        assert locks.try_acquire("one")
        with pytest.raises(AlreadyRunning) as caught:
            held.rebuild("Europe/Berlin")
    assert (caught.value.connection, caught.value.exit_code) == ("one", 3)
    assert schema.reporting_timezone(held.database) == "UTC"
    assert rows(held.database, "SELECT connection, call_id, xmin::text FROM calls ORDER BY 1, 2") == before
    assert_exact(held.database)
    assert held.rebuild("Europe/Berlin") == ALL_DONE  # the locks that it had taken were given back


def test_in_the_same_zone_a_busy_connection_holds_up_no_other(held: Held, database_url: str) -> None:
    """It is said to be busy."""
    with Database(database_url) as other, Locks(other, SystemThreads()) as locks:
        assert locks.try_acquire("one")
        outcomes = rebuild(held.database, held.warehouse, found=extent(held.database, "UTC"), zone="UTC", stop=Event())
    assert [one.error and one.error.code for one in outcomes] == [None, "already_running"]


def test_a_zone_that_the_server_does_not_know_changes_nothing(held: Held) -> None:
    """It is refused before anything is looked at."""
    with pytest.raises(UsageError):
        held.rebuild("Mars/Olympus")
    assert schema.reporting_timezone(held.database) == "UTC"


def test_readers_see_the_old_days_until_all_are_new(held: Held, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another session, in the middle of the change, finds all of the old; `day` and roll-ups fit each other."""
    seen: list[tuple[object, ...]] = []

    def look(session: object, name: str) -> None:
        with Database(database_url) as other:
            assert_exact(other)
            seen.append(
                (name, schema.reporting_timezone(other), rows(other, "SELECT DISTINCT day FROM calls ORDER BY 1")[0]["day"])
            )
        made(session, name)

    from etl.warehouse.rollups import rebuilding

    made = rebuilding._make_all
    monkeypatch.setattr(rebuilding, "_make_all", look)
    held.rebuild("Pacific/Kiritimati")
    assert seen == [("gone", "UTC", date(2026, 3, 28)), ("one", "UTC", date(2026, 3, 28))]
    assert rows(held.database, "SELECT min(day) AS day FROM calls") == [{"day": date(2026, 3, 29)}]
