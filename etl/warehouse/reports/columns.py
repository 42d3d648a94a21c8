"""Tells which columns a query has, without running it."""

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
