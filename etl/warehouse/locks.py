"""
Advisory locks that keep two runs off the same connection; all locks of a process are held by one database session.

A lock alone does not protect the data, since its session can be lost at any moment; the fence does. The lock makes a second run
answer "already running" at once, and it disappears by itself when a process stops or loses its network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import RLock
from types import TracebackType
from typing import Self

import psycopg
from psycopg import Connection as Session
from sqlalchemy import text

from etl.effects import Threads
from etl.errors import WarehouseError
from etl.warehouse.database import Database

_INTERVAL = timedelta(seconds=15)
_TIMEOUT = timedelta(seconds=60)
_TRY = b"SELECT pg_try_advisory_lock(hashtextextended('call-warehouse:' || %s, 0))"
_RELEASE = b"SELECT pg_advisory_unlock(hashtextextended('call-warehouse:' || %s, 0))"
_HOLDERS = text(
    """
    WITH wanted AS (SELECT hashtextextended('call-warehouse:' || CAST(:connection AS text), 0) AS key)
    SELECT pg_locks.pid
    FROM pg_locks, wanted
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid = ((key >> 32) & 4294967295)::oid AND objid = (key & 4294967295)::oid
    """
)


class Locks:
    """
    The locks of this process; safe to share between threads.

    The session is opened with the first lock. The server ends it after `timeout` without traffic, so a thread sends something
    every `interval`. If the session is lost, so are all locks: `held` is False, and the next `try_acquire` opens a new one.
    """

    def __init__(
        self, database: Database, threads: Threads, *, interval: timedelta = _INTERVAL, timeout: timedelta = _TIMEOUT
    ) -> None:
        """Nothing is connected until the first lock is taken."""
        self._database = database
        self._threads = threads
        self._interval = interval
        self._timeout = timeout
        self._guard = RLock()
        self._session: Session | None = None
        self._held: set[str] = set()
        self._end_beating: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether there is a session that is, as far as is known, still open at the server."""
        session = self._session
        return session is not None and not session.closed

    def try_acquire(self, connection: str) -> bool:
        """
        Take the lock of `connection` and return True; False where another run holds it, in this process or elsewhere.

        Raises WarehouseError where the database cannot be reached.
        """
        with self._guard:
            if self.held(connection) and self.beat():  # not so if the session was lost meanwhile
                return False
            was_alive = self.alive
            try:
                taken = self._taken(connection)
            except WarehouseError:
                if not was_alive or self.alive:
                    raise
                taken = self._taken(connection)  # the session had been lost meanwhile, and a new one is opened
            if taken:
                self._held.add(connection)
            return taken

    def release(self, connection: str) -> None:
        """Release the lock of `connection`; nothing happens if it is not held, or was lost with its session."""
        with self._guard:
            if not self.held(connection):
                return
            self._held.discard(connection)
            try:
                with self._using() as session:
                    _value(session, _RELEASE, connection)
            except WarehouseError:  # the lock is gone with its session, which was the aim
                self._lose()

    def held(self, connection: str) -> bool:
        """Whether this process holds the lock of `connection`, as far as the last `beat` showed."""
        return self.alive and connection in self._held

    def is_locked_elsewhere(self, connection: str) -> bool:
        """Whether another process holds the lock of `connection` now."""
        with self._guard:
            mine = self._session.info.backend_pid if self._session is not None and not self._session.closed else None
        with self._database.begin() as asking:
            return any(pid != mine for pid in asking.execute(_HOLDERS, {"connection": connection}).scalars())

    def beat(self) -> bool:
        """Send something over the session to keep it open; return whether it still is."""
        with self._guard:
            if not self.alive:
                return False
            try:
                with self._using() as session:
                    session.execute("SELECT 1")
            except WarehouseError:
                self._lose()
            return self.alive

    def close(self) -> None:
        """Release all locks and close the session; a server takes its time to notice that, so the locks go first."""
        with self._guard:
            for connection in tuple(self._held):
                self.release(connection)
            self._lose()
        if self._end_beating is not None:
            self._end_beating()

    def _taken(self, connection: str) -> bool:
        with self._using() as session:
            return bool(_value(session, _TRY, connection))

    @contextmanager
    def _using(self) -> Iterator[Session]:
        with self._database.translate():
            if self._session is None or self._session.closed:
                self._lose()
                self._session = self._open()
            try:
                yield self._session
            except psycopg.OperationalError:
                self._lose()
                raise

    def _open(self) -> Session:
        self._database.refuse_shared_sessions()
        session = self._database.session()
        milliseconds = f"{round(self._timeout / timedelta(milliseconds=1))}ms"
        session.execute("SELECT set_config('idle_session_timeout', %s, false)", (milliseconds,))
        if self._end_beating is None:
            self._end_beating = self._threads.repeat("locks", self.beat, every=self._interval)
        return session

    def _lose(self) -> None:
        self._held.clear()
        if self._session is not None:
            self._session.close()
            self._session = None


def _value(session: Session, statement: bytes, connection: str) -> object:
    row = session.execute(statement, (connection,)).fetchone()
    return None if row is None else row[0]
