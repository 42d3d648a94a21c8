"""Knows what tests of several rooms share: a Postgres server for the session, a warehouse of its own for each test."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import hypothesis
import pytest
import structlog

from etl import log
from etl.warehouse import schema
from etl.warehouse.database import Database
from tests.postgres import Server, create, drop, running, warehouse_at

# A failure prints how to repeat it, and no test depends on the speed of the machine.
hypothesis.settings.register_profile("project", deadline=None, print_blob=True)
hypothesis.settings.load_profile("project")

_NUMBERS = itertools.count(1)


@pytest.fixture(autouse=True)
def plain_log() -> Iterator[None]:
    """Take back what a test has configured of the log, whose stream ends with the test."""
    yield
    structlog.reset_defaults()
    log._in_use.clear()


# ── The server ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """Start a server on a private socket, and stop it with the session."""
    with running() as server:
        yield server


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
    url = create(server_url, name)
    with Database(url) as database:
        schema.migrate(database)
    yield name
    drop(server_url, name)


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    """Give the address of a database with nothing in it."""
    name = f"empty_{os.getpid()}_{next(_NUMBERS)}"
    yield create(server_url, name)
    drop(server_url, name)


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
    with Database(create(server_url, name, template=migrated_template)) as database:
        yield database
    drop(server_url, name)
