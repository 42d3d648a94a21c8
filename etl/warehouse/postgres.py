"""The warehouse of syncs on Postgres, as `etl.runs.port.RunWarehouse` asks for it: locks, run rows, and what is held."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from threading import Event

from sqlalchemy import Select, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from etl.errors import AlreadyRunning, ConnectionFailed
from etl.model import JSON, OPEN_STATUSES
from etl.reading.walks.way import Held
from etl.records.rows import Draft
from etl.runs.account import Account
from etl.runs.state import StreamState
from etl.runs.terms import DueCall, Outcome, RunKind, RunStatus, Trigger
from etl.warehouse.allowances import Allowances
from etl.warehouse.database import Database, driver_of
from etl.warehouse.loading.binary_copy import encoded
from etl.warehouse.loading.fence import INSTANT
from etl.warehouse.loading.lookup import held_among
from etl.warehouse.loading.transaction import Page, counted, page_transaction, spans_of
from etl.warehouse.locks import Locks
from etl.warehouse.rollups.beside import make_calls_beside, make_people_beside
from etl.warehouse.rollups.remaking import remake
from etl.warehouse.tables import OPEN, calls, connections, rejected_records, runs, state

_LEARN_OF_ERASURES = text(
    "UPDATE sync.connections SET erasures = 1 WHERE connection = :connection AND erasures = 0 "
    "AND EXISTS (SELECT FROM sync.erasures)"
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
        with self._database.begin() as session:
            return (
                session.execute(select(connections.c.connection).where(connections.c.connection == connection)).first()
                is not None
            )

    def open_run(self, account: Account, *, kind: RunKind, trigger: Trigger) -> int:
        """Open a run as `RunRegister` says, with the run row inserted in a transaction of its own."""
        provider = account.provider
        return self.open_run_of(
            account.connection, provider.name, kind=kind, trigger=trigger, agents_are_people=provider.agents_are_people
        )

    def open_run_of(self, name: str, provider: str, *, kind: RunKind, trigger: Trigger, agents_are_people: bool) -> int:
        """Open a run of a connection that need not be configured any more."""
        held = select(connections.c.provider).where(connections.c.connection == name)
        with self._database.begin() as session:
            now, known = session.execute(select(INSTANT, held.scalar_subquery())).one()
            if known not in (None, provider):
                raise ConnectionFailed(
                    f"it holds calls of {known}, but is configured for {provider}.",
                    safe="Nothing was read or stored.",
                    hint="Give each account a connection name of its own.",
                )
            # We hold the lock, so no process is behind a run that still says `running`.
            session.execute(
                update(runs)
                .where(runs.c.connection == name, text("status = 'running'"))  # in the words of the index of running ones
                .values(status=RunStatus.CRASHED.value, finished_at=now)
            )
        with self._database.begin() as session:
            run_id = session.execute(
                insert(runs)
                .values(connection=name, kind=kind.value, trigger=trigger.value, status=RunStatus.RUNNING.value, started_at=now)
                .returning(runs.c.id)
            ).scalar_one()
        with self._database.begin() as session:
            session.execute(
                insert(connections)
                .values(connection=name, provider=provider, owner_run=run_id, agents_are_people=agents_are_people)
                .on_conflict_do_update(
                    index_elements=["connection"], set_={"owner_run": run_id, "agents_are_people": agents_are_people}
                )
            )
            rejects = select(rejected_records.c.record_key).where(
                rejected_records.c.connection == name, rejected_records.c.resolved_at.is_(None)
            )
            rejected = session.execute(rejects.limit(1)).first()
        with self._database.begin() as session:
            # Whether somebody was erased before this connection was known: asked when its row can be seen by who erases.
            session.execute(_LEARN_OF_ERASURES, {"connection": name})
        (self._with_rejects.add if rejected else self._with_rejects.discard)(name)
        return int(run_id)

    def close_run(self, run_id: int, *, outcome: Outcome) -> None:
        """Close a run as `RunRegister` says; if another run took over, it has marked this one, and nothing is changed."""
        error = outcome.error
        still = select(INSTANT).select_from(runs).where(runs.c.id == run_id, runs.c.status == RunStatus.RUNNING).with_for_update()
        with self._database.begin() as session:
            now = session.execute(still).scalar()
            if now is None:
                return
            session.execute(
                update(runs)
                .where(runs.c.id == run_id)
                .values(
                    status=outcome.status.value,
                    finished_at=now,
                    error_code=error.code if error else None,
                    error_message=str(error) if error else None,
                    **counted(outcome.counters),
                )
            )

    def remembered(self, connection: str) -> tuple[JSON, str | None]:
        columns = (connections.c.capabilities, connections.c.pinned_organization)
        with self._database.begin() as session:
            row = session.execute(select(*columns).where(connections.c.connection == connection)).one_or_none()
        if row is None:
            raise ConnectionFailed("it vanished from sync.connections while a run worked on it.")
        return row[0], row[1]

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
        with self._database.begin() as session:
            rows = session.execute(select(state).where(state.c.connection == connection)).all()
        return {
            row.stream: StreamState(
                start=None,
                coverage=spans_of(row.coverage),
                settled=spans_of(row.settled),
                horizon=row.horizon,
                closed_at=row.closed_at,
            )
            for row in rows
        }

    def newest(self, *, connection: str, stream: str, before: datetime | None, limit: int) -> tuple[Held, ...]:
        statement = _held(connection, stream).order_by(calls.c.cursor_at.desc(), calls.c.call_id).limit(limit)
        if before is not None:
            statement = statement.where(calls.c.cursor_at < before)
        with self._database.begin() as session:
            return tuple(Held(row.call_id, row.cursor_at) for row in session.execute(statement))

    def oldest(self, *, connection: str, stream: str, since: datetime, limit: int) -> tuple[Held, ...]:
        statement = _held(connection, stream).where(calls.c.cursor_at >= since).order_by(calls.c.cursor_at, calls.c.call_id)
        with self._database.begin() as session:
            return tuple(Held(row.call_id, row.cursor_at) for row in session.execute(statement.limit(limit)))

    def held_among(self, *, connection: str, stream: str, call_ids: Collection[str]) -> frozenset[str]:
        with self._database.begin() as session:
            return held_among(driver_of(session), connection, stream=stream, call_ids=call_ids)

    def position(self, *, connection: str, stream: str, instant: datetime) -> int:
        statement = select(func.count()).where(
            calls.c.connection == connection, calls.c.stream == stream, calls.c.cursor_at >= instant
        )
        with self._database.begin() as session:
            return int(session.execute(statement).scalar_one())

    def count(self, *, connection: str, stream: str) -> int:
        statement = select(func.count()).where(calls.c.connection == connection, calls.c.stream == stream)
        with self._database.begin() as session:
            return int(session.execute(statement).scalar_one())

    def due_calls(self, connection: str, *, now: datetime, limit: int, only_open: bool = False) -> tuple[DueCall, ...]:
        statement = (
            select(
                calls.c.stream,
                calls.c.call_id,
                calls.c.status,
                calls.c.cursor_at,
                calls.c.detail_failures,
                calls.c.detail_observed_at.is_not(None).label("has_detail"),
            )
            .where(calls.c.connection == connection, calls.c.detail_due_at <= now)
            .order_by(calls.c.cursor_at.desc(), calls.c.call_id)
            .limit(limit)
        )
        if only_open:  # in the words of the index of open calls
            statement = statement.where(text(f"status IN ({OPEN})"))
        with self._database.begin() as session:
            return tuple(
                DueCall(row.stream, row.call_id, row.status in OPEN_STATUSES, row.cursor_at, row.detail_failures, row.has_detail)
                for row in session.execute(statement)
            )

    def failing_details(self, connection: str) -> Mapping[str, int]:
        statement = (
            select(calls.c.stream, func.count().label("number"))
            .where(calls.c.connection == connection, text("detail_failures > 0"))  # in the words of their index
            .group_by(calls.c.stream)
            .order_by(calls.c.stream)
        )
        with self._database.begin() as session:
            return {row.stream: int(row.number) for row in session.execute(statement)}


def _held(connection: str, stream: str) -> Select[str, datetime]:
    return select(calls.c.call_id, calls.c.cursor_at).where(calls.c.connection == connection, calls.c.stream == stream)
