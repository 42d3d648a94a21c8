"""Holds `data_freshness` to what it counts of calls: the open ones, and those whose details are due, or cannot be had."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, select, text

from etl.warehouse import schema, tables
from etl.warehouse.database import Database
from etl.warehouse.views import data_freshness

NOW = datetime(2026, 5, 1, 10, tzinfo=UTC)


def hold(database: Database, call_id: str, *, connection: str = "voice", status: str = "completed", **given: object) -> None:
    """Put a call into `calls`."""
    row = {
        "connection": connection,
        "call_id": call_id,
        "provider": "acme",
        "occurred_at": NOW,
        "status": status,
        "is_test": False,
        "raw": {},
        "first_seen_at": NOW,
        "last_changed_at": NOW,
        "stream": "calls",
        "cursor_at": NOW,
        "observed_at": NOW,
        "content_hash": b"",
        "last_run_id": 1,
    }
    with database.begin() as session:
        session.execute(insert(tables.calls).values({**row, **given}))


def awaited(database: Database, connection: str) -> tuple[int, int, int]:
    """Return how many calls are open, have a detail that is due, and one that cannot be had."""
    view = data_freshness.c
    statement = select(view.open_calls, view.details_due, view.details_failing).where(view.connection == connection)
    with database.begin() as session:
        return tuple(session.execute(statement).one())  # type: ignore[return-value]


@pytest.fixture
def known(database: Database) -> Database:
    """Give a warehouse that knows two connections."""
    with database.begin() as session:
        session.execute(insert(tables.connections), [{"connection": name, "provider": "acme"} for name in ("voice", "other")])
    return database


def test_each_connection_counts_its_own(known: Database) -> None:
    """A detail that is asked for tomorrow is due, whether it failed or not; an unknown status is open."""
    for number, status in enumerate(("queued", "ringing", "in_progress", "unknown", "completed", "failed")):
        hold(known, f"c{number}", status=status)
    hold(known, "due", detail_due_at=NOW)
    hold(known, "failing", detail_due_at=NOW.replace(year=2100), detail_failures=3)
    hold(known, "failing-open", status="ringing", detail_due_at=NOW, detail_failures=1)
    hold(known, "theirs", connection="other", detail_due_at=NOW, detail_failures=1)

    assert (awaited(known, "voice"), awaited(known, "other")) == ((5, 3, 2), (0, 1, 1))


def test_what_is_counted_is_found_by_indexes_of_its_own(known: Database) -> None:
    """However many calls are held, the view reads those that it counts."""
    with known.begin() as session:
        session.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = "\n".join(session.exec_driver_sql("EXPLAIN SELECT * FROM data_freshness").scalars())

    assert {name: name in plan for name in ("calls_open", "calls_detail_due", "calls_detail_failing", "calls_pkey")} == {
        "calls_open": True,
        "calls_detail_due": True,
        "calls_detail_failing": True,
        "calls_pkey": False,
    }


def test_calls_of_an_earlier_version_have_not_failed(known: Database) -> None:
    """Undone and done again, the migrations leave the calls, and the comments of the view, as they were."""
    commented = text(
        "SELECT attname, col_description(attrelid, attnum) FROM pg_attribute "
        "WHERE attrelid = 'data_freshness'::regclass AND attnum > 0 ORDER BY attnum"
    )
    hold(known, "c1", detail_due_at=NOW, detail_failures=3)
    with known.begin() as session:
        before = session.execute(commented).all()
    schema.downgrade(known, "0003")
    with known.begin() as session:
        found = session.execute(commented).all()
        assert [column for column, _ in found] == [*(name for name, _ in before[:5]), "lag", *(name for name, _ in before[6:8])]
        assert [row for row in found if row[0] != "lag"] == [row for row in before[:8] if row[0] != "lag_seconds"]

    schema.migrate(known)

    with known.begin() as session:
        assert session.execute(commented).all() == before
    assert awaited(known, "voice") == (0, 1, 0)
