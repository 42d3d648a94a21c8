"""How values travel: as CSV out of Postgres, exact, and into the columns of Parquet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv
from psycopg import Connection as Session
from psycopg import sql

# Without the columns of the machine, which are written also where no reader sees a difference; `changed_at` is for copying calls.
_COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = CAST(%s AS regclass) AND attnum > 0 AND NOT attisdropped
    AND (attname = 'changed_at' OR coalesce(col_description(attrelid, attnum), '') NOT LIKE 'Machine''s:%%')
ORDER BY attnum
"""

# As numbers, which need no form of dates. What lies at infinity has no place in Parquet: nobody knows when it is.
_INSTANT = "CASE WHEN isfinite({0}) THEN (extract(epoch FROM {0}) * 1000000)::bigint END"
_DATE = "CASE WHEN isfinite({0}) THEN {0} - date '1970-01-01' END"
_NUMERIC = re.compile(r"numeric\((\d+),(\d+)\)")


class Column(NamedTuple):
    """A column: how it is selected (`{0}` is its name), as what it is read, and what it is in the file."""

    name: str
    taken: str
    read: pa.DataType
    kept: pa.DataType
    is_text: bool = False


def columns_of(session: Session, schema: str, relation: str) -> list[Column]:
    """Return the columns of a relation in their order."""
    found = session.execute(_COLUMNS, (f"{schema}.{relation}",)).fetchall()
    return [_column(name, kind) for name, kind in found]


def _column(name: str, kind: str) -> Column:
    if name == "connection":  # as tools read it from the name of a folder: the two must agree
        return Column(name, "{0}", pa.string(), pa.dictionary(pa.int32(), pa.string()), is_text=True)
    plain = {"boolean": pa.bool_(), "smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64()}
    if kind in plain:
        return Column(name, "{0}", plain[kind], plain[kind])
    if kind == "timestamp with time zone":
        return Column(name, _INSTANT, pa.int64(), pa.timestamp("us", tz="UTC"))
    if kind == "date":
        return Column(name, _DATE, pa.int32(), pa.date32())
    if found := _NUMERIC.fullmatch(kind):
        decimal = pa.decimal128(int(found[1]), int(found[2]))
        return Column(name, "{0}", decimal, decimal)
    return Column(name, "{0}::text", pa.string(), pa.string(), is_text=kind == "text")


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    """Return the schema of a file."""
    return pa.schema([pa.field(column.name, column.kept) for column in columns])


def selected(columns: Sequence[Column]) -> sql.Composable:
    """Return the list of a SELECT of these columns from a relation called `rows`."""
    return sql.SQL(", ").join(sql.SQL(column.taken).format(sql.Identifier("rows", column.name)) for column in columns)


def table_of(lines: bytes | bytearray, columns: Sequence[Column]) -> pa.Table:
    """Return rows, given as COPY writes CSV, as a table. An empty text in quotes is one; nothing is null."""
    read: Any = pyarrow.csv.read_csv(
        pa.BufferReader(pa.py_buffer(lines)),
        # One block, since a row that lies in two of them would have to be shorter than either.
        read_options=pyarrow.csv.ReadOptions(
            use_threads=False, block_size=len(lines) + 1, column_names=[column.name for column in columns]
        ),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={column.name: column.read for column in columns},
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return pa.table([_kept(read[column.name], column) for column in columns], schema=schema_of(columns))


def _kept(values: Any, column: Column) -> Any:
    if column.kept == column.read:
        return values
    return values.dictionary_encode() if pa.types.is_dictionary(column.kept) else values.cast(column.kept)
