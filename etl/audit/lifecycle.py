"""
How an audit begins and ends: take the lock, open the API, compare, store the verdicts.

An audit writes its verdicts and the provider's daily counts, nothing else. Only a repair writes calls, and is a run
(`etl.runs.lifecycle`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from etl.audit.auditor import Audit
from etl.audit.port import AuditOutcome, AuditWarehouse
from etl.errors import UsageError
from etl.log import Logger
from etl.runs.account import Account
from etl.runs.lifecycle import Connect, Run, Surroundings, carry_out, connected, under_lock
from etl.runs.terms import RunKind, Want

log = Logger(__name__)

Auditing = Surroundings[AuditWarehouse]
"""What an audit is given: the same as a run, but with a warehouse that can be audited."""


def audit_connection(account: Account, *, connect: Connect, given: Auditing) -> AuditOutcome:
    """Audit one connection without changing any call. Raises nothing but programming errors."""
    outcome = AuditOutcome(connection=account.connection)

    def audit() -> None:
        _require_known(account, given.warehouse)
        with connect.reserved(account), _comparing(account, Run(), connect=connect, given=given, outcome=outcome) as comparison:
            comparison.look()

    under_lock(audit, warehouse=given.warehouse, outcome=outcome)
    return outcome


def repair_connection(account: Account, *, connect: Connect, given: Auditing) -> AuditOutcome:
    """Audit one connection and repair what disagrees, as a run. Raises nothing but programming errors."""
    outcome = AuditOutcome(connection=account.connection)

    def mend(run: Run) -> None:
        with _comparing(account, run, connect=connect, given=given, outcome=outcome) as comparison:
            comparison.look_and_mend()

    def repair() -> None:
        _require_known(account, given.warehouse)
        with connect.reserved(account):
            carry_out(mend, account, kind=RunKind.REPAIR, given=given, outcome=outcome)

    under_lock(repair, warehouse=given.warehouse, outcome=outcome)
    return outcome


def _require_known(account: Account, warehouse: AuditWarehouse) -> None:
    if not warehouse.is_known(account.connection):
        raise UsageError(
            "it was never synced, so there is nothing to audit.",
            safe="Nothing was asked.",
            hint=f"Run: etl sync {account.connection}",
        )


@contextmanager
def _comparing(account: Account, run: Run, *, connect: Connect, given: Auditing, outcome: AuditOutcome) -> Iterator[Audit]:
    """Open the account's API for the block; however the block ends, store the verdicts."""
    with connected(account, run=run, want=Want(), connect=connect, given=given, outcome=outcome) as task:
        try:
            yield Audit(task, given.warehouse, outcome)
        finally:
            api = task.source.api
            given.warehouse.save_verdicts(
                account.connection,
                outcome.verdicts,
                checked_at=given.clock.now(),
                capabilities=task.found_out(),
            )
            log.info("audit.finished", connection=account.connection, requests=api.requests, disagreements=outcome.disagreements)
