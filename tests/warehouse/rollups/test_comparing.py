"""Holds the comparison of audits to what it must find: stored roll-ups that are not what calls say, and no others."""

from __future__ import annotations

from datetime import date

import pytest

from etl.warehouse.rollups.comparing import differing
from tests.warehouse.rollups.looking import assert_exact, rows
from tests.warehouse.rollups.test_rebuilding import Held, held

__all__ = ["held"]


def found(held: Held, name: str = "one") -> list[tuple[str, date]]:
    """Compare a connection, and return what differs."""
    return [tuple(one) for one in differing(held.database, name)]  # type: ignore[misc]


def spoil(held: Held, statement: str) -> None:
    """Change the warehouse behind the program's back."""
    with held.database.begin() as session:
        session.exec_driver_sql(statement)


def test_what_was_made_is_what_calls_say(held: Held) -> None:
    """Nothing is found, and looking leaves no day touched."""
    assert found(held) == []
    assert rows(held.database, "SELECT count(*) AS days FROM sync.touched_days") == [{"days": 0}]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE sync.calls_daily SET calls = 1 WHERE day = '2026-03-29'", [("calls_daily", date(2026, 3, 29))]),
        ("DELETE FROM sync.agent_daily WHERE day = '2026-03-29'", [("agent_daily", date(2026, 3, 29))]),
        ("UPDATE sync.calls_hourly SET peak_concurrent = 9 WHERE day = '2026-10-24'", [("calls_hourly", date(2026, 10, 24))]),
        ("INSERT INTO sync.lines_hourly VALUES ('one', '2020-01-01', '2020-01-01Z', 1, 1)", [("lines_hourly", date(2020, 1, 1))]),
        ("UPDATE sync.talk_time_daily SET bucket = 3 WHERE day = '2026-10-25'", [("talk_time_daily", date(2026, 10, 25))]),
        ("DELETE FROM sync.talk_time_monthly WHERE month = '2026-10-01'", [("talk_time_monthly", date(2026, 10, 1))]),
        ("UPDATE sync.person_daily SET solo_seconds = 1 WHERE day = '2026-03-28'", [("person_daily", date(2026, 3, 28))]),
        ("UPDATE sync.pair_weekly SET calls = 1 WHERE week = '2026-03-23'", [("pair_weekly", date(2026, 3, 23))]),
        ("UPDATE sync.calls_daily SET calls = 1 WHERE connection = 'gone'", []),
    ],
    ids=lambda value: value.split(" ")[2 if value[:6] in ("DELETE", "INSERT") else 1] if isinstance(value, str) else "",
)
def test_every_stored_roll_up_that_differs_is_named_with_its_day(
    held: Held, statement: str, expected: list[tuple[str, date]]
) -> None:
    """Rows that are wrong, missing, or of days without a call; of this connection alone."""
    spoil(held, statement)
    assert found(held) == expected


def test_days_that_are_touched_are_computed_when_read_and_so_are_never_wrong(held: Held) -> None:
    """What is stored of them is not shown."""
    spoil(held, "UPDATE sync.calls_daily SET calls = 77 WHERE day = '2026-03-28'")
    spoil(held, "INSERT INTO sync.touched_days VALUES ('one', '2026-03-28'), ('gone', '2026-03-28')")
    assert found(held) == []
    assert_exact(held.database)
