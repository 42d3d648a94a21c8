"""
The life cycle that all runs share: take the lock, open the run row and the fence, do the work, record how it ended.

Sync, repair and replay all go through here. An audit without repair takes the lock but opens no run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Generic, Protocol, TypeVar

from etl.effects import Clock, Threads
from etl.errors import BudgetSpent, ConnectionFailed, EtlError, FenceLost, Interrupted, WarehouseError
from etl.log import Logger
from etl.reading.api import Api
from etl.reading.source import Capabilities, Source
from etl.runs.account import Account
from etl.runs.context import Task
from etl.runs.making import Making
from etl.runs.port import RunRegister, RunWarehouse, Watcher
from etl.runs.repeated import repeated
from etl.runs.terms import Outcome, RunKind, RunStatus, Trigger, Want

log = Logger(__name__)

Result = TypeVar("Result")
Warehouse_co = TypeVar("Warehouse_co", bound=RunRegister, covariant=True)


class Connect(Protocol):
    """The way to the API of an account."""

    def reserved(self, account: Account) -> AbstractContextManager[None]:
        """
        Use the request allowance of the account's token for the block, beside other connections of this process.

        Raises AccountBusy if another process uses it, and WarehouseError.
        """
        ...

    def __call__(self, account: Account) -> AbstractContextManager[Api]:
        """Open the API; the account is reserved."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings(Generic[Warehouse_co]):
    """What every run is given. Setting `stop` makes it end early; `trigger` says who started it."""

    warehouse: Warehouse_co
    clock: Clock
    threads: Threads
    watcher: Watcher
    stop: Event
    trigger: Trigger


@dataclass(slots=True, kw_only=True)
class Run:
    """A run in progress. An audit without repair has id 0: it opened no run, and must write nothing behind the fence."""

    run_id: int = 0


def under_lock(work: Callable[[], None], *, warehouse: RunRegister, outcome: Outcome) -> None:
    """Do the work while holding the connection's lock; an error of either is recorded in the outcome, not raised."""
    try:
        warehouse.acquire(outcome.connection)
        try:
            work()
        finally:
            warehouse.release(outcome.connection)
    except EtlError as error:
        outcome.error = outcome.error or error.of(outcome.connection)


def carry_out(
    work: Callable[[Run], None], account: Account, *, kind: RunKind, given: Surroundings[RunRegister], outcome: Outcome
) -> None:
    """
    Open a run, do its work, and close it with the status it ended in. The caller holds the connection's lock.

    The run succeeded if the work finished and left no error in the outcome, is partial if it was interrupted or the day's
    request budget is spent, and failed otherwise. Of the work's errors only a programming error is raised, after it was noted
    in the run's row.
    """
    name = account.connection
    outcome.run_id = run_id = given.warehouse.open_run(account, kind=kind, trigger=given.trigger)
    run = Run(run_id=run_id)
    log.info("run.started", connection=name, run=run_id, kind=kind.value)
    try:
        try:
            work(run)
        except (Interrupted, FenceLost, WarehouseError):
            raise
        except EtlError:
            _remake(account, run_id, given=given)  # what was loaded before the error stays
            raise
        _remake(account, run_id, given=given)
        outcome.status = RunStatus.FAILED if outcome.error else RunStatus.SUCCEEDED
    except (BudgetSpent, Interrupted) as error:
        outcome.status, outcome.error = RunStatus.PARTIAL, error.of(name)
    except EtlError as error:
        outcome.status, outcome.error = RunStatus.FAILED, error.of(name)
    except BaseException:
        outcome.error = EtlError(
            "the program itself failed.",
            safe="Everything up to the last page is committed.",
            hint="Run it again as etl --verbose …, and report it with the traceback that this shows.",
        ).of(name)
        raise
    finally:
        given.warehouse.close_run(run_id, outcome=outcome)
        log.info(
            "run.finished",
            connection=name,
            run=run_id,
            status=outcome.status.value,
            error=outcome.error.code if outcome.error else None,
            requests=outcome.counters.requests,
            inserted=outcome.counters.inserted,
            updated=outcome.counters.updated,
        )


def _remake(account: Account, run_id: int, *, given: Surroundings[RunRegister]) -> None:
    """Make the roll-ups of touched days again, as `_made` does."""
    _made(lambda: given.warehouse.remake(account, run_id=run_id, stop=given.stop), account, run_id, clock=given.clock)


def _made(make: Callable[[], Result], account: Account, run_id: int, *, clock: Clock) -> Result | None:
    """Make roll-ups again. If that fails the run does not: these days are computed when they are read. Raises FenceLost."""
    try:
        return repeated(make, clock=clock)
    except FenceLost:
        raise
    except EtlError as error:
        log.warning("rollups.left", connection=account.connection, run=run_id, error=error.code)
        return None


@contextmanager
def connected(
    account: Account, *, run: Run, want: Want, connect: Connect, given: Surroundings[RunWarehouse], outcome: Outcome
) -> Iterator[Task]:
    """Open the account's API for the block; however the block ends, keep the request counts."""
    capabilities, pinned, states = given.warehouse.remembered(account.connection)
    organization = organization_of(account, pinned)

    def making_of(kind: Callable[..., int]) -> Callable[[int], int]:
        def make(written: int) -> int:
            work = partial(kind, account, run_id=run.run_id, written=written)
            return _made(work, account, run.run_id, clock=given.clock) or 0

        return make

    with given.threads.pool("rollups", 1) as maker, connect(account) as api:
        kinds = (given.warehouse.remake_calls, given.warehouse.remake_people)
        making = Making([making_of(kind) for kind in kinds], thread=maker)
        task = Task(
            account=account,
            source=Source(account.provider, api, account.own),
            warehouse=given.warehouse,
            run_id=run.run_id,
            want=want,
            clock=given.clock,
            threads=given.threads,
            watcher=given.watcher,
            stop=given.stop,
            rollups=making,
            counters=outcome.counters,
            capabilities=Capabilities.remembered(capabilities, now=given.clock.now()),
            organization=organization,
            pinned=pinned,
            states=states,
            findings=outcome.findings,
        )
        try:
            yield task
        finally:
            task.compare_clocks()
            outcome.counters.requests, outcome.counters.retries = api.requests, api.retries
        making.wait()


def organization_of(account: Account, pinned: str | None) -> str | None:
    """Return the organisation that every record must belong to. Raises ConnectionFailed if setting and pin disagree."""
    if account.organization_id and pinned and account.organization_id != pinned:
        raise ConnectionFailed(
            "it holds the calls of another organisation than the one configured.",
            safe="Nothing was read or stored.",
            hint=f"Set connections.{account.connection}.organization_id back, or give the other organisation a connection "
            "of its own.",
        )
    return account.organization_id or pinned
