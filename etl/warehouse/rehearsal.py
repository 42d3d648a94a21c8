"""Knows how a run is rehearsed: everything is read and compared, nothing is written (`etl sync --dry-run`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, select

from etl.coverage import Spans
from etl.model import JSON, AgentRow, Record
from etl.runs.account import Account
from etl.runs.port import Due
from etl.runs.terms import DueCall, Loaded, Observed, Outcome, RunKind, Trigger
from etl.warehouse.database import Database
from etl.warehouse.loading.fence import INSTANT
from etl.warehouse.loading.prepared import NOTHING, Drafts
from etl.warehouse.loading.transaction import Page
from etl.warehouse.locks import Locks
from etl.warehouse.postgres import PostgresWarehouse


class Rehearsal(PostgresWarehouse):
    """A warehouse that runs can read and cannot write. The lock is taken all the same: two runs never share an allowance."""

    def __init__(self, database: Database, locks: Locks) -> None:
        super().__init__(database, locks)
        self._seen: set[tuple[str, str]] = set()

    def open_run(self, account: Account, *, kind: RunKind, trigger: Trigger) -> int:
        """Return a number that no run has."""
        return 0

    def close_run(self, run_id: int, connection: str, *, outcome: Outcome, request_log: JSON) -> None:
        """Leave no trace."""

    def remembered(self, connection: str) -> tuple[JSON, JSON, str | None]:
        """Return what is kept; nothing where the connection was never synced."""
        return super().remembered(connection) if self.is_known(connection) else ({}, {}, None)

    def due_calls(self, connection: str, *, now: datetime, limit: int) -> tuple[DueCall, ...]:
        """Return none: details say nothing about what a sync would bring that is worth their requests."""
        return ()

    def drafts(self, observed: Observed, account: Account, *, run_id: int, known: Collection[str]) -> Drafts:
        """Return none: nothing will be written."""
        return NOTHING

    @contextmanager
    def page(self, account: Account, *, run_id: int) -> Iterator[Page]:
        """Open a transaction that only reads."""
        with self._database.begin() as session:
            session.exec_driver_sql("SET TRANSACTION READ ONLY")
            now = session.execute(select(INSTANT)).scalar_one()
            yield _Page(session, account, run_id, now=now, seen=self._seen)


class _Page(Page):
    """
    A page that is compared with what is held, and with the pages before: nobody wrote what is new on them.

    It is never finished, so what it was given to save is forgotten.
    """

    def __init__(
        self, connection: Connection, account: Account, run_id: int, *, now: datetime, seen: set[tuple[str, str]]
    ) -> None:
        super().__init__(connection, account, run_id, now=now)
        self._seen = seen

    def load(self, observed: Observed, *, covered: Spans) -> Loaded:
        name = self._account.connection
        fresh = [record for record in observed.records if record.call_id is None or (name, record.call_id) not in self._seen]
        self._seen.update((name, record.call_id) for record in fresh if record.call_id is not None)
        return self._loader.compare(replace(observed, records=fresh), covered)

    def load_detail(self, *, stream: str, call_id: str, detail: Record, observed_at: datetime, due: Due) -> Loaded:
        return Loaded()

    def ask_for(self, call_ids: Collection[str], *, due_at: datetime) -> None:
        pass

    def bury(self, call_ids: Collection[str], *, gone_at: datetime) -> int:
        return 0

    def save_agents(self, rows: Sequence[AgentRow], *, observed_at: datetime) -> None:
        pass

    def close_agent(self, agent_id: str, *, observed_at: datetime) -> None:
        pass
