"""
Knows how a page's records become rows: looked up once, new ones copied straight in, changed ones through a temporary table,
unchanged ones not sent at all. Runs inside a page's transaction, which holds the fence: nobody else writes the connection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import compress
from operator import attrgetter, eq, not_

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, func, update
from sqlalchemy.exc import DBAPIError

from etl.coverage import Spans
from etl.model import OPEN_STATUSES, CallRow, Context, Derived, Record, Rejection
from etl.records.derive import derive, same_content
from etl.records.identify import as_reject
from etl.runs.account import Account
from etl.runs.port import Due
from etl.runs.terms import Loaded, Observed
from etl.warehouse.database import driver_of
from etl.warehouse.loading.binary_copy import Block, block, blocks_of, children_of
from etl.warehouse.loading.classified import Sorted
from etl.warehouse.loading.history import CHANGED, delete_children, supersede
from etl.warehouse.loading.lookup import Glimpse, Stored, held_in, look_up, stored
from etl.warehouse.loading.prepared import NOTHING, Drafts, context_of, derived, draft
from etl.warehouse.loading.rejects_and_drift import Reject, note_drift, note_rejects
from etl.warehouse.loading.upsert import COLUMNS, CREATE_CHANGED, EMPTY_CHANGED, REWRITE, UPSERT
from etl.warehouse.tables import calls, texts

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
        self._driver = driver_of(connection)
        self._glimpsed = Glimpse({}, frozenset())  # what the transaction saw already of the stream that is being loaded

    def glimpse(self, stream: str, spans: Spans) -> Collection[str]:
        """Return which calls are held in `spans`; what is loaded of the stream next is compared with them first."""
        self._glimpsed = held_in(self._driver, self._account, stream=stream, spans=spans)
        return self._glimpsed.hashes.keys()

    def load(self, observed: Observed, covered: Spans) -> Loaded:
        """Write the records of a page that are new or changed; within a page the last sighting of an id wins."""
        drafts = observed.drafts
        written = drafts if isinstance(drafts, Drafts) and self._copied(drafts) else NOTHING
        sorted_out = self._sort(observed, written)
        rows = self._write_new(observed, sorted_out.new) + self._write(sorted_out.changed, self._upsert)
        refused = {row.call_id for row in rows}
        if refused:
            left = [record for record in sorted_out.new.records if record.call_id not in refused]
            records = {record.call_id: as_reject(self._account.provider, record) for record in observed.records}
            sorted_out = sorted_out.without(refused, new=self._draft(observed, left), records=records)
        sorted_out = sorted_out.with_written(written)
        name = self._account.connection
        note_rejects(self._connection, name, observed.stream, sorted_out.rejects, observed.observed_at)
        note_drift(self._connection, name, sorted_out.drift, observed.observed_at)
        return sorted_out.loaded(covered)

    def compare(self, observed: Observed, covered: Spans) -> Loaded:
        """Return what `load` would do, and write nothing."""
        return self._sort(observed, NOTHING).loaded(covered)

    def _copied(self, drafts: Drafts) -> bool:
        """Copy what is expected to be new; where a key shows that it is not, or a row is refused, nothing is written."""
        try:
            with self._savepoint():
                for rows in drafts.blocks:
                    self._copy(rows)
        except (*REFUSALS, psycopg.errors.UniqueViolation):
            return False
        return True

    def _sort(self, observed: Observed, written: Drafts) -> Sorted:
        """Look up what is held of all calls but those written already."""
        stream, observed_at = observed.stream, observed.observed_at
        rejects = [Reject(record, record.rejection) for record in observed.records if record.rejection is not None]
        usable = observed.latest
        if written.records:
            done = set(written.call_ids)
            usable = {call_id: record for call_id, record in usable.items() if call_id not in done}
        new: list[Record] = []
        differing: dict[str, Record] = {}
        in_two_streams = 0
        held_as = map(self._glimpsed.hashes.get, usable)
        repeated = list(map(eq, held_as, map(attrgetter("digest"), usable.values())))
        known_open = [*self._glimpsed.open_ids.intersection(compress(usable, repeated))]
        doubtful = list(compress(usable.values(), map(not_, repeated)))
        for record, known in look_up(self._driver, self._account, stream=stream, records=doubtful):
            call_id = record.call_id
            if known is None or call_id is None:
                new.append(record)
                continue
            if known.status in OPEN_STATUSES:
                known_open.append(call_id)
            if known.stream != stream:
                rejects.append(Reject(record, Rejection.ID_IN_TWO_STREAMS))
                in_two_streams += 1
            elif known.content_hash != record.digest and known.observed_at <= observed_at:
                differing[call_id] = record
        held = self._stored(differing)
        changed = [
            self._changed(observed, record, held[call_id])
            for call_id, record in differing.items()
            if not same_content(self._account.provider, held[call_id].raw.value, record.value)
        ]
        return Sorted(
            new=self._draft(observed, new),
            changed=changed,
            rejects=rejects,
            unchanged=len(usable) - len(new) - len(changed) - in_two_streams,
            known_open=frozenset(known_open),
        )

    def _draft(self, observed: Observed, records: Sequence[Record]) -> Drafts:
        return draft(observed, self._account, records, run_id=self._run_id)

    def _changed(self, observed: Observed, record: Record, held: Stored) -> Derived:
        return derive(
            self._account.provider,
            self._context(observed.stream),
            record,
            observed_at=observed.observed_at,
            detail=held.detail,
            detail_observed_at=held.detail_observed_at,
            detail_due_at=observed.due_at,
            last_changed_at=observed.observed_at,
        )

    def load_detail(self, *, stream: str, call_id: str, detail: Record, observed_at: datetime, due: Due) -> Loaded:
        """Write one held call anew from what its detail says; one that says nothing new only gets its next date."""
        held = self._stored([call_id]).get(call_id)
        if held is None or (held.detail_observed_at is not None and held.detail_observed_at > observed_at):
            return Loaded()
        provider = self._account.provider
        entry = derive(
            provider,
            self._context(stream),
            held.raw,
            observed_at=held.observed_at,
            detail=detail,
            detail_observed_at=observed_at,
            last_changed_at=observed_at,
        )
        due_at = due(entry, detail.value)
        if held.detail is not None and same_content(provider, held.detail.value, detail.value):
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
                calls.c.call_id == func.any(texts(call_ids)),
                calls.c.detail_due_at.is_distinct_from(due_at),
            )
            .values(detail_due_at=due_at)
        )

    def _context(self, stream: str) -> Context:
        return context_of(self._account, stream, run_id=self._run_id)

    def _stored(self, call_ids: Collection[str]) -> dict[str, Stored]:
        return stored(self._connection, self._account, call_ids) if call_ids else {}

    def _write_new(self, observed: Observed, drafts: Drafts) -> list[CallRow]:
        """Copy new calls, all but those that the database refuses; return these."""
        if not drafts.records or self._copied(drafts):
            return []
        return self._write(derived(observed, self._account, drafts.records, run_id=self._run_id), self._insert)

    def _write(self, entries: Sequence[Derived], write: Callable[[Sequence[Derived]], None]) -> list[CallRow]:
        """Write all entries but those that the database refuses; return these. Halves until each culprit stands alone."""
        if not entries:
            return []
        try:
            with self._savepoint():
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

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        """Undo what the block did where the database refuses it. Never released: the commit does that without a round trip."""
        self._driver.execute("SAVEPOINT rows")
        try:
            yield
        except (psycopg.Error, DBAPIError):
            if self._driver.info.transaction_status == TransactionStatus.INERROR:
                self._driver.execute("ROLLBACK TO SAVEPOINT rows")
            raise

    def _insert(self, entries: Sequence[Derived]) -> None:
        """Copy calls that are not held straight into the tables."""
        for rows in blocks_of(entries):
            self._copy(rows)

    def _upsert(self, entries: Sequence[Derived]) -> None:
        """Write calls that are held, each unless what is held was observed later; replace the children of those written."""
        self._copy_changed(entry.call for entry in entries)
        supersede(self._connection, self._account.connection)
        written = {row.call_id for row in self._connection.execute(UPSERT)}
        self._driver.execute(EMPTY_CHANGED)
        self._replace_children([entry for entry in entries if entry.call.call_id in written])

    def rewrite(self, entries: Sequence[Derived]) -> None:
        """Write held calls and their children in place: the same version, as its records have it."""
        if not entries:
            return
        self._copy_changed(entry.call for entry in entries)
        self._connection.execute(REWRITE, {"connection": self._account.connection})
        self._driver.execute(EMPTY_CHANGED)
        self._replace_children(entries)

    def restore(self, entries: Sequence[Derived]) -> None:
        """Write calls that are not held."""
        self._write(entries, self._insert)

    def _copy_changed(self, rows: Iterable[CallRow]) -> None:
        """Fill the session's temporary table."""
        self._driver.execute(CREATE_CHANGED)
        self._copy(block(calls, COLUMNS, list(rows))._replace(table=f"pg_temp.{CHANGED}"))

    def _replace_children(self, entries: Sequence[Derived]) -> None:
        delete_children(self._connection, self._account.connection, [entry.call.call_id for entry in entries])
        for rows in children_of(entries):
            self._copy(rows)

    def _copy(self, rows: Block) -> None:
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
            sql.Identifier(*rows.table.split(".")), sql.SQL(", ").join(map(sql.Identifier, rows.columns))
        )
        with self._driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(rows.data)
