"""Holds what is copied to what the database then holds: every value of every column, whatever the rows have in common."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Integer,
    LargeBinary,
    Numeric,
    Table,
    Text,
    column,
    select,
    text,
)
from sqlalchemy import table as plain_table
from sqlalchemy.dialects.postgresql import JSONB

from etl.model import CallRow, EventRow, MessageRow, ParticipantRow
from etl.warehouse.database import Database
from etl.warehouse.loading.binary_copy import array, block
from etl.warehouse.tables import call_events, call_messages, call_participants, calls

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
INSTANTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - naive bounds are asked for
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
).map(json.dumps)
VALUES: list[tuple[type, st.SearchStrategy[Any]]] = [
    (Text, TEXTS),
    (DateTime, INSTANTS),
    (BigInteger, st.integers(-(2**63), 2**63 - 1)),
    (Integer, st.integers(-(2**31), 2**31 - 1)),
    (Boolean, st.booleans()),
    (Numeric, st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20)),
    (JSONB, DOCUMENTS),
    (LargeBinary, st.binary(max_size=20)),
]
TABLES: list[tuple[Table, Any]] = [
    (calls, CallRow),
    (call_participants, ParticipantRow),
    (call_messages, MessageRow),
    (call_events, EventRow),
]


def values_of(one: Column[Any]) -> st.SearchStrategy[Any]:
    """Return any value that the column can hold, or none."""
    return st.none() | next(values for kind, values in VALUES if isinstance(one.type, kind))


def rows_of(table: Table, fields: tuple[str, ...]) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Return rows of which some columns hold one value throughout, as a page's rows do, and others differ or are null."""

    def filled(same: frozenset[str]) -> st.SearchStrategy[list[tuple[Any, ...]]]:
        shared = st.tuples(TEXTS, *(values_of(table.c[name]) for name in fields[1:]))  # a connection is never null
        others = st.lists(shared, min_size=1, max_size=5)
        return st.tuples(shared, others).map(
            lambda drawn: [
                tuple(drawn[0][place] if name in same else row[place] for place, name in enumerate(fields)) for row in drawn[1]
            ]
        )

    return st.frozensets(st.sampled_from(fields)).flatmap(filled)


def copied(connection: Connection, table: Table, fields: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Copy the rows into a table like `table`, without its rules, and return what that holds; documents as text."""
    connection.rollback()  # the table of the example before goes with it
    connection.execute(text(f"CREATE TEMPORARY TABLE copied AS SELECT {', '.join(fields)} FROM {table.name} WITH NO DATA"))
    made = block(table, fields, rows)
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY copied ({', '.join(made.columns)}) FROM STDIN (FORMAT binary)") as copy:
        copy.write(made.data)
    columns = [column(name, Text).cast(Text) if name in documents_of(table) else column(name) for name in fields]
    held = connection.execute(select(*columns).select_from(plain_table("copied")).order_by(text("ctid"))).all()
    return [tuple(bytes(value) if isinstance(value, memoryview) else value for value in row) for row in held]


def documents_of(table: Table) -> set[str]:
    """Return the names of the columns that hold JSON."""
    return {one.name for one in table.c if isinstance(one.type, JSONB)}


@pytest.mark.parametrize(("table", "kind"), TABLES, ids=[table.name for table, _ in TABLES])
def test_every_row_is_held_as_it_was_given(database: Database, table: Table, kind: Any) -> None:
    """Any text, instant, number, document and null, alone or in common, in the order given."""
    documents = documents_of(table)

    def decoded(row: tuple[Any, ...]) -> tuple[Any, ...]:
        # The database keeps a document's meaning, not its spelling.
        return tuple(
            json.loads(value) if name in documents and value is not None else value
            for name, value in zip(kind._fields, row, strict=True)
        )

    with database.engine.connect() as connection:

        @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
        @given(rows=rows_of(table, kind._fields))
        def check(rows: list[tuple[Any, ...]]) -> None:
            assert list(map(decoded, copied(connection, table, kind._fields, rows))) == list(map(decoded, rows))

        check()


@pytest.mark.parametrize("size", [4_094, 4_095, 4_096, 100_000], ids=str)
def test_a_long_value_is_held_whole(database: Database, size: int) -> None:
    """Texts and documents of any length, beside short ones."""
    long: dict[str, Any] = {"call_id": "x" * size, "raw": json.dumps("y" * (size - 2)), "content_hash": b"z" * size}
    rows = [tuple(given.get(name) for name in CallRow._fields) for given in (long, {"call_id": "1", "raw": "{}"})]
    with database.engine.connect() as connection:
        assert copied(connection, calls, CallRow._fields, rows) == rows


def test_an_array_is_read_as_it_was_given(database: Database) -> None:
    """Quotes, backslashes, braces, commas, the empty text and the word NULL are values like any other."""
    with database.engine.connect() as connection:

        @settings(max_examples=200)
        @given(st.lists(TEXTS | st.sampled_from(["NULL", "", "{", '"', "\\", ","]), max_size=20))
        def check(values: list[str]) -> None:
            read = connection.exec_driver_sql("SELECT %s::text[]", (array(values),)).scalar_one()
            assert read == values

        check()


def test_a_number_keeps_its_digits(database: Database) -> None:
    """Exactly as many places as it was given with."""
    with database.engine.connect() as connection:
        row: tuple[Any, ...] = tuple({"cost": Decimal("0.0240"), "call_id": "1"}.get(name) for name in CallRow._fields)
        (held,) = copied(connection, calls, CallRow._fields, [row])
        assert str(held[CallRow._fields.index("cost")]) == "0.0240"


def test_a_column_that_is_left_out_has_no_default(database: Database) -> None:
    """What is null in every row is left out of the COPY: a default would take its place."""
    for table, kind in TABLES:
        assert [one.name for one in table.c if one.name in kind._fields and one.server_default is not None] == []
