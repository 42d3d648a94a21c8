"""
Spreads the tables of the warehouse over the nodes of a Citus cluster, where `warehouse.distributed` asks for it.

Every table whose primary key holds `connection` is cut into shards by it, all in the same way, so that whatever belongs to one
connection lies on one node. Every other table of the models is small, and each node has all of it (a reference table). Which
table is which follows from the models; tables that are not among them (`sync.alembic_version`, the queue's) stay where they are.
"""

from __future__ import annotations

from enum import Enum

from sqlalchemy import Connection, Table, text

from etl.errors import WarehouseError
from etl.warehouse.database import Database
from etl.warehouse.privacy.shielding import shield
from etl.warehouse.schema import in_sequence
from etl.warehouse.tables import METADATA, calls

KEY = "connection"
"""The column by whose value rows lie together."""


class Spread(Enum):
    """How a table lies on the nodes: in shards by its connection, or as a whole on each of them."""

    SHARDS = "shards"
    REFERENCE = "reference"


_HAS_CITUS = text("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')")
_SPREAD = text("SELECT CAST(logicalrelid AS oid) FROM pg_dist_partition")
_OID = text("SELECT CAST(to_regclass(:name) AS oid)")
_CUT = text("SELECT create_distributed_table(CAST(:name AS regclass), :key, colocate_with => :beside)")
_COPY = text("SELECT create_reference_table(CAST(:name AS regclass))")


def spread_of(table: Table) -> Spread:
    """Return how a table of the models lies on the nodes of a cluster."""
    return Spread.SHARDS if KEY in table.primary_key.columns else Spread.REFERENCE


def is_distributed(database: Database) -> bool:
    """Whether the tables of the warehouse are spread over the nodes of a cluster. Raises WarehouseError."""
    with database.begin() as connection:
        return has_citus(connection) and calls not in _due(connection)


def due(database: Database) -> bool:
    """Whether `distribute` has something to do: a table is not spread, or there is no warehouse yet. Raises WarehouseError."""
    with database.begin() as connection:
        return not has_citus(connection) or bool(_due(connection))


def has_citus(connection: Connection) -> bool:
    """Whether the database has the extension."""
    return bool(connection.execute(_HAS_CITUS).scalar_one())


def require_citus(database: Database) -> None:
    """Raise WarehouseError, with what helps, where the database has no extension that could distribute anything."""
    with database.begin() as connection:
        if has_citus(connection):
            return
    raise WarehouseError(
        f"warehouse.distributed is true, but the database at {database.address} has no extension named citus.",
        safe="Nothing was changed.",
        hint="Let an administrator run CREATE EXTENSION citus; in this database on the coordinator and on every worker, and "
        "SELECT citus_add_node(host, port); for each worker; then run this again. "
        "Or, on one server, set warehouse.distributed to false.",
    )


def distribute(database: Database) -> int:
    """
    Spread those tables that are not spread yet, in one transaction, and return their number; rows that they hold are moved.

    Whoever writes waits meanwhile. The schema has to be the newest. Raises WarehouseError.
    """
    with database.begin() as connection:
        in_sequence(connection)
        waiting = _due(connection)
        # The calls first, beside which the others are laid.
        for table in sorted(waiting, key=lambda one: one is not calls):
            if spread_of(table) is Spread.REFERENCE:
                connection.execute(_COPY, {"name": name_of(table)})
            else:
                beside = "none" if table is calls else name_of(calls)
                connection.execute(_CUT, {"name": name_of(table), "key": KEY, "beside": beside})
        shield(connection)
    return len(waiting)


def name_of(table: Table) -> str:
    """Return a table's name with its schema."""
    return f"{table.schema or 'public'}.{table.name}"


def _due(connection: Connection) -> list[Table]:
    spread = set(connection.execute(_SPREAD).scalars())
    there = {table: connection.execute(_OID, {"name": name_of(table)}).scalar_one() for table in METADATA.sorted_tables}
    return [table for table, oid in there.items() if oid not in spread]
