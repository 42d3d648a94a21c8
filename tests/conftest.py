"""Knows what tests of several rooms share: a Postgres server for the session, a warehouse of its own for each test."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import psycopg
import pytest
import structlog
from sqlalchemy import make_url

from etl import log
from etl.embedded.account import choose
from etl.embedded.binaries import find, for_account
from etl.warehouse import schema
from etl.warehouse.database import Database

# A failure prints how to repeat it, and no test depends on the speed of the machine.
hypothesis.settings.register_profile("project", deadline=None, print_blob=True)
hypothesis.settings.load_profile("project")

_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running Postgres server; `url` leads to its maintenance database as a superuser, `programs` is where its programs are."""

    url: str
    programs: Path


@pytest.fixture(autouse=True)
def plain_log() -> Iterator[None]:
    """Take back what a test has configured of the log, whose stream ends with the test."""
    yield
    structlog.reset_defaults()
    log._in_use.clear()


# ── The server ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """
    Start a server on a private socket, and stop it with the session.

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


# ── Databases on it ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> str:
    """Give the server to test on: the one that runs at the address in `ETL_TEST_SERVER`, else the session's own."""
    given = os.environ.get("ETL_TEST_SERVER")
    return given or str(request.getfixturevalue("postgres_server").url)


@pytest.fixture(scope="session")
def migrated_template(server_url: str) -> Iterator[str]:
    """Give the name of a migrated, empty database that others are copied from."""
    name = f"template_{os.getpid()}"
    url = _create(server_url, name)
    with Database(url) as database:
        schema.migrate(database)
    yield name
    _drop(server_url, name)


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    """Give the address of a database with nothing in it."""
    name = f"empty_{os.getpid()}_{next(_NUMBERS)}"
    yield _create(server_url, name)
    _drop(server_url, name)


@pytest.fixture
def database_url(server_url: str, migrated_template: str) -> Iterator[str]:
    """Give the address of an empty warehouse of the newest version, this test's own."""
    with warehouse_at(server_url, migrated_template) as url:
        yield url


@pytest.fixture
def empty_database(empty_database_url: str) -> Iterator[Database]:
    """Give a database with nothing in it."""
    with Database(empty_database_url) as database:
        yield database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Give an empty warehouse of the newest version, this test's own."""
    with Database(database_url) as database:
        yield database


@pytest.fixture(scope="session")
def shared_database(server_url: str, migrated_template: str) -> Iterator[Database]:
    """Give a warehouse of the newest version for tests that each use connections of their own in it."""
    name = f"shared_{os.getpid()}"
    with Database(_create(server_url, name, template=migrated_template)) as database:
        yield database
    _drop(server_url, name)


@contextmanager
def warehouse_at(server: str, template: str, name: str = "warehouse") -> Iterator[str]:
    """Give the address of an empty warehouse of the newest version, as long as it is used."""
    name = f"{name}_{os.getpid()}_{next(_NUMBERS)}"
    yield _create(server, name, template=template)
    _drop(server, name)


def _create(server: str, name: str, *, template: str = "template0") -> str:
    with psycopg.connect(server, autocommit=True) as session:
        session.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def _drop(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as session:
        session.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
