"""
Knows what a replay needs of the warehouse (`etl.runs.port.ReplayWarehouse`): held calls, open rejects, what was found odd.

It derives nothing: what is held goes out, rows come in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from etl.model import Drift
from etl.records.rows import HeldCalls
from etl.runs.account import Account
from etl.runs.port import FIRST, Departures, KeptReject, Place
from etl.warehouse.audits import MendingPage
from etl.warehouse.held_calls import read_held
from etl.warehouse.loading.transaction import behind_fence, page_transaction
from etl.warehouse.postgres import PostgresWarehouse
from etl.warehouse.tables import call_history, calls, rejected_records, schema_drift, texts


class ReplayPage(MendingPage):
    """The transaction of one stretch of a replay (`etl.runs.port.ReplayPage`)."""

    def held_after(self, call_id: str, *, limit: int) -> HeldCalls:
        """See `ReplayPage.held_after`."""
        return read_held(self._driver, self._account.connection, after=call_id, limit=limit)

    def rejects_after(self, place: Place, *, limit: int) -> Sequence[KeptReject]:
        """See `ReplayPage.rejects_after`."""
        table = rejected_records
        statement = select(*(table.c[name] for name in KeptReject._fields)).where(
            table.c.connection == self._account.connection, table.c.resolved_at.is_(None)
        )
        if place != FIRST:
            statement = statement.where(tuple_(table.c.stream, table.c.record_key) > tuple_(place.stream, place.record_key))
        statement = statement.order_by(table.c.stream, table.c.record_key).limit(limit)
        return [KeptReject(*row) for row in self._connection.execute(statement)]

    def gone(self, call_ids: Sequence[str]) -> Mapping[str, datetime]:
        """See `ReplayPage.gone`."""
        rows = self._connection.execute(
            select(call_history.c.call_id, func.max(call_history.c.valid_to).label("gone_at"))
            .where(
                call_history.c.connection == self._account.connection,
                call_history.c.call_id == func.any(texts(call_ids)),
                call_history.c.deleted,
            )
            .group_by(call_history.c.call_id)
        )
        return {row.call_id: row.gone_at for row in rows}


class PostgresReplay(PostgresWarehouse):
    """The warehouse as a replay uses it."""

    def calls_held(self, connection: str) -> int:
        """See `ReplayWarehouse.calls_held`."""
        with self._database.begin() as session:
            return int(session.execute(select(func.count()).where(calls.c.connection == connection)).scalar_one())

    @contextmanager
    def page(self, account: Account, *, run_id: int) -> Iterator[ReplayPage]:
        """See `ReplayWarehouse.page`."""
        with page_transaction(self._database, account, run_id, ReplayPage) as page:
            yield page

    def save_departures(self, account: Account, *, run_id: int, found: Departures, now: datetime) -> None:
        """See `ReplayWarehouse.save_departures`."""
        name = account.connection
        with behind_fence(self._database, account, run_id) as (session, _):
            kept = session.execute(
                select(schema_drift.c.path, schema_drift.c.kind).where(schema_drift.c.connection == name)
            ).all()
            # What was cleaned when it was read can no longer be seen in what is held.
            past = [(row.path, row.kind) for row in kept if row.kind != Drift.CLEANED_TEXT and (row.path, row.kind) not in found]
            if past:
                session.execute(
                    delete(schema_drift).where(
                        schema_drift.c.connection == name, tuple_(schema_drift.c.path, schema_drift.c.kind).in_(past)
                    )
                )
            if found:
                values = [
                    {
                        "connection": name,
                        "path": path,
                        "kind": kind,
                        "sample": sample,
                        "count": count,
                        "first_seen_at": now,
                        "last_seen_at": now,
                    }
                    for (path, kind), (count, sample) in sorted(found.items())
                ]
                session.execute(insert(schema_drift).on_conflict_do_nothing(), values)
