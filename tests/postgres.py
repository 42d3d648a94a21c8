"""Knows a Postgres server to try things on, and how databases on it are made, copied and dropped."""

from __future__ import annotations

import itertools
import os
import shutil
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
_MEMORY = "/dev/shm"  # noqa: S108 - a folder of one's own is made there
_ROOM = 4 * 2**30


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
    with (
        tempfile.TemporaryDirectory(prefix="etl-", ignore_cleanup_errors=True) as name,
        tempfile.TemporaryDirectory(prefix="etl-", ignore_cleanup_errors=True, dir=_in_memory()) as place,
    ):
        home = Path(name)
        account.give(home)
        account.give(Path(place))
        programs = for_account(find(Path(given) if given else None, wanted=None), account, keep_in=home / "programs").folder
        data = Path(place) / "data"

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


def _in_memory() -> str | None:
    """Where files stay in memory, if there is room: a database of a thousand files is then made in a fifth of the time."""
    try:
        return _MEMORY if shutil.disk_usage(_MEMORY).free >= _ROOM and os.access(_MEMORY, os.W_OK) else None
    except OSError:
        return None


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
