"""
Knows the real warehouse under simulated processes: one database, in which each process has sessions and locks of its own.

A statement of SQLAlchemy is an effect as well as a method of the warehouse; only what goes through the driver at once is not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import event

from etl.records.persons import Person
from etl.runs.state import StreamState
from etl.warehouse.audits import AuditedWarehouse
from etl.warehouse.database import Database, driver_of
from etl.warehouse.loading.transaction import spans_of
from etl.warehouse.locks import Locks
from etl.warehouse.postgres import PostgresWarehouse
from etl.warehouse.privacy import erasures
from etl.warehouse.privacy.forgetting import PostgresForgetting
from etl.warehouse.replay import PostgresReplay
from tests.inline import NoThreads
from tests.memory.erasing import KEY
from tests.simulation.pulse import Mortal, Pulse
from tests.simulation.underneath import Period, Process, Row
from tests.warehouse.rollups.looking import assert_exact

KINDS = {"sync": PostgresWarehouse, "audit": AuditedWarehouse, "replay": PostgresReplay, "forget": PostgresForgetting}

_TABLES = """
SELECT string_agg(quote_ident(schemaname) || '.' || quote_ident(tablename), ', ') FROM pg_tables
WHERE schemaname IN ('public', 'sync') AND tablename NOT IN ('alembic_version', 'account_key', 'salt')
"""
_TEXTS = """
SELECT string_agg(
    format('SELECT to_jsonb(t) ->> %%L AS call_id, t::text AS text FROM %%I.%%I t', 'call_id', schemaname, tablename),
    ' UNION ALL '
)
FROM pg_tables WHERE schemaname IN ('public', 'sync')
"""
_END = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid = %s"


class OnPostgres:
    """A warehouse in Postgres; `emptied` before each story."""

    def __init__(self, database: Database, connection: str) -> None:
        self._database = database
        database.erasure_key = KEY
        self._connection = connection
        self._pulses: list[Pulse] = []  # of the process at work, and of those that it interrupted
        self._locks: list[Locks] = []
        event.listen(database.engine, "before_cursor_execute", self._beat)

    def close(self) -> None:
        """Let go of the database."""
        event.remove(self._database.engine, "before_cursor_execute", self._beat)
        for locks in self._locks:
            locks.close()

    def _beat(self, *_: object) -> None:
        if self._pulses:
            self._pulses[-1].beat(within=True)

    @contextmanager
    def _unseen(self) -> Iterator[None]:
        """Look at the warehouse without being a part of any process."""
        pulses, self._pulses = self._pulses, []
        try:
            yield
        finally:
            self._pulses = pulses

    def _rows(self, query: str) -> list[Row]:
        with self._unseen(), self._database.begin() as session:
            found = session.exec_driver_sql(query, {"name": self._connection})
            return [dict(row) for row in found.mappings()]

    def process(self, pulse: Pulse, *, kind: str) -> Process:
        """See `Underneath.process`."""
        locks = Locks(self._database, NoThreads())
        self._locks.append(locks)
        self._pulses.append(pulse)
        return _OnPostgres(self, KINDS[kind](self._database, locks), locks, pulse)

    def register(self, people: Collection[Person], call_ids: Collection[str], *, pulse: Pulse) -> None:
        """See `Underneath.register`; its statements are the effects."""
        now = erasures.now_of(self._database)
        calls = [erasures.ErasedCall(self._connection, call_id, now) for call_id in call_ids]
        erasures.register(self._database, KEY, people=erasures.persons_to_erasures(KEY, people, at=now), calls=calls)

    def erased(self) -> frozenset[str]:
        """See `Underneath.erased`."""
        return frozenset(
            row["call_id"] for row in self._rows("SELECT call_id FROM sync.erased_calls WHERE connection = %(name)s")
        )

    def texts(self) -> Iterable[tuple[str | None, str]]:
        """See `Underneath.texts`."""
        (asked,) = self._rows(_TEXTS)
        return [(row["call_id"], row["text"]) for row in self._rows(asked["string_agg"].replace("%", "%%"))]

    def left(self, pulse: Pulse, locks: Locks) -> None:
        """Take note that a process is gone."""
        self._pulses.remove(pulse)
        self._locks.remove(locks)

    def end_session(self, locks: Locks) -> None:
        """End the session that holds a process's locks, as the server does with one that is silent, and wait until it has."""
        session = locks._session
        if session is None or session.closed:
            return
        with self._unseen(), self._database.begin() as asking:
            driver_of(asking).execute(_END, (session.info.backend_pid,))

    def cut_off(self) -> None:
        """See `Underneath.cut_off`."""
        for locks in self._locks:
            self.end_session(locks)

    def calls(self) -> Collection[Row]:
        """See `Underneath.calls`."""
        return self._rows("SELECT * FROM calls WHERE connection = %(name)s ORDER BY call_id")

    def states(self) -> Mapping[str, StreamState]:
        """See `Underneath.states`."""
        return {
            row["stream"]: StreamState(
                start=None,
                coverage=spans_of(row["coverage"]),
                settled=spans_of(row["settled"]),
                horizon=row["horizon"],
                closed_at=row["closed_at"],
            )
            for row in self._rows("SELECT * FROM sync.state WHERE connection = %(name)s")
        }

    def marks(self) -> Mapping[str, datetime | None]:
        """See `Underneath.marks`."""
        found = self._rows("SELECT stream, high_water_mark FROM sync.state WHERE connection = %(name)s")
        return {row["stream"]: row["high_water_mark"] for row in found}

    def history(self) -> Mapping[str, Sequence[Period]]:
        """See `Underneath.history`."""
        found: dict[str, list[Period]] = defaultdict(list)
        for row in self._rows(
            "SELECT call_id, valid_from, valid_to, deleted FROM call_history WHERE connection = %(name)s "
            "ORDER BY call_id, version"
        ):
            found[row["call_id"]].append(Period(row["valid_from"], row["valid_to"], row["deleted"]))
        return found

    def contradictions(self) -> str | None:
        """See `Underneath.contradictions`: every roll-up is what the calls say, and no child is without its call."""
        for table in ("call_participants", "call_messages", "call_events"):
            if self._rows(
                f"SELECT FROM {table} c WHERE connection = %(name)s AND NOT EXISTS "
                "(SELECT FROM calls WHERE calls.connection = c.connection AND calls.call_id = c.call_id) LIMIT 1"
            ):
                return f"{table} without their call"
        with self._unseen():
            try:
                assert_exact(self._database)
            except AssertionError as differs:
                return f"roll-ups are not what calls say: {str(differs)[:300]}"
        return None

    def delete(self, call_ids: Sequence[str]) -> None:
        """Delete calls as somebody does by mistake, past the program."""
        with self._unseen(), self._database.begin() as session:
            session.exec_driver_sql(
                "DELETE FROM calls WHERE connection = %(name)s AND call_id = ANY(%(ids)s)",
                {"name": self._connection, "ids": list(call_ids)},
            )


class _OnPostgres:
    def __init__(self, under: OnPostgres, warehouse: PostgresWarehouse, locks: Locks, pulse: Pulse) -> None:
        self._under = under
        self._locks = locks
        self._pulse = pulse
        self.warehouse: Any = Mortal(warehouse, pulse)
        self.book: Any = Mortal(warehouse.allowances, pulse)

    def killed(self) -> None:
        self._under.end_session(self._locks)

    def ended(self) -> None:
        self._under.left(self._pulse, self._locks)
        self._locks.close()


def emptied(database: Database) -> None:
    """Take everything out of a warehouse."""
    database.erased.clear()
    with database.begin() as session:
        tables = session.exec_driver_sql(_TABLES).scalar_one()
        session.exec_driver_sql(f"TRUNCATE {tables} RESTART IDENTITY")
