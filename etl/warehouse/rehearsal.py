"""The warehouse of a dry run (`etl sync --dry-run`): everything is read and compared, nothing is written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from threading import Event

from etl.model import AgentRow, Derived, DriftNote, Record
from etl.records.rows import NOTHING, Draft, Rewrite
from etl.runs.account import Account
from etl.runs.port import KeptVersion, RejectText, Remembered
from etl.runs.terms import Compared, DueCall, Outcome, Reject, RunKind, Trigger
from etl.warehouse.database import Database
from etl.warehouse.loading.erasing import Erasing, shield_of
from etl.warehouse.loading.fence import look
from etl.warehouse.loading.transaction import Page
from etl.warehouse.locks import Locks
from etl.warehouse.postgres import PostgresWarehouse


class Rehearsal(PostgresWarehouse):
    """A warehouse that never writes, but for the requests that it costs: locks are taken, and the account's allowance is kept."""

    def __init__(self, database: Database, locks: Locks) -> None:
        super().__init__(database, locks)
        self._seen: set[tuple[str, str]] = set()

    def open_run(self, account: Account, *, kind: RunKind, trigger: Trigger) -> int:
        """Return an id that no run has."""
        return 0

    def close_run(self, run_id: int, *, outcome: Outcome) -> None:
        """Write nothing."""

    def remake(self, account: Account, *, run_id: int, stop: Event) -> None:
        """Make nothing."""

    def remake_calls(self, account: Account, *, run_id: int, written: int) -> int:
        """Make nothing, and say so."""
        return 0

    def remake_people(self, account: Account, *, run_id: int, written: int) -> int:
        """Make nothing, and say so."""
        return 0

    def remembered(self, connection: str) -> Remembered:
        """Return what is stored, or nothing if the connection was never synced."""
        return super().remembered(connection) if self.is_known(connection) else Remembered({}, None, {})

    def due_calls(self, connection: str, *, now: datetime, limit: int, only_open: bool = False) -> tuple[DueCall, ...]:
        """Return none: a preview of what a sync would bring is not worth the requests for details."""
        return ()

    def encoded(self, draft: Draft) -> Draft:
        """Return the empty draft, so that every record is looked up, even those expected to be new."""
        return NOTHING

    @contextmanager
    def page(self, account: Account, *, run_id: int) -> Iterator[Page]:
        """Open a read-only transaction."""
        with self._database.begin() as session:
            session.exec_driver_sql("SET TRANSACTION READ ONLY")
            standing = look(session, account.connection)
            shield = shield_of(self._database, session, account.connection, standing)
            page = _Page(session, account, run_id, now=standing.now, shield=shield)
            page.seen = self._seen
            yield page


class _Erasing(Erasing):
    """Records are compared as they would be cut; nothing is cut of what is held."""

    def note_erased(self, call_ids: Collection[str]) -> None:
        pass

    def rewrite(self, rewrites: Sequence[Rewrite]) -> frozenset[str]:
        return frozenset()

    def rewrite_versions(self, versions: Sequence[KeptVersion]) -> None:
        pass

    def rewrite_rejects(self, rejects: Sequence[tuple[RejectText, str, str]]) -> None:
        pass


class _Page(Page):
    """
    A page that is compared with what is held and with the pages before, whose new calls were not written.

    It is never finished, so what it is given to save is dropped.
    """

    seen: set[tuple[str, str]]
    erasing_as = _Erasing

    def compare(self, records: Sequence[Record], *, stream: str, observed_at: datetime) -> Compared:
        fresh = [record for record in records if (self._account.connection, record.call_id) not in self.seen]
        self.seen.update((self._account.connection, record.call_id) for record in fresh if record.call_id is not None)
        return super().compare(fresh, stream=stream, observed_at=observed_at)

    def copy(self, draft: Draft) -> bool:
        return True

    def insert(self, entries: Sequence[Derived]) -> frozenset[str]:
        return frozenset()

    def update(self, entries: Sequence[Derived]) -> frozenset[str]:
        return frozenset()

    def note(self, *, stream: str, rejects: Sequence[Reject], drift: Mapping[DriftNote, int], observed_at: datetime) -> None:
        pass

    def ask_for(self, call_ids: Collection[str], *, due_at: datetime | None) -> None:
        pass

    def bury(self, call_ids: Collection[str], *, gone_at: datetime) -> int:
        return 0

    def save_agents(self, rows: Sequence[AgentRow], *, observed_at: datetime) -> None:
        pass

    def close_agent(self, agent_id: str, *, observed_at: datetime) -> None:
        pass
