"""Runs a user's query so that it can only read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from typing import Any, NamedTuple

import psycopg

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


class Answer(NamedTuple):
    """The columns and the rows of a query; and whether the role is a superuser, whose functions reach beyond the database."""

    columns: Sequence[str]
    rows: list[Sequence[Any]]
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
            columns = tuple(column.name for column in cursor.description or ())
            return Answer(columns, list(cursor) if columns else [], superuser)
        except psycopg.DatabaseError as error:
            raise _misasked(error) or error from None
        finally:
            if not session.closed:
                session.rollback()


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
    if (isinstance(error, psycopg.OperationalError) and code is None) or (code or "").startswith(("08", "53", "57P", "58", "XX")):
        return None
    place = f" It is at character {error.diag.statement_position}." if error.diag.statement_position else ""
    return UsageError(
        f"The query failed: {(said or str(error)).splitlines()[0].rstrip('.')}.{place}",
        safe=SAFE,
        hint=error.diag.message_hint or "",
    )
