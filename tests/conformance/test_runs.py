"""Locks and runs, on both warehouses: who works on a connection, how a run begins and how it ends."""

from __future__ import annotations

import pytest

from etl.errors import AlreadyRunning, BudgetSpent, ConnectionFailed
from etl.runs.account import Account
from etl.runs.terms import Counters, Outcome, RunKind, RunStatus, Trigger
from tests.conformance.conftest import Run, opened
from tests.conformance.worlds import COUNTED, World
from tests.memory.acme import WITHOUT_DETAIL, account

ENDED = Outcome(connection="line", run_id=None, status=RunStatus.SUCCEEDED, counters=Counters(requests=3, pages=2))


def test_one_run_at_a_time_works_on_a_connection(world: World, line: Account, other_line: Account) -> None:
    """The lock that is held refuses a second one, until it is given back; other connections are free."""
    world.warehouse.acquire(line.connection)
    world.warehouse.acquire(other_line.connection)
    with pytest.raises(AlreadyRunning):
        world.warehouse.acquire(line.connection)
    world.warehouse.release(line.connection)
    world.warehouse.release(line.connection)
    world.warehouse.acquire(line.connection)
    with pytest.raises(AlreadyRunning):
        world.warehouse.acquire(other_line.connection)


def test_a_run_that_opens_is_running_and_owns_the_connection(world: World, line: Account) -> None:
    """Nothing is counted yet; later runs have higher numbers."""
    run = opened(world, line, kind=RunKind.REPAIR, trigger=Trigger.LIBRARY)

    (row,) = run.rows("sync.runs")
    assert row == {
        "id": run.run_id,
        "connection": line.connection,
        "kind": "repair",
        "trigger": "library",
        "status": "running",
        **dict.fromkeys(COUNTED, 0),
        "max_lateness": None,
        "error_code": None,
    }
    (connection,) = run.rows("sync.connections")
    assert (connection["provider"], connection["owner_run"]) == ("acme", run.run_id)
    assert run.next().run_id > run.run_id


def test_a_run_that_never_closed_has_crashed(run: Run, other_line: Account) -> None:
    """So it is noted when the next one opens; runs that ended, and those of other connections, are left as they are."""
    other = opened(run.world, other_line)
    run.warehouse.close_run(run.run_id, outcome=ENDED)
    run.next()
    run.next()

    assert [row["status"] for row in run.rows("sync.runs")] == ["succeeded", "crashed", "running"]
    assert [row["status"] for row in other.rows("sync.runs")] == ["running"]


def test_a_connection_never_changes_its_provider(run: Run) -> None:
    """Calls of two providers under one name could not be told apart: no run is opened, and the owner stays."""
    with pytest.raises(ConnectionFailed):
        opened(run.world, account(WITHOUT_DETAIL, connection=run.account.connection))

    assert [row["owner_run"] for row in run.rows("sync.connections")] == [run.run_id]
    assert [row["status"] for row in run.rows("sync.runs")] == ["running"]


def test_a_run_closes_with_what_it_did(run: Run) -> None:
    """Status, counters and the kind of its error."""
    error = BudgetSpent("spent")
    outcome = Outcome(connection="line", run_id=None, status=RunStatus.PARTIAL, counters=Counters(requests=9), error=error)
    run.warehouse.close_run(run.run_id, outcome=outcome)

    (row,) = run.rows("sync.runs")
    assert (row["status"], row["requests"], row["error_code"]) == ("partial", 9, "budget_spent")


def test_a_run_that_was_taken_over_is_left_as_its_successor_noted_it(run: Run) -> None:
    """It crashed, as far as anybody can tell."""
    run.next()
    run.warehouse.close_run(run.run_id, outcome=ENDED)

    assert [(row["status"], row["requests"]) for row in run.rows("sync.runs")] == [("crashed", 0), ("running", 0)]


def test_nothing_is_remembered_of_a_connection_that_no_run_knows(world: World) -> None:
    """Whoever asks has opened a run: that there is no row is trouble."""
    with pytest.raises(ConnectionFailed):
        world.warehouse.remembered("unknown")


def test_a_connection_is_known_once_a_run_was_opened(world: World, line: Account, other_line: Account) -> None:
    """Whatever came of it."""
    opened(world, line)

    assert [world.warehouse.is_known(one.connection) for one in (line, other_line)] == [True, False]
