"""
Writes rows: new ones by COPY, changed ones through a temporary table, either in place or as a new version.

Rows that the database refuses are left out and reported. Runs inside a page's transaction, which holds the fence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, func, update
from sqlalchemy.exc import DBAPIError

from etl.model import CallRow, Derived
from etl.records.rows import Draft, Rewrite
from etl.warehouse.database import driver_of
from etl.warehouse.loading.binary_copy import Block, block, blocks_of, children_of, encoded
from etl.warehouse.loading.history import delete_children, supersede
from etl.warehouse.loading.touched import CHANGED, Traces, joined, mark_changed, mark_held, traces_of_rows
from etl.warehouse.loading.upsert import COLUMNS, CREATE_CHANGED, EMPTY_CHANGED, REWRITE, UPSERT
from etl.warehouse.tables import calls, texts

REFUSALS = (
    psycopg.DataError,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,  # JSON nested deeper than the server recurses
    psycopg.errors.CheckViolation,
    psycopg.errors.NotNullViolation,
)
"""The errors that mean that a row cannot be stored; others are not the row's fault."""


_UNTOLD = psycopg.errors.InternalError_
"""What a COPY into a distributed table says of whatever the node with the rows refuses; another statement tells what it was."""


class Loader:
    """Writes the calls of one connection inside one transaction; for its methods see `PageTransaction`, `MendingPage`."""

    def __init__(self, connection: Connection, name: str, *, now: datetime) -> None:
        """Take the transaction's instant by the database's clock, `now`, for what says when it was written."""
        self._connection = connection
        self._name = name
        self._now = now
        self._driver = driver_of(connection)
        self.traces = Traces()  # of what was copied: its days are marked at the end of the page, together

    def copy(self, draft: Draft) -> bool:
        ready = encoded(draft)
        try:
            with self._savepoint():
                for rows in ready.blocks:
                    self._copy(rows)
        except (*REFUSALS, psycopg.errors.UniqueViolation, _UNTOLD):
            return False
        self.traces = joined(self.traces, ready.traces)
        return True

    def insert(self, entries: Sequence[Derived]) -> frozenset[str]:
        return self._write(entries, self._insert)

    def update(self, entries: Sequence[Derived]) -> frozenset[str]:
        return self._write(entries, self._upsert)

    def rewrite(self, rewrites: Sequence[Rewrite]) -> frozenset[str]:
        by_id = {rewrite.derived.call.call_id: rewrite for rewrite in rewrites}
        return self._write(
            [rewrite.derived for rewrite in rewrites],
            lambda entries: self._rewrite([by_id[entry.call.call_id] for entry in entries]),
        )

    def _write(self, entries: Sequence[Derived], write: Callable[[Sequence[Derived]], None]) -> frozenset[str]:
        """Write all but those that the database refuses, found by halving; return the ids of the refused."""
        if not entries:
            return frozenset()
        try:
            with self._savepoint():
                write(entries)
        except (psycopg.Error, DBAPIError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if isinstance(cause, psycopg.errors.UniqueViolation | _UNTOLD) and write == self._insert:
                return self._write(entries, self._upsert)
            if not isinstance(cause, REFUSALS):
                raise
        else:
            return frozenset()
        if len(entries) == 1:
            return frozenset({entries[0].call.call_id})
        half = len(entries) // 2
        return self._write(entries[:half], write) | self._write(entries[half:], write)

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        """Undo the block if the database refuses it. The savepoint is left to the commit, which saves a round trip."""
        self._driver.execute("SAVEPOINT rows")
        try:
            yield
        except (psycopg.Error, DBAPIError):
            if self._driver.info.transaction_status == TransactionStatus.INERROR:
                self._driver.execute("ROLLBACK TO SAVEPOINT rows")
            raise

    def _insert(self, entries: Sequence[Derived]) -> None:
        """Copy calls that are not held into the tables."""
        for rows in blocks_of(entries):
            self._copy(rows)
        self.traces = joined(self.traces, traces_of_rows([entry.call for entry in entries]))

    def _upsert(self, entries: Sequence[Derived]) -> None:
        """Write held calls, unless what is held was observed later, and replace the children of those written."""
        self._copy_changed(entry.call for entry in entries)
        mark_changed(self._connection, self._name)
        supersede(self._connection, self._name, now=self._now)
        written = {row.call_id for row in self._connection.execute(UPSERT, {"now": self._now})}
        self._driver.execute(EMPTY_CHANGED)
        self._name_agents(entries)
        self._replace_children([entry for entry in entries if entry.call.call_id in written])

    def _rewrite(self, rewrites: Sequence[Rewrite]) -> None:
        """Write what differs of held calls in place: the version stays the same, and only its derived values are corrected."""
        rows = [_travelling(rewrite) for rewrite in rewrites if rewrite.columns]
        if rows:
            self._copy_changed(rows)
            mark_changed(self._connection, self._name)
            self._connection.execute(REWRITE, {"connection": self._name, "now": self._now})
            self._driver.execute(EMPTY_CHANGED)
            self._name_agents([rewrite.derived for rewrite in rewrites])
        if parents := [rewrite.derived for rewrite in rewrites if rewrite.children]:
            self._replace_children(parents)
        self._touch([rewrite.derived.call.call_id for rewrite in rewrites if not rewrite.columns])

    def _touch(self, call_ids: Sequence[str]) -> None:
        """Note that what belongs to these calls was written, while their rows stay as they are."""
        if call_ids:
            mark_held(self._connection, self._name, call_ids)
            touched = update(calls).where(calls.c.connection == self._name, calls.c.call_id == func.any(texts(call_ids)))
            self._connection.execute(touched.values(changed_at=self._now))

    def _name_agents(self, entries: Iterable[Derived]) -> None:
        agents = frozenset(entry.call.agent_id for entry in entries if entry.call.agent_id is not None)
        self.traces = joined(self.traces, Traces(agent_ids=agents))

    def _copy_changed(self, rows: Iterable[Sequence[object]]) -> None:
        """Fill the session's temporary table with rows."""
        self._driver.execute(CREATE_CHANGED)
        self._copy(block(calls, COLUMNS, list(rows))._replace(table=f"pg_temp.{CHANGED}"))

    def _replace_children(self, entries: Sequence[Derived]) -> None:
        delete_children(self._connection, self._name, [entry.call.call_id for entry in entries])
        for rows in children_of(entries):
            self._copy(rows)

    def _copy(self, rows: Block) -> None:
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
            sql.Identifier(*rows.table.split(".")), sql.SQL(", ").join(map(sql.Identifier, rows.columns))
        )
        with self._driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(rows.data)


_RAW, _DETAIL = CallRow._fields.index("raw"), CallRow._fields.index("detail")


def _travelling(rewrite: Rewrite) -> Sequence[object]:
    """Return the row of a rewrite, without its records if the held ones are right."""
    row: list[object] = list(rewrite.derived.call)
    if not {"raw", "detail"}.intersection(rewrite.columns):
        row[_RAW] = row[_DETAIL] = None
    return row
