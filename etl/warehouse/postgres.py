"""The warehouse of syncs on Postgres, as `etl.runs.port.RunWarehouse` asks for it: locks, run rows, and what is held."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import starmap
from threading import Event
from typing import Any, LiteralString

from psycopg import Connection as Session

from etl.errors import AlreadyRunning, ConnectionFailed
from etl.model import OPEN_STATUSES
from etl.reading.walks.way import Held
from etl.records.rows import Draft
from etl.runs.account import Account
from etl.runs.port import Remembered
from etl.runs.state import StreamState
from etl.runs.terms import DueCall, Outcome, RunKind, RunStatus, Trigger
from etl.warehouse.allowances import Allowances
from etl.warehouse.database import Database
from etl.warehouse.loading.binary_copy import encoded
from etl.warehouse.loading.fence import NOW
from etl.warehouse.loading.lookup import held_among
from etl.warehouse.loading.transaction import Page, counted, page_transaction, spans_of
from etl.warehouse.locks import Locks
from etl.warehouse.rollups.beside import make_calls_beside, make_people_beside
from etl.warehouse.rollups.remaking import remake
from etl.warehouse.run_statements import (
    CLOSE_RUN,
    COUNT,
    CRASHED,
    DUE,
    FAILING,
    FOUND,
    IS_KNOWN,
    LEARN_OF_ERASURES,
    NEWEST,
    NEWEST_BEFORE,
    OLDEST,
    OPEN_DUE,
    OPEN_RUN,
    OWN,
    POSITION,
    REMEMBERED,
    STANDS,
    STREAMS,
)


class PostgresWarehouse:
    """Implements `RunWarehouse`, whose methods are documented there. Shared by the threads that sync connections."""

    def __init__(self, database: Database, locks: Locks) -> None:
        self._database = database
        self._locks = locks
        self.allowances = Allowances(database, locks)
        self._with_rejects: set[str] = set()  # the connections that have had open rejects since their run began
        self._agents: dict[str, frozenset[str]] = {}  # by connection, the agents that are known to have a row

    def acquire(self, connection: str) -> None:
        if not self._locks.try_acquire(connection):
            raise AlreadyRunning(
                "another run is working on it.",
                safe="Nothing was touched.",
                hint="Wait for it to end (`etl runs` shows it).",
            )

    def release(self, connection: str) -> None:
        self._locks.release(connection)

    def is_known(self, connection: str) -> bool:
        with self._database.plain() as session:
            return session.execute(IS_KNOWN, (connection,)).fetchone() is not None

    def open_run(self, account: Account, *, kind: RunKind, trigger: Trigger) -> int:
        """Open a run as `RunRegister` says, with the run row inserted in a transaction of its own."""
        provider = account.provider
        return self.open_run_of(
            account.connection, provider.name, kind=kind, trigger=trigger, agents_are_people=provider.agents_are_people
        )

    def open_run_of(self, name: str, provider: str, *, kind: RunKind, trigger: Trigger, agents_are_people: bool) -> int:
        """Open a run of a connection that need not be configured any more."""
        with self._database.plain() as session:
            now, known, is_running = _row(session, STANDS, (name, name))
            if known not in (None, provider):
                raise ConnectionFailed(
                    f"it holds calls of {known}, but is configured for {provider}.",
                    safe="Nothing was read or stored.",
                    hint="Give each account a connection name of its own.",
                )
            if is_running:  # and no process is behind it, since we hold the lock
                session.execute(CRASHED, (now, name))
            (run_id,) = _row(session, OPEN_RUN, (name, kind.value, trigger.value, now))
            self._database.servers.begin(run_id, session)
            session.execute(OWN, (name, provider, run_id, agents_are_people))
            # Asked when its row can be seen by who erases: whether somebody was erased before this connection was known.
            rejected, is_to_learn = _row(session, FOUND, (name,))
            if is_to_learn:
                session.execute(LEARN_OF_ERASURES, (name,))
        (self._with_rejects.add if rejected else self._with_rejects.discard)(name)
        return int(run_id)

    def close_run(self, run_id: int, *, outcome: Outcome) -> None:
        """
        Close a run as `RunRegister` says; if another run took over, it has marked this one, and nothing is changed.

        It has failed if another server has taken over since: its last pages may be gone with the old one.
        """
        servers = self._database.servers
        try:
            with self._database.plain() as session:
                if outcome.error is None and (changed := servers.changed(run_id, session)):
                    outcome.status, outcome.error = RunStatus.FAILED, changed.of(outcome.connection)
                error = outcome.error
                told = (outcome.status.value, error.code if error else None, str(error) if error else None)
                (now,) = _row(session, NOW)
                session.execute(CLOSE_RUN, (now, *told, *counted(outcome.counters).values(), run_id))
        finally:
            servers.end(run_id)

    def remembered(self, connection: str) -> Remembered:
        with self._database.plain() as session:
            rows = session.execute(REMEMBERED, (connection,)).fetchall()
        if not rows:
            raise ConnectionFailed("it vanished from sync.connections while a run worked on it.")
        capabilities, pinned, *_ = rows[0]
        return Remembered(capabilities, pinned, _streams(row[2:] for row in rows if row[2] is not None))

    def encoded(self, draft: Draft) -> Draft:
        """Encode a draft as `RunWarehouse` says, without its rows, to free their memory while the draft waits."""
        return replace(draft, rows=(), encoded=encoded(draft)) if draft.records else draft

    @contextmanager
    def page(self, account: Account, *, run_id: int) -> Iterator[Page]:
        """Begin a page as `RunWarehouse` says; if the connection has open rejects, those that came right are resolved too."""
        with page_transaction(self._database, account, run_id, Page) as page:
            page.known_agents = self._agents.get(account.connection, frozenset())
            yield page
            if page.met_rejects:
                self._with_rejects.add(account.connection)
            if account.connection in self._with_rejects:
                page.resolve_rejects()
        self._agents[account.connection] = page.known_agents | page.named_agents

    def remake(self, account: Account, *, run_id: int, stop: Event) -> None:
        remake(self._database, account.connection, run_id, stop=stop)

    def remake_calls(self, account: Account, *, run_id: int, written: int) -> int:
        return make_calls_beside(self._database, account.connection, run_id, written=written)

    def remake_people(self, account: Account, *, run_id: int, written: int) -> int:
        return make_people_beside(self._database, account.connection, run_id, written=written)

    def streams(self, connection: str) -> dict[str, StreamState]:
        with self._database.plain() as session:
            return _streams(session.execute(STREAMS, (connection,)).fetchall())

    def newest(self, *, connection: str, stream: str, before: datetime | None, limit: int) -> tuple[Held, ...]:
        asked = (NEWEST, (connection, stream, limit)) if before is None else (NEWEST_BEFORE, (connection, stream, before, limit))
        with self._database.plain() as session:
            return tuple(starmap(Held, session.execute(*asked).fetchall()))

    def oldest(self, *, connection: str, stream: str, since: datetime, limit: int) -> tuple[Held, ...]:
        with self._database.plain() as session:
            return tuple(starmap(Held, session.execute(OLDEST, (connection, stream, since, limit)).fetchall()))

    def held_among(self, *, connection: str, stream: str, call_ids: Collection[str]) -> frozenset[str]:
        with self._database.plain() as session:
            return held_among(session, connection, stream=stream, call_ids=call_ids)

    def position(self, *, connection: str, stream: str, instant: datetime) -> int:
        with self._database.plain() as session:
            (number,) = _row(session, POSITION, (connection, stream, instant))
        return int(number)

    def count(self, *, connection: str, stream: str) -> int:
        with self._database.plain() as session:
            (number,) = _row(session, COUNT, (connection, stream))
        return int(number)

    def due_calls(self, connection: str, *, now: datetime, limit: int, only_open: bool = False) -> tuple[DueCall, ...]:
        with self._database.plain() as session:
            rows = session.execute(OPEN_DUE if only_open else DUE, (connection, now, limit)).fetchall()
        return tuple(
            DueCall(stream, call_id, status in OPEN_STATUSES, cursor, failures, has_detail)
            for stream, call_id, status, cursor, failures, has_detail in rows
        )

    def failing_details(self, connection: str) -> Mapping[str, int]:
        with self._database.plain() as session:
            return {stream: int(number) for stream, number in session.execute(FAILING, (connection,)).fetchall()}


def _streams(rows: Iterable[tuple[Any, ...]]) -> dict[str, StreamState]:
    return {
        stream: StreamState(
            start=None, coverage=spans_of(coverage), settled=spans_of(settled), horizon=horizon, closed_at=closed_at
        )
        for stream, coverage, settled, horizon, closed_at in rows
    }


def _row(session: Session, statement: LiteralString, values: tuple[object, ...] = ()) -> tuple[Any, ...]:
    row = session.execute(statement, values).fetchone()
    if row is None:
        raise LookupError("the database returned no row where there always is one")
    return row
