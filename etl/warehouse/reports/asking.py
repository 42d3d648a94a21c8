"""Runs a user's query so that it can only read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from enum import StrEnum
from typing import Any, NamedTuple

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import Format
from psycopg.pq.abc import PGresult

from etl.errors import UsageError
from etl.warehouse.database import Database

SAFE = "Nothing was changed: `etl sql` with a query only reads."
TAKEN = ("SELECT", "WITH", "VALUES", "TABLE", "SHOW", "EXPLAIN")
"""
The statements that are run; no other could be kept from writing by the transaction that it runs in.

DO, SET and COMMIT can end that transaction or change it, and COPY runs programs even where nothing may be written.
"""

_BEFORE = re.compile(r"(?:\s|\(|;|--[^\n]*(?:\n|$)|/\*(?:[^*]|\*(?!/))*\*/)*")
_WORD = re.compile(r"[A-Za-z_]+")


class Kind(StrEnum):
    """How a column's text is to be taken."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    JSON = "json"
    INSTANT = "instant"
    TEXT = "text"


_KINDS = {
    **dict.fromkeys(("int2", "int4", "int8", "oid", "numeric", "float4", "float8"), Kind.NUMBER),
    "bool": Kind.BOOLEAN,
    **dict.fromkeys(("json", "jsonb"), Kind.JSON),
    **dict.fromkeys(("timestamp", "timestamptz"), Kind.INSTANT),
}


class Column(NamedTuple):
    """A column of an answer: its name, the kind of its values, and whether each is an array of them."""

    name: str
    kind: Kind
    many: bool = False


class Answer(NamedTuple):
    """
    The columns and the rows of a query; and whether the role is a superuser, whose functions reach beyond the database.

    Every value is the server's own text (None for null): nothing is rounded, too deep, or too far away for a type of Python's.
    """

    columns: Sequence[Column]
    rows: list[list[str | None]]
    superuser: bool


def ask(database: Database, query: str) -> Answer:
    """
    Run one query in a transaction that only reads, and take that back.

    Raises UsageError with what the server says of the query, WarehouseError where the database fails.
    """
    _refuse_what_may_write(query)
    with closing(database.session()) as session, database.translate():
        session.execute("BEGIN READ ONLY")
        # The first query fixes the mode: until then a SET TRANSACTION READ WRITE would still be obeyed.
        superuser = session.execute("SELECT current_setting('is_superuser') = 'on'").fetchall() == [(True,)]
        try:
            # Prepared, since then the server takes one statement only: none that follows a COMMIT.
            cursor = session.execute(query.encode(), prepare=True)
            columns = tuple(_column(column.name, column.type_code) for column in cursor.description or ())
            return Answer(columns, _texts(cursor.pgresult, len(columns)), superuser)
        except psycopg.DatabaseError as error:
            raise _misasked(error) or error from None
        finally:
            if not session.closed:
                session.rollback()


def elements(array: str) -> list[Any]:
    """Return the texts of an array's elements (None for null), nested where it has several dimensions."""
    loader = Transformer().get_loader(psycopg.adapters.types["text"].array_oid, Format.TEXT)
    found: list[Any] = loader.load(array.encode())
    return found


def _column(name: str, oid: int) -> Column:
    info = psycopg.adapters.types.get(oid)
    kind = _KINDS.get(info.name, Kind.TEXT) if info is not None else Kind.TEXT
    many = info is not None and info.array_oid == oid and info.delimiter == ","
    return Column(name, kind, many)


def _texts(result: PGresult | None, width: int) -> list[list[str | None]]:
    if result is None or not width:
        return []
    found = ((result.get_value(row, column) for column in range(width)) for row in range(result.ntuples))
    return [[None if value is None else value.decode() for value in row] for row in found]


def _refuse_what_may_write(query: str) -> None:
    start = _BEFORE.match(query)
    word = _WORD.match(query, start.end() if start else 0)
    if word is not None and word[0].upper() in TAKEN:
        return
    raise UsageError(
        f"`etl sql` with a query does not run {word[0].upper()}." if word else "There is no query to run.",
        safe=SAFE,
        hint=f"It takes {', '.join(TAKEN[:-1])} and {TAKEN[-1]}; for anything else open psql by `etl sql` without a query.",
    )


def _misasked(error: psycopg.DatabaseError) -> UsageError | None:
    """Return what is wrong with a query, in the server's words; None where it is not the query's fault."""
    said, code = error.diag.message_primary, error.sqlstate
    if code == "08P01":  # no connection is lost: the server wants values for the query's parameters
        return UsageError("The query failed: it has parameters ($1).", safe=SAFE, hint="Write the values in their places.")
    if (isinstance(error, psycopg.OperationalError) and code is None) or (code or "").startswith(("08", "53", "57P", "58", "XX")):
        return None
    place = f" It is at character {error.diag.statement_position}." if error.diag.statement_position else ""
    return UsageError(
        f"The query failed: {(said or str(error)).splitlines()[0].rstrip('.')}.{place}",
        safe=SAFE,
        hint=error.diag.message_hint or "",
    )
