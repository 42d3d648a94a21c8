"""Random batches of writes, made again or not in between: what is stored and what is computed is always what calls say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from threading import Event
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl import providers
from etl.model import CallRow, Derived, ParticipantRow, Status
from etl.records.rows import Rewrite
from etl.runs.account import Account
from etl.runs.terms import RunKind, Trigger
from etl.system import SystemThreads
from etl.warehouse import schema
from etl.warehouse.audits import AuditedWarehouse
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from tests.warehouse.rollups.looking import assert_exact, rows, touched

BERLIN_SPRING = datetime(2026, 3, 28, 21, tzinfo=UTC)  # midnight in Berlin, and the lost hour, are near
NUMBERS = count(1)
WHOLE = st.integers(0, 60 * 60 * 60)
INSTANTS = st.integers(0, 4 * 24 * 600).map(lambda tenths: BERLIN_SPRING + timedelta(seconds=6 * tenths))


def near(at: datetime) -> st.SearchStrategy[datetime | None]:
    """Instants around another, mostly after it, seldom days later."""
    after = st.one_of(st.integers(-90, 4000), st.sampled_from([0, 86_400, 8 * 86_400, 100_000, 300_000]))
    return st.none() | after.map(lambda seconds: at + timedelta(seconds=seconds))


@st.composite
def calls(draw: Any, connection: str, call_id: str) -> Derived:
    """A call of any provider, sound or not, with people in it."""
    at = draw(INSTANTS)
    price = draw(st.none() | st.sampled_from([Decimal("0.024"), Decimal("12.3456789"), Decimal("1e11"), Decimal("1e14")]))
    row = CallRow(
        connection=connection, call_id=call_id, provider="acme", occurred_at=at, status=draw(st.sampled_from(list(Status))).value,
        provider_status=None, direction=draw(st.sampled_from([None, "inbound", "outbound"])), from_address="+14155550100",
        to_address="+14155550101", agent_id=draw(st.sampled_from([None, "a1", "a2"])), created_at=draw(near(at)),
        ringing_at=draw(near(at)), started_at=draw(near(at)), answered_at=draw(near(at)), ended_at=draw(near(at)),
        duration_seconds=draw(st.none() | st.integers(0, 900) | st.sampled_from([79_200, 90_000, 900_000, 2**31 - 1])),
        is_test=draw(st.sampled_from([False, False, True])), end_reason=None, error_reason=None, latency_ms=None, cost=price,
        currency=None if price is None else "USD", recording_url=None, transcript=None, attributes=None, raw="{}", detail=None,
        first_seen_at=at, last_changed_at=at, stream="calls", cursor_at=at, observed_at=BERLIN_SPRING, detail_observed_at=None,
        detail_due_at=None, content_hash=b"", last_run_id=1, parent_call_id=draw(st.sampled_from([None, None, None, "c1"])),
    )  # fmt: skip
    people = draw(
        st.lists(
            st.tuples(
                st.sampled_from([None, "", "ada@example.com", " Ada@Example.com ", "bea@example.com", "cyd@example.com"]),
                near(at),
                near(at),
            ),
            max_size=4,
        )
    )
    parts = tuple(
        ParticipantRow(connection, call_id, f"p{place}", email, joined, left, None)
        for place, (email, joined, left) in enumerate(people)
    )
    return Derived(row, parts, ())


@st.composite
def batches(draw: Any, connection: str) -> list[tuple[str, Any]]:
    """Some writes, and what is made again between them."""
    found: list[tuple[str, Any]] = []
    for _ in range(draw(st.integers(2, 5))):
        kind = draw(st.sampled_from(["insert", "update", "rewrite", "bury", "erase", "calls", "all"]))
        ids = draw(st.lists(st.sampled_from([f"c{number}" for number in range(8)]), min_size=1, max_size=5, unique=True))
        found.append((kind, [draw(calls(connection, call_id)) for call_id in ids] if kind in WRITES else ids))
    return [("insert", [draw(calls(connection, f"c{number}")) for number in range(6)]), *found]


WRITES = ("insert", "update", "rewrite")


class Life:
    """One connection whose calls are written as runs write them."""

    def __init__(self, database: Database, locks: Locks) -> None:
        self.database = database
        self.warehouse = AuditedWarehouse(database, locks)
        self.account = Account(connection=f"c{next(NUMBERS)}", provider=providers.get("tuple"), lookback=timedelta(hours=1))
        self.run_id = self.warehouse.open_run(self.account, kind=RunKind.SYNC, trigger=Trigger.CLI)

    def held(self) -> set[str]:
        """Return the ids of the calls held."""
        return {row["call_id"] for row in rows(self.database, f"SELECT call_id FROM calls WHERE {self.where}")}

    @property
    def where(self) -> str:
        """The condition for this connection's rows."""
        return f"connection = '{self.account.connection}'"

    def do(self, kind: str, what: Sequence[Any]) -> None:
        """Write a batch, or make roll-ups again."""
        if kind == "all":
            self.warehouse.remake(self.account, run_id=self.run_id, stop=Event())
            assert touched(self.database, self.account.connection) == []
            return
        if kind == "calls":
            self.warehouse.remake_calls(self.account, run_id=self.run_id, written=10**6)
            return
        held = self.held()
        with self.warehouse.page(self.account, run_id=self.run_id) as page:
            if kind == "insert":
                assert page.insert([entry for entry in what if entry.call.call_id not in held]) == frozenset()
            elif kind == "update":
                assert page.update([entry for entry in what if entry.call.call_id in held]) == frozenset()
            elif kind == "rewrite":
                known = [entry for entry in what if entry.call.call_id in held]
                halves = (("status",), ())
                page.rewrite([Rewrite(one, halves[place % 2], ("participants",)) for place, one in enumerate(known)])
            elif kind == "bury":
                page.bury(what, gone_at=BERLIN_SPRING)
            else:
                page.erase(what)


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(data=st.data())
def test_stored_and_computed_together_are_what_calls_say(database: Database, data: st.DataObject) -> None:
    """After every batch, whole rows of every roll-up compared; in a zone whose clocks change on one of the days."""
    if schema.reporting_timezone(database) == "UTC":
        schema.set_reporting_timezone(database, "Europe/Berlin")
    with Locks(database, SystemThreads()) as locks:
        life = Life(database, locks)
        for kind, what in data.draw(batches(life.account.connection)):
            life.do(kind, what)
            assert_exact(database, life.where)
        life.do("all", ())
        assert_exact(database, life.where)
