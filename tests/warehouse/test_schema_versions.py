"""Holds `call_versions` and `deleted_calls` to what they say: what a call was at any instant, and which calls are gone."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import text

from etl.errors import WarehouseError
from etl.warehouse.database import Database

START = datetime(2026, 5, 1, 10, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def hold(database: Database, call_id: str, status: str, *, since: datetime, connection: str = "voice") -> None:
    """Put a call into `calls` as it stands since an instant."""
    statement = """
    INSERT INTO calls (connection, call_id, provider, occurred_at, status, provider_status, is_test, raw, detail, first_seen_at,
                       last_changed_at, stream, cursor_at, observed_at, content_hash, last_run_id)
    VALUES (:connection, :call_id, 'acme', :at, :status, 'word', false, '{"n": 1}', '{"n": 2}', :at, :since, 'calls', :at, :since,
            '', 1)
    """
    values = {"connection": connection, "call_id": call_id, "status": status, "at": START, "since": since}
    with database.begin() as session:
        session.execute(text(statement), values)


def keep(
    database: Database,
    call_id: str,
    version: int,
    status: str,
    *,
    start: datetime,
    end: datetime,
    deleted: bool = False,
) -> None:
    """Put a version of a call into the history."""
    statement = """
    INSERT INTO call_history (connection, call_id, version, status, provider_status, raw, detail, valid_from, valid_to, deleted,
                              stream, cursor_at, observed_at, content_hash, first_seen_at)
    VALUES ('voice', :call_id, :version, :status, 'word', '{"n": 0}', NULL, :start, :end, :deleted, 'calls', :at, :start, '', :at)
    """
    values = {
        "call_id": call_id,
        "version": version,
        "status": status,
        "start": start,
        "end": end,
        "deleted": deleted,
        "at": START,
    }
    with database.begin() as session:
        session.execute(text(statement), values)


def rows(database: Database, query: str, **values: object) -> list[tuple[object, ...]]:
    with database.begin() as session:
        return [tuple(row) for row in session.execute(text(query), values)]


def test_versions_are_history_and_the_present(database: Database) -> None:
    """Each superseded version stands with its stretch of time, the present one after the highest, without an end."""
    keep(database, "a", 1, "queued", start=at(0), end=at(1))
    keep(database, "a", 2, "ringing", start=at(1), end=at(2))
    hold(database, "a", "completed", since=at(2))
    hold(database, "b", "completed", since=at(0))
    old, new, asked = {"n": 0}, {"n": 1}, {"n": 2}
    columns = "connection, call_id, version, status, provider_status, raw, detail, valid_from, valid_to, deleted"
    assert rows(
        database,
        f"SELECT {columns} FROM call_versions ORDER BY call_id, version",
    ) == [
        ("voice", "a", 1, "queued", "word", old, None, at(0), at(1), False),
        ("voice", "a", 2, "ringing", "word", old, None, at(1), at(2), False),
        ("voice", "a", 3, "completed", "word", new, asked, at(2), None, False),
        ("voice", "b", 1, "completed", "word", new, asked, at(0), None, False),
    ]


@pytest.mark.parametrize(
    ("minute", "status"),
    [
        (-1, None),
        (0, "queued"),
        (0.5, "queued"),
        (1, "ringing"),
        (1.9, "ringing"),
        (2, None),
        (4, None),
        (5, "completed"),
        (99, "completed"),
    ],
)
def test_what_a_call_was_at_an_instant(database: Database, minute: float, status: str | None) -> None:
    """At every instant one version holds, or none: before the call was seen, and while it was gone."""
    keep(database, "a", 1, "queued", start=at(0), end=at(1))
    keep(database, "a", 2, "ringing", start=at(1), end=at(2), deleted=True)
    hold(database, "a", "completed", since=at(5))
    query = "SELECT status FROM call_versions WHERE valid_from <= :at AND (valid_to > :at OR valid_to IS NULL)"
    assert rows(database, query, at=at(minute)) == ([] if status is None else [(status,)])


def test_deleted_calls_are_those_that_are_gone_now(database: Database) -> None:
    """A call that came back is none, one that vanished again is one, as it last stood; a changed call never was one."""
    with database.begin() as session:
        session.execute(text("INSERT INTO sync.connections (connection, provider) VALUES ('voice', 'acme')"))
    keep(database, "changed", 1, "queued", start=at(0), end=at(1))
    hold(database, "changed", "completed", since=at(1))
    keep(database, "gone", 1, "queued", start=at(0), end=at(1))
    keep(database, "gone", 2, "completed", start=at(1), end=at(2), deleted=True)
    keep(database, "back", 1, "completed", start=at(0), end=at(1), deleted=True)
    hold(database, "back", "completed", since=at(3))
    keep(database, "again", 1, "queued", start=at(0), end=at(1), deleted=True)
    keep(database, "again", 2, "failed", start=at(3), end=at(4), deleted=True)
    hold(database, "gone", "completed", since=at(1), connection="another")
    columns = "connection, call_id, provider, status, raw, detail, first_seen_at, deleted_at"
    assert rows(database, f"SELECT {columns} FROM deleted_calls ORDER BY call_id") == [
        ("voice", "again", "acme", "failed", {"n": 0}, None, START, at(4)),
        ("voice", "gone", "acme", "completed", {"n": 0}, None, START, at(2)),
    ]


def test_a_deleted_call_outlives_its_connection(database: Database) -> None:
    """Where the connection is known no more, the call is still shown, its provider unknown."""
    keep(database, "gone", 1, "completed", start=at(0), end=at(1), deleted=True)
    assert rows(database, "SELECT call_id, provider FROM deleted_calls") == [("gone", None)]


@pytest.mark.parametrize("minutes", [0, -1])
def test_a_version_lasts(database: Database, minutes: float) -> None:
    """The database refuses a version that ends when it begins, or before."""
    with pytest.raises(WarehouseError) as caught:
        keep(database, "a", 1, "queued", start=at(0), end=at(minutes))
    assert isinstance(caught.value.__cause__, psycopg.errors.CheckViolation)
    assert caught.value.__cause__.diag.constraint_name == "call_history_validity_check"
