"""Tells what a description of the warehouse names: the columns of a query, without running it, and the connections."""

from __future__ import annotations

from typing import NamedTuple

from etl.warehouse.database import Database


class ColumnType(NamedTuple):
    """A column of a query and its type, in the server's words."""

    name: str
    type: str


def columns_of(database: Database, query: str) -> list[ColumnType]:
    """Return the columns of a query. Raises WarehouseError if it cannot be asked."""
    with database.session() as session:
        described = session.execute(f"SELECT * FROM ({query}) AS shown LIMIT 0".encode()).description or ()  # noqa: S608 - ours
        return [ColumnType(column.name, column.type_display) for column in described]


def connections_of(database: Database) -> dict[str, str]:
    """Return the provider of each connection, to a masked role too. Raises WarehouseError if it cannot be asked."""
    with database.session() as session:
        found = session.execute("SELECT connection, provider FROM masked.data_freshness ORDER BY connection").fetchall()
        return {str(connection): str(provider) for connection, provider in found}
