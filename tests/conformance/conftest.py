"""Gives each test of this folder both warehouses, one after the other: the one in memory and the one in Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

import pytest

from etl.coverage import Spans
from etl.model import JSON
from etl.runs.account import Account
from etl.runs.loading import drafted, load_page
from etl.runs.loading_details import Told, load_details
from etl.runs.terms import Loaded, Observed, RunKind, Trigger
from etl.system import SystemThreads
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from etl.warehouse.postgres import PostgresWarehouse
from tests.conformance.worlds import MemoryWorld, PostgresWorld, Row, World
from tests.memory.acme import account, at, record

_NUMBERS = count(1)
NOWHERE = Spans()


@dataclass
class Run:
    """A run that is the owner of its connection, and what a test has to say of it."""

    world: World
    account: Account
    run_id: int
    stream: str = "calls"
    in_advance: bool = False  # whether what is expected to be new is drafted before its page is opened

    @property
    def warehouse(self) -> Any:
        """The warehouse."""
        return self.world.warehouse

    def page(self) -> Any:
        """Open a page."""
        return self.warehouse.page(self.account, run_id=self.run_id)

    def observed(self, *values: JSON, seen: float, stream: str | None = None, due: datetime | None = None) -> Observed:
        """Return these records as they were seen so many minutes after the epoch."""
        records = [record(value, self.account.provider) for value in values]
        return Observed(stream=stream or self.stream, records=records, observed_at=at(seen), due_at=due)

    def load(
        self, *values: JSON, seen: float, stream: str | None = None, due: datetime | None = None, moved: bool | None = False
    ) -> Loaded:
        """Load these records in a page of their own."""
        with self.page() as page:
            return self.load_in(page, *values, seen=seen, stream=stream, due=due, moved=moved)

    def load_in(
        self,
        page: Any,
        *values: JSON,
        seen: float,
        stream: str | None = None,
        due: datetime | None = None,
        covered: Spans = NOWHERE,
        moved: bool | None = False,
    ) -> Loaded:
        """
        Load these records in a page that is open; drafted in advance where the test says so.

        A call held in another stream is listed there, too, unless it has `moved`; None: nobody knows yet.
        """
        observed = self.observed(*values, seen=seen, stream=stream, due=due)
        there = None if moved is None else not moved
        if self.in_advance:
            draft = drafted(self.account, observed, run_id=self.run_id, known=())
            observed.draft = self.warehouse.encoded(draft)
        return load_page(
            page,
            self.account,
            observed,
            run_id=self.run_id,
            covered=covered,
            listed_there=lambda _: there,
        )

    def load_detail(self, value: JSON, *, seen: float, due: datetime | None = None, call_id: str | None = None) -> Loaded:
        """Load a detail in a page of its own; `due` is when to ask for it again."""
        with self.page() as page:
            told = Told(self.stream, call_id or value["id"], record(value, self.account.provider), at(seen))
            (loaded,) = load_details(page, self.account, [told], run_id=self.run_id, due=lambda entry, detail: due)
            return loaded

    def rows(self, table: str) -> list[Row]:
        """Return the rows of a table that are of this connection."""
        return [row for row in self.world.rows(table) if row["connection"] == self.account.connection]

    def call(self, call_id: str) -> Row:
        """Return the row of a call that is held."""
        return next(row for row in self.rows("calls") if row["call_id"] == call_id)

    def ids(self) -> list[str]:
        """Return the ids of the calls held."""
        return [row["call_id"] for row in self.rows("calls")]

    def dues(self) -> list[str]:
        """Return the ids of the calls whose details are due, whenever."""
        return [row["call_id"] for row in self.rows("calls") if row["detail_due_at"] is not None]

    def next(self) -> Run:
        """Open the next run of the connection, which takes over."""
        return opened(self.world, self.account)


def opened(world: World, one: Account, *, kind: RunKind = RunKind.SYNC, trigger: Trigger = Trigger.CLI) -> Run:
    """Open a run."""
    return Run(world, one, world.warehouse.open_run(one, kind=kind, trigger=trigger))


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Give a warehouse in which nobody else uses the test's connections."""
    if request.param == "memory":
        yield MemoryWorld()
        return
    database: Database = request.getfixturevalue("shared_database")
    with Locks(database, SystemThreads()) as locks:
        yield PostgresWorld(database, PostgresWarehouse(database, locks))


@pytest.fixture
def line() -> Account:
    """Give a connection that holds nothing yet, of a name of its own."""
    return account(connection=f"line_{next(_NUMBERS)}")


@pytest.fixture
def other_line() -> Account:
    """Give another one."""
    return account(connection=f"line_{next(_NUMBERS)}")


@pytest.fixture
def run(world: World, line: Account) -> Run:
    """Give a run of a connection that holds nothing yet."""
    return opened(world, line)
