"""
Knows the cluster that tests of a distributed warehouse run on: Citus, whose coordinator `ETL_TEST_CITUS_URL` names.

The coordinator has its workers already (`citus_add_node`), and the role is a superuser on each of them, without a password.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import make_url, text

from etl.warehouse import schema
from etl.warehouse.database import Database
from etl.warehouse.distributing import distribute
from etl.warehouse.tables import METADATA

ASKED_FOR = "ETL_TEST_CITUS_URL"
KEPT = ("account_key", "salt")
"""Tables whose one row a migration makes."""

_NODES = "SELECT nodename, nodeport, groupid = 0 FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid"


class Cluster:
    """The nodes of a Citus cluster, the coordinator first."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql")
        with self._session(self._url.database or "postgres", None) as session:
            nodes = [(str(host), int(port)) for host, port, leads in session.execute(_NODES).fetchall() if not leads]
        assert nodes, f"the coordinator that {ASKED_FOR} names has no worker"
        self._nodes = [None, *nodes]

    def url(self, name: str) -> str:
        """Return the coordinator's address of a database."""
        return self._url.set(database=name).render_as_string(hide_password=False)

    def create(self, name: str, *, extension: bool = True) -> str:
        """Make an empty database on every node, joined to a cluster, and return its address."""
        self.drop(name)
        for node in self._nodes:
            self._alone(node, f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'")
            if extension:
                with self._session(name, node) as session:
                    session.execute("CREATE EXTENSION citus")
        if extension:
            with self._session(name, None) as session:
                session.execute(
                    "SELECT citus_set_coordinator_host(%s, %s)", (self._url.host or "localhost", self._url.port or 5432)
                )
                for host, port in self._nodes[1:]:
                    session.execute("SELECT citus_add_node(%s, %s)", (host, port))
                session.execute(f'ALTER DATABASE "{name}" SET citus.shard_count TO 4')
        return self.url(name)

    def drop(self, name: str) -> None:
        """Remove a database from every node."""
        for node in self._nodes:
            self._alone(node, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _alone(self, node: tuple[str, int] | None, statement: str) -> None:
        with self._session("postgres", node) as session:
            session.execute("SET citus.enable_create_database_propagation TO off")
            session.execute(statement)

    def _session(self, name: str, node: tuple[str, int] | None) -> psycopg.Connection:
        url = self._url.set(database=name)
        if node is not None:
            url = url.set(host=node[0], port=node[1])
        return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """Give the cluster, or skip the test where there is none."""
    given = os.environ.get(ASKED_FOR)
    if not given:
        pytest.skip(f"{ASKED_FOR} names no coordinator of a Citus cluster")
    return Cluster(given)


@pytest.fixture(scope="session")
def distributed(cluster: Cluster) -> Iterator[str]:
    """Give the address of a distributed warehouse that tests use one after the other."""
    name = f"distributed_{os.getpid()}"
    with Database(cluster.create(name)) as database:
        schema.migrate(database)
        distribute(database)
        yield database.url
    cluster.drop(name)


@pytest.fixture
def database_url(distributed: str) -> str:
    """Give the address of an empty, distributed warehouse, in the place of one on a single server."""
    with Database(distributed) as database, database.begin() as connection:
        ours = [f"{one.schema or 'public'}.{one.name}" for one in METADATA.sorted_tables if one.name not in KEPT]
        schema.in_sequence(connection)
        connection.execute(text(f"TRUNCATE {', '.join(ours)}"))
        connection.execute(text("SELECT setval(pg_get_serial_sequence('sync.runs', 'id'), 1, false)"))
        if schema.zone_of(connection) != "UTC":
            schema.replace_reporting_timezone(connection, "UTC")
    return distributed


@pytest.fixture
def empty_database_url(cluster: Cluster) -> Iterator[str]:
    """Give the address of a database on the cluster with nothing in it."""
    name = f"empty_{os.getpid()}"
    yield cluster.create(name)
    cluster.drop(name)


@pytest.fixture
def shared_database(database: Database) -> Database:
    """Give the warehouse to tests that would share one."""
    return database


@pytest.fixture
def server_url(cluster: Cluster) -> str:
    """Give the coordinator to tests that ask for the server."""
    return cluster.url("postgres")
