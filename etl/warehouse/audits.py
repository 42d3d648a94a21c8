"""The warehouse of audits, as `etl.audit.port` asks for it: counts, batches, verdicts, and corrections in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime

from sqlalchemy import ColumnElement, delete, func, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import insert

from etl.audit.port import Batch, OpenReject, StreamVerdict
from etl.coverage import BEGINNING, Span
from etl.model import JSON, Rejection
from etl.records.rows import Rewrite
from etl.runs.account import Account
from etl.warehouse.database import driver_of
from etl.warehouse.held_calls import read_batch
from etl.warehouse.loading.history import delete_children
from etl.warehouse.loading.touched import mark_held
from etl.warehouse.loading.transaction import Page, page_transaction
from etl.warehouse.postgres import PostgresWarehouse
from etl.warehouse.rollups.comparing import differing, touch
from etl.warehouse.tables import (
    audits,
    calls,
    connections,
    provider_daily_totals,
    rejected_records,
    texts,
)

BATCH = 500
"""The number of calls compared at once; not more, because transcripts can be long."""

_MINUS_INFINITY: ColumnElement[datetime] = literal_column("'-infinity'::timestamptz")

_QUARTERS = text(
    """
    SELECT date_bin('15 minutes', cursor_at, '2000-01-01Z') AS quarter, count(*) AS calls
    FROM public.calls
    WHERE connection = :connection AND stream = :stream AND cursor_at >= :start AND cursor_at < :end
    GROUP BY 1
    """
)


class MendingPage(Page):
    """Implements `etl.audit.port.MendingPage`, whose methods are documented there."""

    def rewrite(self, rewrites: Sequence[Rewrite]) -> frozenset[str]:
        return self._loader.rewrite(rewrites)

    def erase(self, call_ids: Sequence[str]) -> None:
        name = self._account.connection
        mark_held(self._connection, name, call_ids)
        delete_children(self._connection, name, call_ids)
        self._connection.execute(delete(calls).where(calls.c.connection == name, calls.c.call_id == func.any(texts(call_ids))))

    def resolve(self, *, stream: str, keys: Sequence[str], at: datetime) -> None:
        table = rejected_records
        self._connection.execute(
            update(table)
            .where(
                table.c.connection == self._account.connection,
                table.c.stream == stream,
                table.c.record_key == func.any(texts(keys)),
            )
            .values(resolved_at=at)
        )


class AuditedWarehouse(PostgresWarehouse):
    """Implements `etl.audit.port.AuditWarehouse`, whose methods are documented there."""

    @contextmanager
    def page(self, account: Account, *, run_id: int) -> Iterator[MendingPage]:
        with page_transaction(self._database, account, run_id, MendingPage) as page:
            yield page

    def count_in(self, *, connection: str, stream: str, span: Span) -> int:
        statement = select(func.count()).where(*_inside(connection, stream, span))
        with self._database.begin() as session:
            return int(session.execute(statement).scalar_one())

    def ids_in(self, *, connection: str, stream: str, span: Span) -> Mapping[str, datetime]:
        statement = select(calls.c.call_id, calls.c.cursor_at).where(*_inside(connection, stream, span))
        with self._database.begin() as session:
            return {row.call_id: row.cursor_at for row in session.execute(statement)}

    def middle(self, *, connection: str, stream: str, span: Span) -> datetime | None:
        inside = _inside(connection, stream, span)
        half = select(func.count() / 2).where(*inside).scalar_subquery()
        statement = select(calls.c.cursor_at).where(*inside).order_by(calls.c.cursor_at).offset(half).limit(1)
        with self._database.begin() as session:
            return session.execute(statement).scalar_one_or_none()

    def open_rejects(self, *, connection: str, stream: str) -> tuple[OpenReject, ...]:
        table = rejected_records
        is_held = (
            select(calls.c.call_id)
            .where(calls.c.connection == connection, calls.c.stream == stream, calls.c.call_id == table.c.call_id)
            .exists()
        )
        is_anywhere = select(calls.c.call_id).where(calls.c.connection == connection, calls.c.call_id == table.c.call_id).exists()
        statement = select(table.c.record_key, table.c.call_id, table.c.raw_text).where(
            table.c.connection == connection,
            table.c.stream == stream,
            table.c.resolved_at.is_(None),
            ~is_held,
            (table.c.reason != Rejection.ID_IN_TWO_STREAMS.value) | is_anywhere,
        )
        with self._database.begin() as session:
            return tuple(OpenReject(*row) for row in session.execute(statement))

    def count_by_status(self, *, connection: str, stream: str, before: datetime) -> Mapping[str, int]:
        statement = (
            select(calls.c.provider_status, func.count())
            .where(*_inside(connection, stream, Span(BEGINNING, before)))
            .group_by(calls.c.provider_status)
        )
        with self._database.begin() as session:
            return {word or "": int(number) for word, number in session.execute(statement)}

    def count_by_quarter(self, *, connection: str, stream: str, span: Span) -> Mapping[datetime, int]:
        values = {"connection": connection, "stream": stream, "start": span.start, "end": span.end}
        with self._database.begin() as session:
            return {row.quarter: row.calls for row in session.execute(_QUARTERS, values)}

    def batches(self, connection: str) -> Iterator[Batch]:
        """Yield batches as `AuditWarehouse` says, each read in a transaction of its own."""
        after = ""
        while True:
            with self._database.begin() as session:
                batch = read_batch(driver_of(session), connection, after=after, limit=BATCH)
            yield batch
            if len(batch.held.calls) < BATCH:
                return
            after = batch.held.calls[-1].call_id

    def held_ids(self, connection: str, call_ids: Sequence[str]) -> frozenset[str]:
        if not call_ids:
            return frozenset()
        statement = select(calls.c.call_id).where(calls.c.connection == connection, calls.c.call_id == func.any(texts(call_ids)))
        with self._database.begin() as session:
            return frozenset(row.call_id for row in session.execute(statement))

    def differing_rollups(self, connection: str) -> Iterator[tuple[str, date]]:
        return ((one.relation, one.day) for one in differing(self._database, connection))

    def remake_days(self, account: Account, *, run_id: int, days: Sequence[date]) -> None:
        touch(self._database, account.connection, run_id, list(days))

    def save_daily_totals(self, connection: str, totals: Mapping[date, int], *, observed_at: datetime) -> None:
        if not totals:
            return
        statement = insert(provider_daily_totals)
        new = statement.excluded
        with self._database.begin() as session:
            session.execute(
                statement.on_conflict_do_update(
                    index_elements=["connection", "day"], set_={"calls": new.calls, "observed_at": new.observed_at}
                ),
                [
                    {"connection": connection, "day": day, "calls": number, "observed_at": observed_at}
                    for day, number in sorted(totals.items())
                ],
            )

    def save_verdicts(
        self, connection: str, verdicts: Sequence[StreamVerdict], *, checked_at: datetime, capabilities: JSON
    ) -> None:
        with self._database.begin() as session:
            for one in verdicts:
                session.execute(
                    insert(audits)
                    .inline()  # the driver cannot read -infinity
                    .values(
                        connection=connection,
                        stream=one.stream,
                        range_start=_MINUS_INFINITY if one.span.start == BEGINNING else one.span.start,
                        range_end=one.span.end,
                        provider_count=one.provider_count,
                        warehouse_count=one.warehouse_count,
                        rejected_count=one.rejected_count,
                        verdict=one.verdict.value,
                        checked_at=checked_at,
                        note=one.note,
                    )
                )
            session.execute(update(connections).where(connections.c.connection == connection).values(capabilities=capabilities))


def _inside(connection: str, stream: str, span: Span) -> tuple[ColumnElement[bool], ...]:
    inside = (calls.c.connection == connection, calls.c.stream == stream, calls.c.cursor_at < span.end)
    return inside if span.start == BEGINNING else (*inside, calls.c.cursor_at >= span.start)
