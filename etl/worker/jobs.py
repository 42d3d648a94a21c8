"""What the jobs do: a sync or an audit of one connection, as the command line does it, with one set of locks for the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event

from etl.audit.lifecycle import audit_connection
from etl.config import ConnectionSettings, Settings
from etl.effects import Effects
from etl.erasing import forget_known
from etl.errors import EtlError
from etl.runs.forgetting import Forgotten
from etl.runs.lifecycle import Surroundings
from etl.runs.sync import sync_connection
from etl.runs.terms import Outcome, Trigger, Want
from etl.runs.watching import Silence
from etl.warehouse.audits import AuditedWarehouse
from etl.warehouse.locks import Locks
from etl.warehouse.postgres import PostgresWarehouse
from etl.warehouse.privacy.forgetting import PostgresForgetting
from etl.wiring import Connector, Opened, Warehouse, account

Waited = Callable[[str, float], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a job ended: the exit code that `etl sync` or `etl audit` would have ended with, and what went wrong."""

    code: int
    error: EtlError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Does the jobs of one worker; safe to call from several threads."""

    chosen: Mapping[str, ConnectionSettings]
    syncs: Surroundings[PostgresWarehouse]
    audits: Surroundings[AuditedWarehouse]
    erasures: Surroundings[PostgresForgetting]
    connector: Connector
    settings: Settings

    def erase(self, name: str, provider: str) -> Forgotten:
        """Cut what is erased of a connection, configured or not, and what has become too old, if anything is due."""
        return forget_known(self.settings, name, provider, given=self.erasures, anew=False)

    def sync(self, name: str) -> Ended:
        """Sync a connection; more of how it ended is in its run."""
        return _ended(sync_connection(account(name, self.chosen[name]), want=Want(), connect=self.connector, given=self.syncs))

    def audit(self, name: str) -> Ended:
        """Audit a connection without repair; what was found is in `sync.audits`."""
        outcome = audit_connection(account(name, self.chosen[name]), connect=self.connector, given=self.audits)
        ended = _ended(outcome)
        return Ended(code=ended.code or int(outcome.stands), error=ended.error)

    def lock(self, name: str) -> str:
        """Return what jobs that may not run at once have in common: the account of the connection."""
        return self.connector.account_of(account(name, self.chosen[name]))

    def want(self, lock: str) -> None:
        """Have whoever works with an account give way to the others after a while, at a page."""
        self.syncs.warehouse.allowances.want(lock, now=self.syncs.clock.now())


@contextmanager
def jobs_of(settings: Settings, opened: Opened, *, effects: Effects, stop: Event, waited: Waited) -> Iterator[Jobs]:
    """
    Make the jobs of all connections of a configuration. Setting `stop` ends those that are at work after their page.

    `waited` is told for how many seconds a request of a connection was held back.
    """
    chosen = settings.choose()
    with Locks(opened.database, effects.threads) as locks:
        warehouse = PostgresWarehouse(opened.database, locks)
        yield Jobs(
            chosen=chosen,
            syncs=_given(warehouse, effects, stop),
            audits=_given(AuditedWarehouse(opened.database, locks), effects, stop),
            erasures=_given(PostgresForgetting(opened.database, locks), effects, stop),
            connector=Connector(settings, chosen, effects=effects, book=warehouse.allowances, waited=waited),
            settings=settings,
        )


def _given(warehouse: Warehouse, effects: Effects, stop: Event) -> Surroundings[Warehouse]:
    return Surroundings(
        warehouse=warehouse,
        clock=effects.clock,
        threads=effects.threads,
        watcher=Silence(),
        stop=stop,
        trigger=Trigger.WORKER,
    )


def _ended(outcome: Outcome) -> Ended:
    return Ended(code=outcome.error.exit_code if outcome.error else 0, error=outcome.error)
