"""
The connection to the database: the engine, the settings of every session, the requirements on the server.

Its address is read in `etl.warehouse.address`, what its errors mean stands in `etl.warehouse.failures`,
the locks in `etl.warehouse.locks`, the tables in `etl.warehouse.schema`.
"""

from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from time import monotonic
from types import TracebackType
from typing import Self

import psycopg
from psycopg import Connection as Session
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool

from etl.errors import WarehouseError
from etl.log import Logger
from etl.records.shield import Shield
from etl.warehouse.address import parse_url, shown
from etl.warehouse.failures import InTheWay, Locked, NotAllowed, SchemaMissing, TakesNoWrites, translated
from etl.warehouse.requirements import refuse_unfit
from etl.warehouse.rights import explained, no_writes, require_rights
from etl.warehouse.servers import Servers
from etl.warehouse.sessions import are_shared_out, privacy_of, set_up
from etl.warehouse.waiting import Blocker, blockers_of, name_blockers

log = Logger(__name__)

_PATIENCE = timedelta(seconds=10)
_FRESH = 1.0  # seconds; a session that was in use so recently is taken to be alive, unless it has news
_SELECTOR = getattr(selectors, "PollSelector", selectors.SelectSelector)
"""What is made quickest for one look at one session; Windows has no other."""
KEPT_OF = 6
"""Of so many sessions of the pool, one may be kept for statements that are transactions by themselves."""

_LIBPQ = {
    "application_name": "call-warehouse",
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",  # milliseconds
    "client_encoding": "utf8",
}


class Database:
    """
    One database, reached through a bounded pool of sessions; safe to share between threads.

    Every session has what it relies on set for itself (`etl.warehouse.sessions`): `public` alone on its search path, times in
    UTC, the isolation level, the forms of values, no timeout of statements.
    The methods raise `WarehouseError`; whoever uses `engine` directly does so inside `translate()`.
    """

    def __init__(
        self,
        url: str,
        *,
        sessions: int = 10,
        patience: timedelta = _PATIENCE,
        called: str | None = None,
        erasure_key: bytes | None = None,
    ) -> None:
        """
        Nothing is connected yet. At most `sessions` are open at once; each may take `patience` to connect.

        `called` is what messages say in the place of an address that nobody has written. `erasure_key` is what tells pages who
        was erased (`etl.warehouse.loading.erasing`), and `erased` what they have read of that, by connection. `servers` is told
        by runs at which server they began.
        """
        self.erasure_key = erasure_key
        self.erased: dict[str, tuple[int, Shield]] = {}
        self._url = parse_url(url)
        self._address = called or shown(self._url)
        self.servers = Servers(self._address)
        self._arguments = {"connect_timeout": str(max(2, round(patience.total_seconds()))), **_LIBPQ}
        for given in self._url.query:
            self._arguments.pop(given, None)
        self._direct = False
        self._processes: set[int] = set()
        self._waited_for: tuple[Blocker, ...] = ()
        self._kept: deque[tuple[PoolProxiedConnection, float]] = deque()  # sessions in autocommit, and since when they are idle
        self._most_kept = sessions // KEPT_OF
        self._engine = create_engine(
            self._url,
            connect_args=self._arguments,
            pool_size=sessions,
            max_overflow=0,
            pool_timeout=patience.total_seconds(),
            pool_use_lifo=True,  # the session used last has its statements prepared
            hide_parameters=True,  # the parameters of a statement are personal data
        )
        event.listen(self._engine, "connect", self._set_up, insert=True)  # runs before the engine asks for the default schema
        event.listen(self._engine, "connect", self._note_process)
        event.listen(self._engine, "close", self._forget_process)
        event.listen(self._engine, "checkin", _note_idle)
        event.listen(self._engine, "checkout", _ping_if_doubtful)

    def __repr__(self) -> str:
        return f"Database({self.address!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def address(self) -> str:
        """How messages name it: the address without its password or anything else that may be one."""
        return self._address

    @property
    def url(self) -> str:
        """The complete address with its password: to be handed to a program, never shown."""
        return self._url.render_as_string(hide_password=False)

    @property
    def engine(self) -> Engine:
        """The engine, for use inside `translate()`."""
        return self._engine

    @contextmanager
    def translate(self) -> Iterator[None]:
        """Turn every error of the database or its driver inside the block into a `WarehouseError` that says what helps."""
        try:
            with translated(self.address):
                yield
        except WarehouseError as error:
            if error.explained:  # by a block inside this one
                raise
            found = self._explained(error)
            found.explained = True
            raise found from error.__cause__

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction that commits at the end of the block and rolls back on an exception."""
        with self.translate(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """Open a session in which every statement is its own transaction."""
        with self.translate(), self._engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def plain(self) -> Iterator[Session]:
        """
        Lend a session of the pool as the driver has it, in which every statement is a transaction of its own.

        For the few statements of every run: SQLAlchemy takes several times as long to hand one over as the driver to send it.
        """
        with self.translate():
            lent = self._lent()
            try:
                yield _driver(lent.driver_connection)
            except BaseException:
                lent.invalidate()  # nobody knows in which state it is
                lent.close()
                raise
            if len(self._kept) < self._most_kept:
                self._kept.append((lent, monotonic()))
            else:
                _give_back(lent)

    def _lent(self) -> PoolProxiedConnection:
        """Return a session in autocommit: one that was kept from the last time, as long as it lives, else one of the pool."""
        while self._kept:
            with suppress(IndexError):  # another thread took it
                lent, kept_at = self._kept.pop()
                if _is_alive(_driver(lent.driver_connection), idle=monotonic() - kept_at):
                    return lent
                lent.invalidate()
                lent.close()
        lent = self._engine.raw_connection()
        _driver(lent.driver_connection).autocommit = True
        return lent

    def session(self) -> Session:
        """
        Open a session of its own, outside the pool, in autocommit: for locks.

        The caller closes it, and uses it inside `translate()`.
        """
        with self.translate():
            opened = self._connect()
            set_up(opened)
            return opened

    def _connect(self) -> Session:
        arguments, options = self._engine.dialect.create_connect_args(self._url)
        return Session.connect(*arguments, **{**options, **self._arguments}, autocommit=True)

    def look_at_waits(self) -> tuple[Blocker, ...]:
        """
        Return who holds a lock that sessions of the pool wait for now, and remember it for the error, should they wait in vain.

        To be called every few seconds while others work; where it cannot look, nobody is seen.
        """
        if not isinstance(self._engine.pool, QueuePool) or self._engine.pool.checkedout() <= len(self._kept):
            return ()
        try:
            with self.plain() as asking:
                found = blockers_of(self._processes.copy(), asking=asking)
        except WarehouseError:
            return ()
        if found and found != self._waited_for:
            log.warning("lock.waited_for", held_by=[str(one) for one in found])
        self._waited_for = found or self._waited_for
        return found

    def _explained(self, error: WarehouseError) -> WarehouseError:
        if isinstance(error, Locked):
            return name_blockers(error, self._waited_for, self.address)
        if isinstance(error, NotAllowed | SchemaMissing | TakesNoWrites | InTheWay):
            # In a session of its own, in which nothing was refused yet; where none can be had, the error stands as it is.
            with suppress(psycopg.Error), self._connect() as asking:
                return explained(error, asking=asking, address=self.address)
        return error

    def _set_up(self, session: Session, _record: ConnectionPoolEntry) -> None:
        session.autocommit = True
        set_up(session)
        self.servers.meet(session)
        session.autocommit = False

    def _note_process(self, session: Session, record: ConnectionPoolEntry) -> None:
        self._processes.add(session.info.backend_pid)
        record.info["process"] = session.info.backend_pid

    def _forget_process(self, _session: Session, record: ConnectionPoolEntry | None) -> None:
        if record is not None:  # a session that is closed already cannot be asked
            self._processes.discard(record.info.pop("process", 0))

    def close(self) -> None:
        """Close the sessions of the pool that are not in use."""
        with suppress(IndexError):
            while True:
                _give_back(self._kept.pop()[0])
        self._engine.dispose()

    def check_server(self) -> None:
        """
        Check that the server can hold the warehouse.

        Raises WarehouseError where it cannot be reached, is older than PostgreSQL 14, stores text in another encoding than
        UTF-8, is read-only, or is behind a proxy that assigns sessions per transaction.
        """
        with self.autocommit() as connection:
            version, encoding, standby, read_only = connection.execute(
                text(
                    "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), pg_is_in_recovery(),"
                    " current_setting('transaction_read_only') = 'on'"
                )
            ).one()
        if read_only:
            with self.session() as asking, self.translate():
                if found := no_writes(asking, self.address):
                    raise found
        refuse_unfit(self.address, version=version, encoding=encoding, standby=standby, read_only=read_only)
        self.refuse_shared_sessions()

    def privacy(self) -> str:
        """Return whether a session is encrypted, in words, and at which of several hosts it ended."""
        with self.session() as asking, self.translate():
            told = privacy_of(asking)
            several = "," in str(self._url.query.get("host", ""))
            return f"{told}, now at {asking.info.host}:{asking.info.port}" if several else told

    def require_rights(self, *, to_change: bool) -> None:
        """
        Raise WarehouseError, with the statements that help, where the role lacks rights, or somebody's objects are in the way.

        `to_change`: also what `etl migrate` needs.
        """
        with self.session() as asking, self.translate():
            require_rights(asking, self.address, to_change=to_change)

    def refuse_shared_sessions(self) -> None:
        """
        Raise WarehouseError behind a proxy that assigns sessions per transaction, where locks and settings would not hold.

        Nothing is set in a session before that is known, since the proxy would hand the setting on to others. Whoever writes
        asks first; the answer is remembered.
        """
        if self._direct:
            return
        with self.translate():
            self._direct = not are_shared_out(self._connect)
        if not self._direct:
            raise WarehouseError(
                f"Between this program and {self.address} stands a proxy that shares sessions out by the transaction.",
                safe="Nothing was changed.",
                hint="Locks would not hold through it: set warehouse.url to the server itself, or to a pool in session mode.",
            )


def driver_of(connection: Connection) -> Session:
    """Return the psycopg connection under an SQLAlchemy one, for COPY and for the statements of every page."""
    return _driver(connection.connection.driver_connection)


def _driver(session: object) -> Session:
    if not isinstance(session, Session):
        raise TypeError("the warehouse is reached through psycopg")
    return session


def _note_idle(_session: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
    record.info["idle_since"] = monotonic()


def _ping_if_doubtful(session: Session, record: ConnectionPoolEntry, _proxy: object) -> None:
    """
    Make the pool replace a session that died while it was not used.

    The server is only asked if the session was idle for a while, or has unread input (a notice that it was closed, say). Asking
    before every page would cost a round trip each time.
    """
    if not _is_alive(session, idle=monotonic() - record.info.get("idle_since", monotonic())):
        raise DisconnectionError


def _is_alive(session: Session, *, idle: float) -> bool:
    try:
        if session.closed or idle >= _FRESH or _has_news(session):
            session.execute("")
            session.rollback()
    except psycopg.Error:
        return False
    return True


def _give_back(lent: PoolProxiedConnection) -> None:
    _driver(lent.driver_connection).autocommit = False
    lent.close()


def _has_news(session: Session) -> bool:
    with _SELECTOR() as sockets:
        sockets.register(session, selectors.EVENT_READ)
        return bool(sockets.select(0))
