"""
Knows the life of one audit: lock, client, run, and how it ends. Knows no API, no SQL.

An audit writes its verdicts and the provider's daily counts, nothing else; only a repair opens a run and writes calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from etl.audit.auditor import Audit
from etl.audit.port import AuditOutcome, AuditWarehouse
from etl.errors import BudgetSpent, EtlError, Interrupted, UsageError
from etl.model import JSON
from etl.reading.source import Capabilities, Source
from etl.runs.account import Account
from etl.runs.context import Task
from etl.runs.sync import Surroundings, organization_of
from etl.runs.terms import Outcome, RunStatus, Want

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Auditing(Surroundings):
    """What an audit is given: what a sync is, with a warehouse that can be audited."""

    warehouse: AuditWarehouse


def audit_connection(account: Account, *, given: Auditing) -> AuditOutcome:
    """Audit one connection and change no call; no error leaves this function but a programming error."""
    outcome = AuditOutcome(connection=account.connection)
    try:
        with _locked(account, given), _task(account, given, outcome, run_id=0) as task:
            Audit(task, given.warehouse, outcome).look()
    except EtlError as error:
        outcome.error = error.of(account.connection)
    return outcome


def repair_connection(account: Account, *, given: Auditing) -> AuditOutcome:
    """Audit one connection and put right what disagrees, as a run; no error leaves this function but a programming error."""
    outcome = AuditOutcome(connection=account.connection)
    try:
        with _locked(account, given):
            _repair(account, given, outcome)
    except EtlError as error:
        outcome.error = error.of(account.connection)
    return outcome


def _repair(account: Account, given: Auditing, outcome: AuditOutcome) -> None:
    outcome.run_id = run_id = given.warehouse.open_run(account, trigger=given.trigger)
    request_log: JSON = None
    run = Outcome(connection=account.connection, run_id=run_id, status=RunStatus.FAILED, counters=outcome.counters)
    try:
        with _task(account, given, outcome, run_id=run_id) as task:
            try:
                Audit(task, given.warehouse, outcome).look_and_mend()
            finally:
                request_log = task.source.api.request_log()
        run.status = RunStatus.FAILED if outcome.error else RunStatus.SUCCEEDED
    except (BudgetSpent, Interrupted) as error:
        run.status, outcome.error = RunStatus.PARTIAL, error.of(account.connection)
    except EtlError as error:
        outcome.error = error.of(account.connection)
    finally:
        run.error, outcome.counters.requests = outcome.error, outcome.requests
        given.warehouse.close_run(run_id, account.connection, outcome=run, request_log=request_log)


@contextmanager
def _locked(account: Account, given: Auditing) -> Iterator[None]:
    """Hold the connection's lock. Raises AlreadyRunning, and UsageError where there is nothing to audit."""
    given.warehouse.acquire(account.connection)
    try:
        if not given.warehouse.is_known(account.connection):
            raise UsageError(
                "it was never synced, so there is nothing to audit.",
                hint=f"Run: etl sync {account.connection}",
            )
        yield
    finally:
        given.warehouse.release(account.connection)


@contextmanager
def _task(account: Account, given: Auditing, outcome: AuditOutcome, *, run_id: int) -> Iterator[Task]:
    capabilities, request_log, pinned = given.warehouse.remembered(account.connection)
    with given.connect(account, request_log) as api:
        task = Task(
            account=account,
            source=Source(account.provider, api),
            warehouse=given.warehouse,
            run_id=run_id,
            want=Want(),
            clock=given.clock,
            watcher=given.watcher,
            stop=given.stop,
            counters=outcome.counters,
            capabilities=Capabilities.remembered(capabilities, now=given.clock.now()),
            organization=organization_of(account, pinned),
            pinned=pinned,
            findings=outcome.findings,
        )
        try:
            yield task
        finally:
            outcome.requests = api.requests
            given.warehouse.save_verdicts(
                account.connection,
                outcome.verdicts,
                checked_at=given.clock.now(),
                capabilities=task.capabilities.stored(),
                request_log=api.request_log(),
            )
            log.info("audit.finished", connection=account.connection, requests=api.requests, disagreements=outcome.disagreements)
