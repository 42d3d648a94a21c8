"""
The schema `jobs`, in which the workers' queue lives: the tables of Procrastinate, made by its own definition.

They belong to no version of the warehouse's schema: another version of the library may want others.
"""

from __future__ import annotations

from importlib.metadata import version

from sqlalchemy import Connection, text

from etl.errors import WarehouseError
from etl.warehouse.database import Database, driver_of
from etl.warehouse.failures import NotAllowed

SCHEMA = "jobs"

STAMP = "Procrastinate " + ".".join(version("procrastinate").split(".")[:2])
"""What decides the shape of the tables: the library with the first two parts of its version. The schema's comment says it."""

# Read from catalogs that every role may read, so that it is known also of a schema that this role may not use.
_HAS_TABLES = text(
    """
    SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = 'jobs' AND relname = 'procrastinate_jobs'
    """
)
_MADE_FOR = text("SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'jobs'")
_GRANTS = text(
    """
    SELECT format('GRANT USAGE ON SCHEMA jobs TO %I; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA jobs TO %I; '
                  'GRANT USAGE ON ALL SEQUENCES IN SCHEMA jobs TO %I;', current_user, current_user, current_user)
    FROM pg_namespace AS ours
    WHERE nspname = 'jobs' AND (
        NOT has_schema_privilege(ours.oid, 'USAGE')
        OR EXISTS (
            SELECT FROM pg_class CROSS JOIN unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) AS wanted
            WHERE relnamespace = ours.oid AND relkind = 'r' AND NOT has_table_privilege(pg_class.oid, wanted)
        )
        OR EXISTS (
            SELECT FROM pg_class
            WHERE relnamespace = ours.oid
                AND CASE relkind WHEN 'S' THEN NOT has_sequence_privilege(pg_class.oid, 'USAGE') ELSE false END
        )
    )
    """
)


def make(connection: Connection) -> bool:
    """
    Make the queue's tables where they are missing, in a transaction of somebody else's; return whether they were missing.

    Names in the library's definition carry no schema, so the transaction's search path is changed: call it last.
    """
    if connection.execute(_HAS_TABLES).scalar_one():
        return False
    from procrastinate.schema import SchemaManager

    session = driver_of(connection)
    session.execute(b"CREATE SCHEMA IF NOT EXISTS jobs")
    session.execute(b"SET LOCAL search_path TO jobs")
    session.execute(SchemaManager.get_schema())
    session.execute(f"COMMENT ON SCHEMA jobs IS '{STAMP}'".encode())
    return True


def missing(database: Database) -> bool:
    """Whether there are no tables for the queue: `etl migrate` makes them."""
    with database.begin() as connection:
        return not connection.execute(_HAS_TABLES).scalar_one()


def require(database: Database, *, to_use: bool = False) -> None:
    """
    Raise WarehouseError unless the queue's tables are there and fit the installed library.

    `to_use` asks for the rights too that a worker needs: not every role that syncs has to have them.
    """
    with database.begin() as connection:
        there = connection.execute(_HAS_TABLES).scalar_one()
        made_for = connection.execute(_MADE_FOR).scalar()
        grants = connection.execute(_GRANTS).scalar() if to_use else None
    if not there:
        raise WarehouseError(
            "The warehouse has no tables for the workers' queue yet.", safe="Nothing was changed.", hint="Run: etl migrate"
        )
    if made_for != STAMP:
        raise WarehouseError(
            f"The workers' queue in schema jobs was made for {made_for or 'an unknown program'}; installed is {STAMP}.",
            safe="Nothing was changed. The queue holds no calls: it can be made anew at any time.",
            hint="Stop all workers, let its owner run DROP SCHEMA jobs CASCADE, then run: etl migrate",
        )
    if grants:
        raise NotAllowed(
            f"The database user lacks rights on the workers' queue at {database.address}.",
            safe="Nothing was changed.",
            hint=f"Let an administrator run in this database: {grants}",
        )
