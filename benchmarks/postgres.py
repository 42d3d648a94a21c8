"""Knows the database server that all lanes share: the program's own embedded one with its settings, a database for each lane."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import conninfo

from benchmarks.process import cpu_seconds
from etl import embedded
from etl.warehouse import schema
from etl.warehouse.database import Database

TEMPLATE = "benchmark_template"
SHOWN = (
    "server_version",
    "shared_buffers",
    "max_wal_size",
    "wal_compression",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "max_connections",
    "data_checksums",
    "autovacuum",
)
_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One lane's database: how SQLAlchemy (`url`), libpq (`conninfo`) and programs of other kinds reach it."""

    name: str
    socket: str
    user: str

    @property
    def url(self) -> str:
        """For `warehouse.url`, and for all that speak SQLAlchemy's language."""
        return f"postgresql+psycopg://{self.user}@/{self.name}?host={quote(self.socket, safe='')}"

    @property
    def uri(self) -> str:
        """
        The same in libpq's own language, the socket's folder in the place of the host.

        The server asks for no password, but some programs refuse to connect without one.
        """
        return f"postgresql://{self.user}:unasked@{quote(self.socket, safe='')}/{self.name}"

    @property
    def uri_by_parameter(self) -> str:
        """For programs that refuse an escaped host."""
        return f"postgresql://{self.user}@/{self.name}?host={self.socket}"

    @property
    def conninfo(self) -> str:
        """For psycopg."""
        return conninfo.make_conninfo(host=self.socket, user=self.user, dbname=self.name)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with psycopg.connect(self.conninfo, autocommit=True) as session:
            return session.execute(query.encode()).fetchall()

    def execute(self, statement: str) -> None:
        """Do something in the database."""
        with psycopg.connect(self.conninfo, autocommit=True) as session:
            session.execute(statement.encode())

    def number(self, query: str) -> int:
        """Ask the database for one number."""
        return int(self.ask(query)[0][0])

    def writes(self, *tables: str) -> int:
        """Return how many rows were ever inserted, updated or deleted in these tables."""
        names = ", ".join(f"'{table}'" for table in tables)
        return self.number(
            "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables "  # noqa: S608 - names of ours
            f"WHERE relname IN ({names}) AND schemaname = 'public'"
        )


class Postgres:
    """The running server."""

    def __init__(self, server: embedded.Server) -> None:
        parts = conninfo.conninfo_to_dict(server.conninfo)
        self._socket, self._user = str(parts["host"]), str(parts["user"])
        self.pid = server.pid
        self._admin = self.lane("template1")

    def lane(self, name: str) -> Lane:
        """Return how a database is reached."""
        return Lane(name=name, socket=self._socket, user=self._user)

    def has(self, database: str) -> bool:
        """Whether there is a database of this name."""
        return bool(self._admin.ask(f"SELECT FROM pg_database WHERE datname = '{database}'"))

    def execute(self, statement: str) -> None:
        """Do something to the server."""
        self._admin.execute(statement)

    @contextmanager
    def database(self, *, migrated: bool) -> Iterator[Lane]:
        """Make a database, with the warehouse's empty tables or with nothing in it, and drop it after the block."""
        name = f"lane_{next(_NUMBERS)}"
        if migrated:
            self._ensure_template()
        self.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE if migrated else 'template0'}")
        try:
            yield self.lane(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _ensure_template(self) -> None:
        if self.has(TEMPLATE):
            return
        self.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
        with Database(self.lane(TEMPLATE).url) as database:
            schema.migrate(database)

    def checkpoint(self) -> None:
        """Bring everything to disk, so that no lane pays for what the one before left to be written."""
        self.execute("CHECKPOINT")

    def wal_bytes(self) -> int:
        """Return how much write-ahead log was ever written."""
        return self._admin.number("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")

    def cpu(self) -> float:
        """Return the processor seconds of all the server's processes so far."""
        return cpu_seconds(self.pid)

    @contextmanager
    def counting(self, lane: Lane) -> Iterator[Callable[[], int]]:
        """Give what counts the sessions of a database, from one session elsewhere that stays open."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        with psycopg.connect(self._admin.conninfo, autocommit=True) as session:

            def count() -> int:
                row = session.execute(query, [lane.name]).fetchone()
                return row[0] if row else 0

            yield count

    def settings(self) -> dict[str, str]:
        """Return what the server is set to, as far as it matters here."""
        names = ", ".join(f"'{name}'" for name in SHOWN)
        return dict(self._admin.ask(f"SELECT name, current_setting(name) FROM pg_settings WHERE name IN ({names})"))  # noqa: S608


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """Start the program's embedded server for as long as the block lasts."""
    with embedded.server(data_dir=folder / "warehouse") as server:
        yield Postgres(server)
