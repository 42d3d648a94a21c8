"""
The schema `jobs`, in which the workers' queue lives: the tables of Procrastinate, made by its own definition.

They belong to no version of the warehouse's schema: another version of the library may want others.
"""

from __future__ import annotations

from importlib.metadata import version

from sqlalchemy import Connection, text

from etl.errors import WarehouseError
from etl.warehouse.database import Database, driver_of

SCHEMA = "jobs"

STAMP = "Procrastinate " + ".".join(version("procrastinate").split(".")[:2])
"""What decides the shape of the tables: the library with the first two parts of its version. The schema's comment says it."""

_MADE_FOR = text("SELECT obj_description(to_regnamespace(:schema), 'pg_namespace')")
_HAS_TABLES = text("SELECT to_regclass('jobs.procrastinate_jobs') IS NOT NULL")


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


def require(database: Database) -> None:
    """Raise WarehouseError unless the queue's tables are there and fit the installed library."""
    with database.begin() as connection:
        there = connection.execute(_HAS_TABLES).scalar_one()
        made_for = connection.execute(_MADE_FOR, {"schema": SCHEMA}).scalar_one()
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
