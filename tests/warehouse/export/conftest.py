"""Knows what an export is tried with: a warehouse with calls of two connections in three months, awkward values among them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Event
from typing import Any

import pytest

from etl import providers
from etl.model import CallRow, Derived, EventRow, MessageRow, ParticipantRow
from etl.runs.account import Account
from etl.runs.terms import RunKind, Trigger
from etl.system import SystemThreads
from etl.warehouse.audits import AuditedWarehouse
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks

NAMES = ("one", "two")
MONTHS = tuple(datetime(2026, month, 10, 9, 0, 0, 123456, tzinfo=UTC) for month in (1, 2, 3))
AWKWARD = 'a "quoted", line\r\nand another\t\\N \\. ä\u2028'


def call(connection: str, number: int, at: datetime, **given: Any) -> Derived:
    """A call of five minutes of two people; every third is without what may be missing."""
    end, bare = at + timedelta(minutes=5), number % 3 == 0
    row = CallRow(
        connection=connection, call_id=f"c{number}", provider="acme", occurred_at=at, status="completed", provider_status="",
        direction=None if bare else "inbound", from_address="+14155550100", to_address="+14155550101", agent_id=f"a{number % 2}",
        created_at=at, ringing_at=at, started_at=at, answered_at=None if bare else at + timedelta(seconds=7), ended_at=end,
        duration_seconds=None if bare else 300, is_test=number % 4 == 0, end_reason=AWKWARD, error_reason=None if bare else "",
        latency_ms=None, cost=None if bare else Decimal("0.1234565") * number, currency=None if bare else "USD",
        recording_url=None, transcript=None, attributes='{"note": "a, b"}', raw='{"n": [1, "\\"", null]}', detail=None,
        first_seen_at=at, last_changed_at=at, stream="calls", cursor_at=at, observed_at=at, detail_observed_at=None,
        detail_due_at=None, content_hash=b"", last_run_id=1,
    )._replace(**given)  # fmt: skip
    people = () if bare else ("ada", "bea")
    return Derived(
        row,
        tuple(ParticipantRow(connection, f"c{number}", f"p{who}", f"{who}@example.com", at, end, 300) for who in people),
        (),
        (MessageRow(connection, f"c{number}", "m1", 1, "user", "", "text", at),) if number % 2 else (),
        (EventRow(connection, f"c{number}", "e1", 1, "ended", at, '{"to": "+14155550101"}'),) if number % 2 else (),
    )


class Life:
    """The connections of a warehouse, written as runs write them."""

    def __init__(self, database: Database, locks: Locks) -> None:
        self.database = database
        self.warehouse = AuditedWarehouse(database, locks)
        self.accounts = {
            name: Account(connection=name, provider=providers.get("tuple"), lookback=timedelta(hours=1)) for name in NAMES
        }
        self.runs = {
            name: self.warehouse.open_run(one, kind=RunKind.SYNC, trigger=Trigger.CLI) for name, one in self.accounts.items()
        }

    def insert(self, name: str, *entries: Derived) -> None:
        """Store calls that are new."""
        with self.warehouse.page(self.accounts[name], run_id=self.runs[name]) as page:
            assert page.insert(entries) == frozenset()

    def update(self, name: str, *entries: Derived) -> None:
        """Store other versions of calls."""
        with self.warehouse.page(self.accounts[name], run_id=self.runs[name]) as page:
            assert page.update(entries) == frozenset()

    def bury(self, name: str, *call_ids: str) -> None:
        """Take calls that are gone at their provider out of `calls`."""
        with self.warehouse.page(self.accounts[name], run_id=self.runs[name]) as page:
            page.bury(call_ids, gone_at=MONTHS[-1] + timedelta(days=1))

    def erase(self, name: str, *call_ids: str) -> None:
        """Take calls out with all that was kept of them."""
        with self.warehouse.page(self.accounts[name], run_id=self.runs[name]) as page:
            page.erase(call_ids)

    def remake(self, name: str) -> None:
        """Make the roll-ups again."""
        self.warehouse.remake(self.accounts[name], run_id=self.runs[name], stop=Event())

    def execute(self, statement: str) -> None:
        """Do what somebody does to the database."""
        with self.database.begin() as session:
            session.exec_driver_sql(statement)


@pytest.fixture
def life(database: Database) -> Iterator[Life]:
    """Give the warehouse; the roll-ups of one connection are stored, those of the other computed."""
    with Locks(database, SystemThreads()) as locks:
        life = Life(database, locks)
        for name in NAMES:
            times = [start + timedelta(hours=7 * place) for start in MONTHS for place in range(4)]
            life.insert(name, *(call(name, number, at) for number, at in enumerate(times)))
        life.remake("one")
        life.execute("UPDATE agents SET display_name = 'Front desk, ' || connection WHERE agent_id = 'a1'")
        life.execute("UPDATE calls SET changed_at = occurred_at")  # long before the mark, but for the newest
        yield life
