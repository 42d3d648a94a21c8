"""A reject that a newer program understands becomes a row as of when it was seen, not of when it was tried again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from etl.coverage import Spans
from etl.model import JSON
from etl.provider import Provider
from etl.runs.account import Account
from etl.runs.loading import load_page
from etl.runs.port import FIRST
from etl.runs.retrying import Tried, try_rejects
from etl.runs.terms import Observed, RunKind, Trigger
from etl.system import SystemThreads
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from etl.warehouse.replay import PostgresReplay
from tests.memory.acme import ACME, WITHOUT_DETAIL, account, at, call, record

NOW = at(600)


@pytest.fixture
def replay(shared_database: Database) -> Iterator[PostgresReplay]:
    """Give the warehouse as a replay uses it."""
    with Locks(shared_database, SystemThreads()) as locks:
        yield PostgresReplay(shared_database, locks)


def held(database: Database, one: Account) -> list[tuple[Any, ...]]:
    """Return when the calls of a connection were first seen, observed, and what of them is due."""
    query = "SELECT call_id, duration_seconds, first_seen_at, observed_at, detail_due_at FROM calls WHERE connection = %s"
    with database.begin() as session:
        return [tuple(row) for row in session.exec_driver_sql(query, (one.connection,))]


def load(replay: PostgresReplay, one: Account, run_id: int, *values: JSON, seen: datetime, stream: str = "calls") -> None:
    """Load records as a sync does."""
    records = [record(value, one.provider) for value in values]
    with replay.page(one, run_id=run_id) as page:
        observed = Observed(stream=stream, records=records, observed_at=seen, due_at=None)
        load_page(page, one, observed, run_id=run_id, covered=Spans(), listed_there=lambda _: True)


def reject_that_is_understood(replay: PostgresReplay, database: Database, one: Account, run_id: int) -> None:
    """Keep a reject that was seen twice, of a record that this program can read."""
    for minutes in (5, 9):
        load(replay, one, run_id, call("c1", 0, seconds=7, created="never"), seen=at(minutes))
    text = record(call("c1", 0, seconds=7)).text.decode()
    with database.begin() as session:
        session.exec_driver_sql("UPDATE sync.rejected_records SET raw_text = %s WHERE connection = %s", (text, one.connection))


@pytest.mark.parametrize("provider", [ACME, WITHOUT_DETAIL], ids=["with details", "without details"])
def test_a_reject_becomes_a_row_as_of_when_it_was_last_seen(
    replay: PostgresReplay, shared_database: Database, provider: Provider
) -> None:
    """Its instants are those of its sightings; only its detail is due from now on. What was observed since goes over it."""
    one = account(provider, connection=f"rejected_{provider.name}")
    run_id = replay.open_run(one, kind=RunKind.REPLAY, trigger=Trigger.CLI)
    reject_that_is_understood(replay, shared_database, one, run_id)

    with replay.page(one, run_id=run_id) as page:
        tried = try_rejects(page, one, run_id=run_id, after=FIRST, now=NOW)

    assert tried is not None
    assert tried == Tried(last=tried.last, seen=1, inserted=1, updated=0, resolved=1)
    due = NOW if provider is ACME else None
    assert held(shared_database, one) == [("c1", 7, at(5), at(9), due)]
    load(replay, one, run_id, call("c1", 0, seconds=8), seen=at(10))
    assert [row[1] for row in held(shared_database, one)] == [8]


@pytest.mark.parametrize("provider", [ACME, WITHOUT_DETAIL], ids=["with details", "without details"])
def test_a_reject_goes_over_no_call_that_was_observed_after_it(
    replay: PostgresReplay, shared_database: Database, provider: Provider
) -> None:
    """The row that is held is the later observation, and stays; the reject is resolved."""
    one = account(provider, connection=f"overtaken_{provider.name}")
    run_id = replay.open_run(one, kind=RunKind.REPLAY, trigger=Trigger.CLI)
    reject_that_is_understood(replay, shared_database, one, run_id)
    with shared_database.begin() as session:  # by a program that left it open
        session.exec_driver_sql("UPDATE sync.rejected_records SET call_id = NULL WHERE connection = %s", (one.connection,))
    load(replay, one, run_id, call("c1", 0, seconds=8), seen=at(12))

    with replay.page(one, run_id=run_id) as page:
        tried = try_rejects(page, one, run_id=run_id, after=FIRST, now=NOW)

    assert tried is not None
    assert (tried.inserted, tried.updated, tried.resolved) == (0, 0, 1)
    assert held(shared_database, one) == [("c1", 8, at(12), at(12), None)]


def test_a_call_that_was_buried_in_the_stream_that_it_left_comes_back_in_the_other(
    replay: PostgresReplay, shared_database: Database
) -> None:
    """An earlier version took it for an id in two streams, and for gone in the first one: that says nothing of the second."""
    one = account(connection="left_behind")
    run_id = replay.open_run(one, kind=RunKind.REPLAY, trigger=Trigger.CLI)
    load(replay, one, run_id, call("c1", 0, seconds=7), seen=at(5))
    load(replay, one, run_id, call("c1", 0, seconds=7), seen=at(6), stream="other")
    with replay.page(one, run_id=run_id) as page:
        page.bury(["c1"], gone_at=at(8))

    with replay.page(one, run_id=run_id) as page:
        tried = try_rejects(page, one, run_id=run_id, after=FIRST, now=NOW)

    assert tried is not None
    assert (tried.inserted, tried.updated, tried.resolved) == (1, 0, 1)
    assert held(shared_database, one) == [("c1", 7, at(6), at(6), NOW)]
