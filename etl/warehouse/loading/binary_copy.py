"""
Encodes rows in the binary format of COPY, a column at a time, without touching the database.

A value that all rows of a page share (connection, provider, instants of observation) is encoded once, and columns without any
value are left out, which saves work on the server too. The format is described in PostgreSQL's documentation of COPY, "Binary
Format": instants are microseconds since 2000 in eight bytes, JSONB is a version byte and text, and every value is preceded by its
length.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import repeat
from operator import sub
from struct import Struct
from typing import Any, NamedTuple

from psycopg.types.numeric import DecimalBinaryDumper
from sqlalchemy import BigInteger, Boolean, DateTime, Integer, LargeBinary, Numeric, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from etl.model import CallRow, Derived, EventRow, MessageRow, ParticipantRow
from etl.records.rows import Bulk, Columns, Draft, Same, where_given
from etl.warehouse.loading.touched import Traces, traces_of, traces_of_rows
from etl.warehouse.tables import call_events, call_messages, call_participants, calls

Encode = Callable[[Sequence[Any]], list[bytes]]
"""Encodes the values of a column, none of which is None, each preceded by its length."""


class Block(NamedTuple):
    """Rows in the binary form of one COPY into `columns` of `table`, in that order."""

    table: str
    columns: tuple[str, ...]
    data: bytes


class Encoded(NamedTuple):
    """A draft in the form that is copied, and the traces that its calls leave."""

    blocks: tuple[Block, ...]
    traces: Traces


NULL = b"\xff\xff\xff\xff"
_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_EPOCH, _MICROSECOND = datetime(2000, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_length = Struct(">i").pack
_columns, _integer, _big_integer = Struct(">h").pack, Struct(">ii").pack, Struct(">iq").pack
_LENGTHS = tuple(map(_length, range(4096)))  # looking a length up takes half as long
_decimal = DecimalBinaryDumper(Decimal).dump


def encoded(draft: Draft) -> Encoded:
    """Return a draft as it was encoded in advance, else encode its rows now."""
    if isinstance(draft.encoded, Encoded):
        return draft.encoded
    if isinstance(draft.rows, Bulk):
        return Encoded(blocks_in_bulk(draft.rows), traces_of(draft.rows.calls, draft.rows.count))
    return Encoded(blocks_of(draft.rows), traces_of_rows([entry.call for entry in draft.rows]))


def blocks_of(entries: Sequence[Derived]) -> tuple[Block, ...]:
    """Return the blocks of these calls (at least one): their rows, then their children's."""
    return (block(calls, CallRow._fields, [entry.call for entry in entries]), *children_of(entries))


def children_of(entries: Iterable[Derived]) -> tuple[Block, ...]:
    """Return the blocks of these calls' children, leaving out tables that get no row."""
    entries = list(entries)
    tables = (
        (call_participants, ParticipantRow._fields, [row for entry in entries for row in entry.participants]),
        (call_messages, MessageRow._fields, [row for entry in entries for row in entry.messages]),
        (call_events, EventRow._fields, [row for entry in entries for row in entry.events]),
    )
    return tuple(block(table, fields, rows) for table, fields, rows in tables if rows)


def blocks_in_bulk(bulk: Bulk) -> tuple[Block, ...]:
    """Return the blocks of calls that are columns already."""
    tables = ((calls, bulk.calls, bulk.count), (call_participants, bulk.participants, bulk.participations))
    return tuple(_block(table, columns, count) for table, columns, count in tables if columns)


def block(table: Table, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Block:
    """
    Return the block of `rows` (at least one), each with a value or None for each of `names`, columns of `table`.

    The values have the columns' types, with JSON as text. Raises ValueError if there is no row, UnicodeEncodeError for a lone
    surrogate, struct.error for an integer that its column cannot hold.
    """
    if not rows:
        raise ValueError("nothing to copy")
    return _block(
        table, {name: _condensed(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}, len(rows)
    )


def _condensed(column: Sequence[Any]) -> Sequence[Any] | Same:
    first = column[0]
    # Comparing the last value first finds most varying columns at once.
    return Same(first) if column[-1] == first and column.count(first) == len(column) else column


def _block(table: Table, columns: Columns, count: int) -> Block:
    names: list[str] = []
    varying: list[Sequence[bytes]] = []
    common: list[tuple[str, bytes]] = []
    encoded: dict[tuple[int, Encode], Sequence[bytes]] = {}  # one column of values may be used under several names
    for name, column in columns.items():
        encode = _ENCODERS[table.name, name]
        if isinstance(column, Same):
            if column.value is not None:
                common.append((name, encode((column.value,))[0]))
        elif column[0] is not None or column.count(None) < len(column):
            key = (id(column), encode)
            if key not in encoded:
                encoded[key] = where_given(encode, column, null=NULL)
            names.append(name)
            varying.append(encoded[key])
    begin, end = _columns(len(names) + len(common)), b"".join([value for _, value in common])
    lines = list(map(b"".join, zip(*varying, strict=True))) if varying else [b""] * count
    lines[0] = _BEGIN + begin + lines[0]
    lines[-1] += end + _END
    return Block(
        table=f"public.{table.name}",
        columns=(*names, *(name for name, _ in common)),
        data=(end + begin).join(lines),
    )


def array(values: Collection[str]) -> str:
    """Return an array literal; the driver's own would take longer than the server's whole look-up."""
    if not values:
        return "{}"
    whole = "".join(values)
    if "\\" in whole or '"' in whole:
        values = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
    return '{"' + '","'.join(values) + '"}'


def _with_lengths(values: Sequence[bytes]) -> list[bytes]:
    try:
        return [_LENGTHS[len(value)] + value for value in values]
    except IndexError:
        return [_length(len(value)) + value for value in values]


def _strings(values: Sequence[str]) -> list[bytes]:
    return _with_lengths(list(map(str.encode, values)))


def _documents(values: Sequence[str | bytes]) -> list[bytes]:
    return _with_lengths([b"\x01" + (value if isinstance(value, bytes) else value.encode()) for value in values])


def _instants(values: Sequence[datetime]) -> list[bytes]:
    return [_big_integer(8, since // _MICROSECOND) for since in map(sub, values, repeat(_EPOCH))]


_BY_TYPE: tuple[tuple[type, Encode], ...] = (  # the first match counts: in SQLAlchemy a BigInteger is an Integer
    (Text, _strings),
    (JSONB, _documents),
    (DateTime, _instants),
    (BigInteger, lambda values: list(map(_big_integer, repeat(8), values))),
    (Integer, lambda values: list(map(_integer, repeat(4), values))),
    (Boolean, lambda values: [b"\0\0\0\1\1" if value else b"\0\0\0\1\0" for value in values]),
    (Numeric, lambda values: _with_lengths([bytes(_decimal(value) or b"") for value in values])),
    (LargeBinary, _with_lengths),
)


def _encoder(kind: object) -> Encode:
    return next(encode for known, encode in _BY_TYPE if isinstance(kind, known))


_ENCODERS = {
    (table.name, column.name): _encoder(column.type)
    for table, fields in (
        (calls, CallRow._fields),
        (call_participants, ParticipantRow._fields),
        (call_messages, MessageRow._fields),
        (call_events, EventRow._fields),
    )
    for column in table.columns
    if column.name in fields
}
