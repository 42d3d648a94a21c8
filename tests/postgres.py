"""Knows a Postgres server to try things on, and how databases on it are made, copied and dropped."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from etl.embedded.account import choose
from etl.embedded.binaries import find, for_account

_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running Postgres server; `url` leads to its maintenance database as a superuser, `programs` is where its programs are."""

    url: str
    programs: Path


@contextmanager
def running() -> Iterator[Server]:
    """
    Start a server on a private socket, as long as it is used.

    Its programs are those in the folder that `ETL_TEST_POSTGRES` names, else the newest that the wheel carries.
    """
    account = choose("nobody" if os.geteuid() == 0 else None, owner=None)  # the server refuses to run as root
    given = os.environ.get("ETL_TEST_POSTGRES")
    with tempfile.TemporaryDirectory(prefix="etl-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        account.give(home)
        programs = for_account(find(Path(given) if given else None, wanted=None), account, keep_in=home / "programs").folder
        data = home / "data"

        def run(*command: str) -> None:
            with (home / "told").open("a") as told:
                assert account.run(command, cwd=home, log=told.fileno()).returncode == 0, (home / "told").read_text()

        run(str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
        control = (str(programs / "pg_ctl"), "-D", str(data), "-w", "-t", "300", "-l", str(home / "log"))
        run(*control, "-o", f"-c listen_addresses= -k {home} -c fsync=off", "start")
        try:
            yield Server(url=f"postgresql://postgres@/postgres?host={home}", programs=programs)
        finally:
            run(*control, "-m", "immediate", "stop")


@contextmanager
def warehouse_at(server: str, template: str, name: str = "warehouse") -> Iterator[str]:
    """Give the address of an empty warehouse of the newest version, as long as it is used."""
    name = f"{name}_{os.getpid()}_{next(_NUMBERS)}"
    yield create(server, name, template=template)
    drop(server, name)


def create(server: str, name: str, *, template: str = "template0") -> str:
    """Make a database, and return its address."""
    with psycopg.connect(server, autocommit=True) as session:
        session.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def drop(server: str, name: str) -> None:
    """Drop a database, whoever is in it."""
    with psycopg.connect(server, autocommit=True) as session:
        session.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
