"""What belongs to a backup, by the database's own catalogue: so a table that a later version adds is in it by itself."""

from __future__ import annotations

from typing import NamedTuple

from psycopg import Connection as Session
from psycopg import sql

from etl.warehouse.tables import MACHINE, METADATA

LEFT_OUT = ("alembic_version",)
"""Tables of the schema `sync` that are in no backup: the version stands in the manifest."""

_TABLES = """
SELECT namespace.nspname, class.relname,
       array_agg(attribute.attname::text ORDER BY attribute.attnum) FILTER (WHERE attribute.attgenerated = ''),
       class.reltuples::bigint
FROM pg_class AS class
JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
JOIN pg_attribute AS attribute ON attribute.attrelid = class.oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
WHERE class.relkind IN ('r', 'p') AND NOT class.relispartition
  AND (namespace.nspname = %(machine)s AND class.relname <> ALL (%(left_out)s)
       OR namespace.nspname = 'public' AND class.relname = ANY (%(ours)s))
GROUP BY 1, 2, 4
"""
_NUMBERS = """
SELECT pg_sequence_last_value(pg_get_serial_sequence(%(table)s, %(column)s)::regclass)
WHERE pg_get_serial_sequence(%(table)s, %(column)s) IS NOT NULL
"""


class Contents(NamedTuple):
    """A table: its schema and name, the columns that are stored as they are (no generated ones), and about how many rows."""

    schema: str
    name: str
    columns: tuple[str, ...]
    about: int | None

    @property
    def label(self) -> str:
        """The name in messages and in the manifest."""
        return f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> sql.Identifier:
        """The name for statements."""
        return sql.Identifier(self.schema, self.name)


def tables(session: Session) -> list[Contents]:
    """Return our tables, those first that others refer to. In `public`, other people's tables are none of ours."""
    ours = {table.name for table in METADATA.sorted_tables if table.schema is None}
    order = {f"{table.schema or 'public'}.{table.name}": place for place, table in enumerate(METADATA.sorted_tables)}
    asked = {"machine": MACHINE, "left_out": list(LEFT_OUT), "ours": sorted(ours)}
    found = [
        Contents(schema, name, tuple(columns or ()), about if about > 0 else None)
        for schema, name, columns, about in session.execute(_TABLES.encode(), asked)
    ]
    return sorted(found, key=lambda one: (order.get(one.label, len(order)), one.label))


def sequences(session: Session, found: list[Contents]) -> dict[str, int | None]:
    """Return the last number that each identity column gave out, by `schema.table.column`; None: it gave out none."""
    numbers: dict[str, int | None] = {}
    for table in found:
        for column in table.columns:
            asked = {"table": table.quoted.as_string(session), "column": column}
            for (last,) in session.execute(_NUMBERS.encode(), asked):
                numbers[f"{table.label}.{column}"] = last
    return numbers


def copying(table: Contents, columns: tuple[str, ...], *, out: bool) -> sql.Composed:
    """Return the COPY of a table, out of the database or into it; the form does not depend on the session's settings."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    form = sql.SQL("(SELECT {1} FROM {0}) TO STDOUT" if out else "{0} ({1}) FROM STDIN").format(table.quoted, names)
    return sql.SQL("COPY {} (FORMAT text, ENCODING 'UTF8')").format(form)
