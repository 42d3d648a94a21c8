"""The life of a run, whatever its work is: lock, run row, how it ended, close."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import pytest

from etl.cli.progress import Silence
from etl.errors import AlreadyRunning, BudgetSpent, ConnectionFailed, EtlError, FenceLost, Interrupted, WarehouseError
from etl.provider import Provider
from etl.runs.account import Account
from etl.runs.lifecycle import Run, Surroundings, carry_out, under_lock
from etl.runs.terms import Outcome, RunKind, RunStatus, Trigger
from etl.system import SystemClock
from tests.inline import NoThreads

ACCOUNT = Account(connection="one", provider=cast("Provider", None), lookback=timedelta(hours=2))
Work = Callable[[Run], None]


@dataclass
class Register:
    """A register of runs that writes down what is asked of it, and fails where it is told to."""

    failures: dict[str, EtlError] = field(default_factory=dict)
    done: list[Any] = field(default_factory=list)

    def acquire(self, connection: str) -> None:
        self._do("acquire", connection)

    def release(self, connection: str) -> None:
        self._do("release", connection)

    def is_known(self, connection: str) -> bool:
        raise NotImplementedError

    def open_run(self, account: Account, *, kind: RunKind, trigger: Trigger) -> int:
        self._do("open", account.connection, kind, trigger)
        return 7

    def remake(self, account: Account, *, run_id: int, stop: threading.Event) -> None:
        self._do("remake", account.connection, run_id)

    def close_run(self, run_id: int, *, outcome: Outcome) -> None:
        self._do("close", run_id, outcome.status, outcome.error and outcome.error.code)

    def _do(self, what: str, *given: Any) -> None:
        self.done.append((what, *given))
        if what in self.failures:
            raise self.failures[what]


REMADE = ("remake", "one", 7)
OPENED = [("acquire", "one"), ("open", "one", RunKind.REPAIR, Trigger.WORKER)]


def carried_out(register: Register, work: Work, outcome: Outcome) -> None:
    """Do work as a repair that a worker started, under the lock."""
    given = Surroundings(
        warehouse=register,
        clock=SystemClock(),
        threads=NoThreads(),
        watcher=Silence(),
        stop=threading.Event(),
        trigger=Trigger.WORKER,
    )

    def run() -> None:
        carry_out(work, ACCOUNT, kind=RunKind.REPAIR, given=given, outcome=outcome)

    under_lock(run, warehouse=register, outcome=outcome)


def raising(error: BaseException) -> Work:
    def work(run: Run) -> None:
        raise error

    return work


def test_a_run_whose_work_comes_to_its_end_succeeds() -> None:
    """It is closed, and the lock is given back last."""
    register, outcome = Register(), Outcome(connection="one")

    def work(run: Run) -> None:
        assert run.run_id == 7

    carried_out(register, work, outcome)

    assert (outcome.run_id, outcome.status, outcome.error) == (7, RunStatus.SUCCEEDED, None)
    closed = ("close", 7, RunStatus.SUCCEEDED, None)
    assert register.done == [*OPENED, REMADE, closed, ("release", "one")]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BudgetSpent("the budget is spent."), RunStatus.PARTIAL),
        (Interrupted("it was interrupted."), RunStatus.PARTIAL),
        (ConnectionFailed("the provider failed."), RunStatus.FAILED),
        (FenceLost("another run has taken over."), RunStatus.FAILED),
        (WarehouseError("the database failed."), RunStatus.FAILED),
    ],
)
def test_an_error_of_the_work_ends_the_run(error: EtlError, status: RunStatus) -> None:
    """What was spent or interrupted goes on next time; the error says whose it is."""
    register, outcome = Register(), Outcome(connection="one")

    carried_out(register, raising(error), outcome)

    assert (outcome.status, outcome.error, error.connection) == (status, error, "one")
    remade = [REMADE] if isinstance(error, BudgetSpent | ConnectionFailed) else []
    assert register.done == [*OPENED, *remade, ("close", 7, status, error.code), ("release", "one")]


def test_a_failure_that_the_work_noted_fails_the_run() -> None:
    """As that of one agent's stream, beside which the others were read."""
    register, outcome = Register(), Outcome(connection="one")

    def work(run: Run) -> None:
        outcome.error = ConnectionFailed("one agent failed.")

    carried_out(register, work, outcome)

    assert register.done[2:] == [REMADE, ("close", 7, RunStatus.FAILED, "failed"), ("release", "one")]


def test_roll_ups_that_cannot_be_made_fail_no_run() -> None:
    """The calls are loaded, and their days are computed when they are read."""
    register, outcome = (
        Register({"remake": WarehouseError("the database waited too long for a lock.")}),
        Outcome(connection="one"),
    )

    carried_out(register, lambda run: None, outcome)

    assert (outcome.status, outcome.error) == (RunStatus.SUCCEEDED, None)


def test_a_run_that_loses_the_fence_while_it_makes_roll_ups_fails() -> None:
    """Another run is the owner, and makes them."""
    lost = FenceLost("another run has taken over.")
    register, outcome = Register({"remake": lost}), Outcome(connection="one")

    carried_out(register, lambda run: None, outcome)

    assert (outcome.status, outcome.error) == (RunStatus.FAILED, lost)


def test_an_error_that_ends_the_work_counts_more_than_one_noted_before() -> None:
    """It is what has to be acted on."""
    register, outcome = Register(), Outcome(connection="one")

    def work(run: Run) -> None:
        outcome.error = ConnectionFailed("one agent failed.")
        raise WarehouseError("the database failed.")

    carried_out(register, work, outcome)

    assert register.done[2:] == [("close", 7, RunStatus.FAILED, "warehouse"), ("release", "one")]


@pytest.mark.parametrize("fault", [ZeroDivisionError(), KeyboardInterrupt()])
def test_a_fault_of_the_program_is_noted_and_raised(fault: BaseException) -> None:
    """The run's row says what happened, and the lock is given back."""
    register, outcome = Register(), Outcome(connection="one")

    with pytest.raises(type(fault)):
        carried_out(register, raising(fault), outcome)

    assert outcome.error is not None
    assert outcome.error.headline == "Connection one: the program itself failed."
    assert register.done == [*OPENED, ("close", 7, RunStatus.FAILED, "error"), ("release", "one")]


@pytest.mark.parametrize(
    ("where", "done"),
    [
        ("acquire", [("acquire", "one")]),
        ("open", [*OPENED, ("release", "one")]),
        ("close", [*OPENED, REMADE, ("close", 7, RunStatus.SUCCEEDED, None), ("release", "one")]),
        ("release", [*OPENED, REMADE, ("close", 7, RunStatus.SUCCEEDED, None), ("release", "one")]),
    ],
)
def test_an_error_beside_the_work_stands_in_the_outcome(where: str, done: list[Any]) -> None:
    """A lock that is held gets back whatever fails, and one that was not is left alone."""
    error = AlreadyRunning("another run is working on it.")
    register, outcome = Register({where: error}), Outcome(connection="one")

    carried_out(register, lambda run: None, outcome)

    assert (outcome.error, error.connection, register.done) == (error, "one", done)
    assert outcome.run_id == (None if where in ("acquire", "open") else 7)


def test_an_error_of_the_work_is_not_hidden_by_one_of_the_closing() -> None:
    """A database that goes away fails both; what is told is what came first."""
    first, second = FenceLost("another run has taken over."), WarehouseError("the database failed.")
    register, outcome = Register({"close": second}), Outcome(connection="one")

    carried_out(register, raising(first), outcome)

    assert outcome.error is first
