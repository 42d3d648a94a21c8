"""Holds `etl grant` to giving exactly what is asked: now, for what later versions bring, and nothing that was there before."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import make_url

from etl.errors import UsageError
from etl.warehouse.database import Database
from etl.warehouse.privacy.granting import Inherited, Rights, grant, revoke

ROLE, GROUP = f"reader_{os.getpid()}", f"group_{os.getpid()}"


@pytest.fixture
def roles(server_url: str, database: Database) -> Iterator[psycopg.Connection]:
    """Give a session of the server's superuser; a reader and a group exist while the test runs."""
    with psycopg.connect(server_url, autocommit=True) as admin:
        for role in (ROLE, GROUP):
            admin.execute(f'CREATE ROLE "{role}" LOGIN'.encode())
        try:
            yield admin
        finally:
            with database.begin() as session:
                session.exec_driver_sql(f'DROP OWNED BY "{ROLE}", "{GROUP}"')
            for role in (ROLE, GROUP):
                admin.execute(f'DROP ROLE "{role}"'.encode())


def allowed(database: Database, privilege: str = "SELECT") -> set[str]:
    """Return the relations on which the reader has a right, of a column at least."""
    query = f"""
    SELECT relnamespace::regnamespace || '.' || relname FROM pg_class
    WHERE relnamespace::regnamespace::text IN ('public', 'masked', 'sync') AND relkind IN ('r', 'v')
      AND (has_table_privilege('{ROLE}', oid, '{privilege}')
           OR '{privilege}' <> 'DELETE' AND has_any_column_privilege('{ROLE}', oid, replace('{privilege}', 'DELETE', 'SELECT')))
    """
    with database.begin() as session:
        return set(session.exec_driver_sql(query).scalars())


def relations(database: Database, schema: str) -> set[str]:
    """Return our relations of a schema."""
    with database.begin() as session:
        query = (
            f"SELECT '{schema}.' || relname FROM pg_class WHERE relnamespace = '{schema}'::regnamespace AND relkind IN ('r','v')"
        )
        return set(session.exec_driver_sql(query).scalars())


def tried(database: Database, statement: str) -> str | None:
    """Run a statement as the reader; return why it was refused."""
    url = make_url(database.url).set(username=ROLE, drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as session:
        try:
            session.execute(statement.encode())
        except psycopg.Error as error:
            return type(error).__name__
    return None


def make_later(database: Database) -> None:
    """Do what a later version does."""
    with database.begin() as session:
        session.exec_driver_sql("CREATE VIEW public.later AS SELECT 1 AS one")
        session.exec_driver_sql("CREATE VIEW masked.later AS SELECT 1 AS one")
        session.exec_driver_sql("CREATE TABLE sync.later (one int)")


@pytest.mark.parametrize(("masked", "schema"), [(False, "public"), (True, "masked")])
def test_a_reader_sees_one_schema_now_and_later(roles: psycopg.Connection, database: Database, masked: bool, schema: str) -> None:
    """Every relation of it, and nothing of the others; it writes nowhere."""
    assert grant(database, ROLE, Rights(masked=masked)) == []
    make_later(database)
    assert allowed(database) == relations(database, schema)
    for privilege in ("INSERT", "UPDATE", "DELETE"):
        assert allowed(database, privilege) == set()
    for name in sorted(relations(database, schema)):
        assert tried(database, f"SELECT * FROM {name} LIMIT 1") is None, name
    assert tried(database, "SELECT * FROM sync.salt") == "InsufficientPrivilege"


def test_what_it_had_beyond_is_taken_away(roles: psycopg.Connection, database: Database) -> None:
    """Of tables, columns, schemas, and for the future; from full to masked, and to nothing."""
    grant(database, ROLE, Rights(editor=True))
    with database.begin() as session:
        session.exec_driver_sql(f'GRANT USAGE ON SCHEMA sync TO "{ROLE}"')
        session.exec_driver_sql(f'GRANT SELECT, DELETE ON sync.runs TO "{ROLE}"')
        session.exec_driver_sql(f'GRANT SELECT (salt) ON sync.salt TO "{ROLE}"')
    grant(database, ROLE, Rights(masked=True))
    make_later(database)
    assert allowed(database) == relations(database, "masked")
    assert allowed(database, "UPDATE") == allowed(database, "INSERT") == set()
    revoke(database, ROLE)
    assert allowed(database) == set()


def test_an_editor_writes_the_analysts_own_columns_and_no_others(roles: psycopg.Connection, database: Database) -> None:
    """People, numbers, and the names of agents."""
    grant(database, ROLE, Rights(editor=True))
    assert tried(database, "INSERT INTO people VALUES ('ada@example.com', 'Ada', 'engines')") is None
    assert tried(database, "UPDATE people SET team = 'x' WHERE email = 'ada@example.com'") is None
    assert tried(database, "DELETE FROM numbers WHERE number = 'x'") is None
    assert tried(database, "UPDATE agents SET display_name = 'x' WHERE agent_id = 'a'") is None
    assert tried(database, "UPDATE agents SET name = 'x'") == "InsufficientPrivilege"
    assert tried(database, "DELETE FROM calls") == "InsufficientPrivilege"
    assert allowed(database, "UPDATE") == {"public.people", "public.numbers", "public.agents"}


def test_rights_through_other_roles_are_named_and_left(roles: psycopg.Connection, database: Database) -> None:
    """A group's, everybody's, and those of a role that reads all data."""
    with database.begin() as session:
        session.exec_driver_sql(f'GRANT SELECT ON calls TO "{GROUP}"')
        session.exec_driver_sql("GRANT SELECT ON sync.runs TO PUBLIC")
    roles.execute(f'GRANT "{GROUP}" TO "{ROLE}"'.encode())
    found = grant(database, ROLE, Rights(masked=True))
    assert found == [Inherited("PUBLIC", ("sync.runs",)), Inherited(GROUP, ("public.calls",))]
    assert {"public.calls", "sync.runs"} < allowed(database)
    roles.execute(f'GRANT pg_read_all_data TO "{ROLE}"'.encode())
    through = {one.through: one.relations for one in revoke(database, ROLE)}
    assert set(through) == {"PUBLIC", GROUP, "pg_read_all_data"} and "sync.salt" in through["pg_read_all_data"]


@pytest.mark.parametrize(("role", "told"), [("nobody_at_all", "no role"), ("postgres", "a superuser")])
def test_who_cannot_be_limited_is_refused(roles: psycopg.Connection, database: Database, role: str, told: str) -> None:
    """An unknown role, and one that may do everything."""
    with pytest.raises(UsageError, match=told) as caught:
        grant(database, role, Rights())
    assert caught.value.exit_code == 2


def test_the_owner_is_refused(roles: psycopg.Connection, database: Database) -> None:
    """It made everything, and needs no right."""
    with database.begin() as session:
        session.exec_driver_sql(f'ALTER TABLE calls OWNER TO "{GROUP}"')
    try:
        with pytest.raises(UsageError, match="the owner"):
            grant(database, GROUP, Rights())
    finally:
        with database.begin() as session:
            session.exec_driver_sql("ALTER TABLE calls OWNER TO postgres")


def test_other_peoples_tables_are_left_alone(roles: psycopg.Connection, database: Database) -> None:
    """A foreign table in `public` keeps the rights that its owner gave."""
    with database.begin() as session:
        session.exec_driver_sql(f'CREATE TABLE public.invoices (one int); GRANT SELECT ON public.invoices TO "{ROLE}"')
        session.exec_driver_sql("CREATE TABLE public.secrets (one int)")
    grant(database, ROLE, Rights(masked=True))
    assert allowed(database) - relations(database, "masked") == {"public.invoices"}
    grant(database, ROLE, Rights())
    assert "public.secrets" not in allowed(database)
