"""What a replay or a repair writes in place: only what differs, no version of it, and nothing of another connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from etl import providers
from etl.model import CallRow, Context, Derived
from etl.provider import Provider
from etl.records.derive import derive
from etl.records.identify import identify
from etl.records.rederive import rederive
from etl.records.rows import Rewrite
from etl.runs.account import Account
from etl.runs.terms import RunKind, Trigger
from etl.system import SystemThreads
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from etl.warehouse.replay import PostgresReplay

SALPRE = providers.get("salpre")
SEEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
WRITES = "SELECT connection, call_id, xmin::text, ctid::text FROM {} ORDER BY 1, 2"


def account(name: str, provider: Provider = SALPRE) -> Account:
    """Return a connection."""
    return Account(connection=name, provider=provider, lookback=timedelta(hours=2), currency="EUR")


def entry(name: str, number: int, *, detail_of: int | None, run_id: int) -> Derived:
    """Return a call, with the detail of a call (usually its own)."""

    def record(one: int, **others: Any) -> Any:
        value = {"call_id": f"c{one}", "started_at": "2026-11-21T10:00:00Z", "status": "completed", "duration_sec": one, **others}
        return identify(SALPRE, json.dumps(value).encode(), cleaned=False)

    return derive(
        SALPRE,
        Context(connection=name, stream="calls", currency="EUR", run_id=run_id),
        record(number),
        observed_at=SEEN,
        detail=None if detail_of is None else record(detail_of, variables={"returning": True}, transcript="Hello"),
        detail_observed_at=None if detail_of is None else SEEN,
    )


class Held:
    """A warehouse in which two connections hold calls of the same ids."""

    def __init__(self, warehouse: PostgresReplay, database: Database) -> None:
        """Open the runs, and load the calls: the last one's detail is another call's."""
        self.warehouse = warehouse
        self.database = database
        self.runs = {
            name: warehouse.open_run(account(name), kind=RunKind.REPLAY, trigger=Trigger.CLI) for name in ("here", "there")
        }
        for name, run_id in self.runs.items():
            with warehouse.page(account(name), run_id=run_id) as page:
                details = {1: 1, 2: None, 3: 1}
                page.insert([entry(name, number, detail_of=of, run_id=run_id) for number, of in details.items()])

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what a statement finds."""
        with self.database.begin() as session:
            return [tuple(row) for row in session.exec_driver_sql(statement)]

    def spoil(self, statement: str) -> None:
        """Change rows behind the program's back."""
        with self.database.begin() as session:
            session.exec_driver_sql(statement)

    def replay(self) -> dict[str, tuple[str, ...]]:
        """Derive what is held `here` again, write what differs, and return what did."""
        here = account("here")
        with self.warehouse.page(here, run_id=self.runs["here"]) as page:
            found = rederive(SALPRE, page.held_after("", limit=100), currency="EUR", run_id=self.runs["here"])
            assert page.rewrite([rewrite for _, rewrite in found.differing]) == frozenset()
        return {row.call_id: (*rewrite.columns, *rewrite.children) for row, rewrite in found.differing}


@pytest.fixture
def held(database: Database) -> Iterator[Held]:
    """Give the warehouse, the foreign detail replayed away already."""
    with Locks(database, SystemThreads()) as locks:
        held = Held(PostgresReplay(database, locks), database)
        differs = held.replay()
        assert differs.keys() == {"c3"} and "detail" in differs["c3"]
        yield held


def test_a_detail_of_another_call_is_gone_and_due(held: Held) -> None:
    """The row is as the list has it; the other connection's, of the same id, was not looked at."""
    found = held.ask(
        "SELECT connection, detail IS NULL, detail_observed_at, detail_due_at, transcript FROM calls WHERE call_id = 'c3'"
    )
    due_at = datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert sorted(found, key=str) == [("here", True, None, due_at, None), ("there", False, SEEN, None, "Hello")]
    assert held.replay() == {}


def test_a_second_replay_writes_nothing(held: Held) -> None:
    """No row, no child, no version."""
    before = held.ask(WRITES.format("calls"))
    assert held.replay() == {}
    assert held.ask(WRITES.format("calls")) == before


def test_only_the_rows_that_differ_are_written_in_place(held: Held) -> None:
    """The records of the row stay, no version becomes history, and when the call last changed stays."""
    records = "SELECT call_id, raw, detail, last_changed_at FROM calls WHERE connection = 'here' ORDER BY 1"
    before, others = held.ask(records), held.ask(WRITES.format("calls"))
    held.spoil("UPDATE calls SET status = 'failed', duration_seconds = NULL WHERE connection = 'here' AND call_id = 'c1'")
    assert held.replay() == {"c1": ("status", "duration_seconds")}
    assert held.ask(records) == before
    assert held.ask("SELECT status, duration_seconds FROM calls WHERE call_id = 'c1'") == [("completed", 1)] * 2
    written = {row[:2] for row in set(held.ask(WRITES.format("calls"))) ^ set(others)}
    assert written == {("here", "c1")}
    assert held.ask("SELECT count(*) FROM call_history") == [(0,)]


def test_children_alone_leave_the_row_as_it_is_but_for_the_note_that_something_changed(held: Held) -> None:
    """A message that no record knows goes; of the row of its call nothing is written but `changed_at`, which copies follow."""
    held.spoil(
        "INSERT INTO call_messages (connection, call_id, message_id, position) "
        "VALUES ('here', 'c1', 'm', 1), ('there', 'c1', 'm', 1)"
    )
    columns = ", ".join(name for name in CallRow._fields)
    before, written = held.ask(f"SELECT {columns} FROM calls ORDER BY 1, 2"), held.ask(WRITES.format("calls"))
    changed = dict(held.ask("SELECT call_id, changed_at FROM calls WHERE connection = 'here'"))
    assert held.replay() == {"c1": ("messages",)}
    assert held.ask(f"SELECT {columns} FROM calls ORDER BY 1, 2") == before
    assert {row[:2] for row in set(held.ask(WRITES.format("calls"))) ^ set(written)} == {("here", "c1")}
    now = dict(held.ask("SELECT call_id, changed_at FROM calls WHERE connection = 'here'"))
    assert now["c1"] > changed["c1"] and now["c2"] == changed["c2"]
    assert held.ask("SELECT connection FROM call_messages") == [("there",)]


def test_a_rewrite_that_the_database_refuses_is_named_and_the_others_are_written(held: Held) -> None:
    """The refused row stays as it was."""
    run_id = held.runs["here"]
    entries = [entry("here", number, detail_of=None, run_id=run_id) for number in (1, 2, 3)]
    entries[1] = entries[1]._replace(call=entries[1].call._replace(end_reason="not\0storable"))
    rewrites = [Rewrite(one._replace(call=one.call._replace(status="failed")), ("status", "end_reason"), ()) for one in entries]
    with held.warehouse.page(account("here"), run_id=run_id) as page:
        assert page.rewrite(rewrites) == frozenset({"c2"})
    assert held.ask("SELECT call_id, status FROM calls WHERE connection = 'here' ORDER BY 1") == [
        ("c1", "failed"),
        ("c2", "completed"),
        ("c3", "failed"),
    ]


def test_a_stretch_holds_what_belongs_to_no_call(held: Held) -> None:
    """Children between the ids of a stretch come with it, so that somebody can tell that their call is not held."""
    held.spoil("INSERT INTO call_messages (connection, call_id, message_id, position) VALUES ('here', 'c1a', 'm', 1)")
    with held.warehouse.page(account("here"), run_id=held.runs["here"]) as page:
        first, rest = page.held_after("", limit=2), page.held_after("c2", limit=2)
    assert ([row.call_id for row in first.calls], [row.call_id for row in first.messages]) == (["c1", "c2"], ["c1a"])
    assert ([row.call_id for row in rest.calls], rest.messages) == (["c3"], [])
