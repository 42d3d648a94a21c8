"""
Knows how a page's records become rows: looked up once, new ones copied straight in, changed ones through a temporary table,
unchanged ones not sent at all. Runs inside a page's transaction, which holds the fence: nobody else writes the connection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import BindParameter, Connection, Executable, Text, bindparam, column, func, select, table, text, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.exc import DBAPIError

from etl.coverage import Spans
from etl.derive import as_reject, derive, examine, same_content
from etl.model import OPEN_STATUSES, CallRow, Context, Derived, EventRow, MessageRow, ParticipantRow, Record, Rejection
from etl.run import Account, Due, Loaded
from etl.warehouse.history import CHANGED, delete_children, supersede
from etl.warehouse.notes import Reject, note_drift, note_rejects
from etl.warehouse.sorting import Known, Sorted, Stored
from etl.warehouse.tables import calls

COLUMNS = CallRow._fields
KEPT = frozenset({"connection", "call_id", "first_seen_at"})
"""The columns that an update leaves alone."""

REFUSALS = (
    psycopg.DataError,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.CheckViolation,
    psycopg.errors.NotNullViolation,
)
"""What the database says of a row that it cannot hold; everything else is no fault of the row."""


class Loader:
    """Writes the calls of one connection inside one transaction."""

    def __init__(self, connection: Connection, account: Account, run_id: int) -> None:
        self._connection = connection
        self._account = account
        self._run_id = run_id
        driver = connection.connection.driver_connection
        if not isinstance(driver, psycopg.Connection):
            raise TypeError("the warehouse is reached through psycopg")
        self._driver: psycopg.Connection[tuple[object, ...]] = driver

    def load(
        self,
        *,
        stream: str,
        records: Sequence[Record],
        observed_at: datetime,
        covered: Spans,
        due_at: datetime | None,
    ) -> Loaded:
        """Write the records of a page that are new or changed; within a page the last sighting of an id wins."""
        sorted_out = self._sort(stream=stream, records=records, observed_at=observed_at, due_at=due_at)
        refused = self._write(sorted_out.new, self._insert) + self._write(sorted_out.changed, self._upsert)
        if refused:
            provider = self._account.provider
            sorted_out = sorted_out.without(refused, {record.call_id: as_reject(provider, record) for record in records})
        name = self._account.connection
        note_rejects(self._connection, name, stream, sorted_out.rejects, observed_at)
        drift = Counter(note for entry in (*sorted_out.new, *sorted_out.changed) for note in entry.drift)
        note_drift(self._connection, name, drift, observed_at)
        return sorted_out.loaded(covered)

    def compare(self, *, stream: str, records: Sequence[Record], observed_at: datetime, covered: Spans) -> Loaded:
        """Return what `load` would do, and write nothing."""
        return self._sort(stream=stream, records=records, observed_at=observed_at, due_at=None).loaded(covered)

    def _sort(self, *, stream: str, records: Sequence[Record], observed_at: datetime, due_at: datetime | None) -> Sorted:
        rejects = [Reject(record, record.rejection) for record in records if record.rejection is not None]
        latest = {record.call_id: record for record in records if record.rejection is None and record.call_id is not None}
        known = self._known(latest)
        new: list[Record] = []
        differing: list[Record] = []
        for call_id, record in latest.items():
            held = known.get(call_id)
            if held is None:
                new.append(record)
            elif held.stream != stream:
                rejects.append(Reject(record, Rejection.ID_IN_TWO_STREAMS))
            elif held.content_hash != record.digest and held.observed_at <= observed_at:
                differing.append(record)
        context, provider = self._context(stream), self._account.provider
        changed = [
            derive(
                provider,
                context,
                record,
                observed_at=observed_at,
                detail=stored.detail,
                detail_observed_at=stored.detail_observed_at,
                detail_due_at=due_at,
                last_changed_at=observed_at,
            )
            for record, stored in self._with_stored(differing)
            if not same_content(provider, stored.raw.value, record.value)
        ]
        in_two_streams = sum(reject.reason is Rejection.ID_IN_TWO_STREAMS for reject in rejects)
        return Sorted(
            new=[derive(provider, context, record, observed_at=observed_at, detail_due_at=due_at) for record in new],
            changed=changed,
            rejects=rejects,
            unchanged=len(latest) - len(new) - len(changed) - in_two_streams,
            known_open=frozenset(call_id for call_id, held in known.items() if held.status in OPEN_STATUSES),
        )

    def load_detail(self, *, stream: str, call_id: str, detail: Record, observed_at: datetime, due: Due) -> Loaded:
        """Write one held call anew from what its detail says; one that says nothing new only gets its next date."""
        stored = self._stored([call_id]).get(call_id)
        if stored is None or (stored.detail_observed_at is not None and stored.detail_observed_at > observed_at):
            return Loaded()
        provider = self._account.provider
        entry = derive(
            provider,
            self._context(stream),
            stored.raw,
            observed_at=stored.observed_at,
            detail=detail,
            detail_observed_at=observed_at,
            last_changed_at=observed_at,
        )
        due_at = due(entry, detail.value)
        if stored.detail is not None and same_content(provider, stored.detail.value, detail.value):
            self._set_due([call_id], due_at)
            return Loaded(unchanged=1)
        entry = entry._replace(call=entry.call._replace(detail_due_at=due_at))
        refused = self._write([entry], self._upsert)
        if refused:
            reject = Reject(as_reject(provider, detail._replace(call_id=call_id)), Rejection.DATABASE_REFUSED)
            note_rejects(self._connection, self._account.connection, stream, [reject], observed_at)
            return Loaded(rejected=1)
        note_drift(self._connection, self._account.connection, Counter(entry.drift), observed_at)
        return Loaded(updated=1)

    def ask_for(self, call_ids: Collection[str], *, due_at: datetime) -> None:
        """Note that the details of these calls are to be asked for."""
        self._set_due(call_ids, due_at)

    def _set_due(self, call_ids: Collection[str], due_at: datetime | None) -> None:
        self._connection.execute(
            update(calls)
            .where(
                calls.c.connection == self._account.connection,
                calls.c.call_id == func.any(_texts(call_ids)),
                calls.c.detail_due_at.is_distinct_from(due_at),
            )
            .values(detail_due_at=due_at)
        )

    def _context(self, stream: str) -> Context:
        account = self._account
        return Context(connection=account.connection, stream=stream, currency=account.currency, run_id=self._run_id)

    def _known(self, call_ids: Collection[str]) -> dict[str, Known]:
        rows = self._connection.execute(
            select(calls.c.call_id, calls.c.stream, calls.c.content_hash, calls.c.observed_at, calls.c.status).where(
                calls.c.connection == self._account.connection, calls.c.call_id == func.any(_texts(call_ids))
            )
        )
        return {row.call_id: Known(row.stream, bytes(row.content_hash), row.observed_at, row.status) for row in rows}

    def _with_stored(self, records: Sequence[Record]) -> list[tuple[Record, Stored]]:
        if not records:
            return []
        stored = self._stored([record.call_id for record in records if record.call_id is not None])
        return [(record, stored[record.call_id]) for record in records if record.call_id is not None]

    def _stored(self, call_ids: Collection[str]) -> dict[str, Stored]:
        # As text: the records are decoded by the one decoder, whatever the driver would make of jsonb.
        rows = self._connection.execute(
            select(
                calls.c.call_id,
                calls.c.raw.cast(Text).label("raw"),
                calls.c.observed_at,
                calls.c.detail.cast(Text).label("detail"),
                calls.c.detail_observed_at,
                calls.c.content_hash,
            ).where(calls.c.connection == self._account.connection, calls.c.call_id == func.any(_texts(call_ids)))
        )
        return {
            row.call_id: Stored(
                raw=self._examined(row.raw)._replace(digest=bytes(row.content_hash)),
                observed_at=row.observed_at,
                detail=self._examined(row.detail) if row.detail is not None else None,
                detail_observed_at=row.detail_observed_at,
            )
            for row in rows
        }

    def _examined(self, record: str) -> Record:
        return examine(self._account.provider, record.encode(), cleaned=False)

    def _write(self, entries: Sequence[Derived], write: Callable[[Sequence[Derived]], None]) -> list[CallRow]:
        """Write all entries but those that the database refuses; return these. Halves until each culprit stands alone."""
        if not entries:
            return []
        try:
            with self._driver.transaction():
                write(entries)
        except (psycopg.Error, DBAPIError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if isinstance(cause, psycopg.errors.UniqueViolation) and write == self._insert:
                return self._write(entries, self._upsert)
            if not isinstance(cause, REFUSALS):
                raise
        else:
            return []
        if len(entries) == 1:
            return [entries[0].call]
        half = len(entries) // 2
        return self._write(entries[:half], write) + self._write(entries[half:], write)

    def _insert(self, entries: Sequence[Derived]) -> None:
        """Copy calls that are not held straight into the tables."""
        self._copy("public.calls", COLUMNS, (entry.call for entry in entries))
        self._copy_children(entries)

    def _upsert(self, entries: Sequence[Derived]) -> None:
        """Write calls that are held, each unless what is held was observed later; replace the children of those written."""
        self._driver.execute(CREATE_CHANGED)
        self._copy(f"pg_temp.{CHANGED}", COLUMNS, (entry.call for entry in entries))
        supersede(self._connection, self._account.connection)
        written = {row.call_id for row in self._connection.execute(UPSERT)}
        self._driver.execute(EMPTY_CHANGED)
        delete_children(self._connection, self._account.connection, written)
        self._copy_children([entry for entry in entries if entry.call.call_id in written])

    def rewrite(self, entries: Sequence[Derived]) -> None:
        """Write held calls and their children in place: the same version, as its records have it."""
        if not entries:
            return
        self._driver.execute(CREATE_CHANGED)
        self._copy(f"pg_temp.{CHANGED}", COLUMNS, (entry.call for entry in entries))
        self._connection.execute(REWRITE, {"connection": self._account.connection})
        self._driver.execute(EMPTY_CHANGED)
        delete_children(self._connection, self._account.connection, [entry.call.call_id for entry in entries])
        self._copy_children(entries)

    def restore(self, entries: Sequence[Derived]) -> None:
        """Write calls that are not held."""
        self._write(entries, self._insert)

    def _copy_children(self, entries: Sequence[Derived]) -> None:
        for table_name, fields, children in (
            ("public.call_participants", ParticipantRow._fields, [row for entry in entries for row in entry.participants]),
            ("public.call_messages", MessageRow._fields, [row for entry in entries for row in entry.messages]),
            ("public.call_events", EventRow._fields, [row for entry in entries for row in entry.events]),
        ):
            if children:
                self._copy(table_name, fields, children)

    def _copy(self, target: str, columns: Sequence[str], rows: Iterable[tuple[object, ...]]) -> None:
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(*target.split(".")), names)
        with self._driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)


def _upsert_statement() -> Executable:
    changed = table(CHANGED, *(column(name) for name in COLUMNS), schema="pg_temp")
    statement = insert(calls).from_select(list(COLUMNS), select(*(changed.c[name] for name in COLUMNS)))
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["connection", "call_id"],
        set_={name: new[name] for name in COLUMNS if name not in KEPT}
        # Strictly increasing, as the history's versions are.
        | {"last_changed_at": func.greatest(new.last_changed_at, calls.c.last_changed_at + timedelta(microseconds=1))},
        where=(calls.c.observed_at <= new.observed_at)
        & (calls.c.detail_observed_at.is_(None) | (calls.c.detail_observed_at <= new.detail_observed_at)),
    ).returning(calls.c.call_id)


UPSERT = _upsert_statement()
REWRITE = text(
    "UPDATE public.calls c SET "  # noqa: S608 - column names of ours
    + ", ".join(f"{name} = n.{name}" for name in COLUMNS if name not in ("connection", "call_id"))
    + f" FROM pg_temp.{CHANGED} n WHERE c.connection = :connection AND n.connection = c.connection AND n.call_id = c.call_id"
)
CREATE_CHANGED = sql.SQL(
    "CREATE TEMPORARY TABLE IF NOT EXISTS {} ON COMMIT DELETE ROWS AS SELECT {} FROM public.calls WITH NO DATA"
).format(sql.Identifier(CHANGED), sql.SQL(", ").join(map(sql.Identifier, COLUMNS)))
EMPTY_CHANGED = sql.SQL("DELETE FROM {}").format(sql.Identifier("pg_temp", CHANGED))


def _texts(values: Collection[str]) -> BindParameter[Any]:
    return bindparam(None, list(values), ARRAY(Text))
