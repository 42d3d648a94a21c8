"""
The warehouse of replays, as `etl.runs.port` asks for it: held calls, open rejects, departures.

Nothing is derived here: what is held is handed out, and rows are taken in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from etl.model import Drift
from etl.records.rows import FilledVersion, HeldCalls, OldVersion
from etl.runs.account import Account
from etl.runs.port import FIRST, Departures, KeptReject, Place
from etl.warehouse.audits import MendingPage
from etl.warehouse.held_calls import read_held
from etl.warehouse.loading.transaction import behind_fence, page_transaction
from etl.warehouse.postgres import PostgresWarehouse
from etl.warehouse.tables import call_history, calls, rejected_records, schema_drift, texts


class ReplayPage(MendingPage):
    """Implements `etl.runs.port.ReplayPage`, whose methods are documented there."""

    def held_after(self, call_id: str, *, limit: int) -> HeldCalls:
        return read_held(self._driver, self._account.connection, after=call_id, limit=limit)

    def rejects_after(self, place: Place, *, limit: int) -> Sequence[KeptReject]:
        table = rejected_records
        statement = select(*(table.c[name] for name in KeptReject._fields)).where(
            table.c.connection == self._account.connection, table.c.resolved_at.is_(None)
        )
        if place != FIRST:
            statement = statement.where(tuple_(table.c.stream, table.c.record_key) > tuple_(place.stream, place.record_key))
        statement = statement.order_by(table.c.stream, table.c.record_key).limit(limit)
        return [KeptReject(*row) for row in self._connection.execute(statement)]

    def gone(self, call_ids: Sequence[str]) -> Mapping[str, datetime]:
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

    def unfilled_versions(self, *, limit: int) -> Sequence[OldVersion]:
        rows = self._driver.execute(_UNFILLED, (self._account.connection, limit)).fetchall()
        return [OldVersion(*row) for row in rows]

    def fill_versions(self, versions: Sequence[FilledVersion]) -> None:
        with self._driver.cursor() as cursor:
            cursor.executemany(
                _FILL, [(*one[2:], self._now, self._account.connection, one.call_id, one.version) for one in versions]
            )


_UNFILLED = (
    "SELECT call_id, version, stream, cursor_at, raw::text, detail::text, observed_at, detail_observed_at "
    "FROM public.call_history WHERE connection = %s AND occurred_at IS NULL ORDER BY call_id LIMIT %s"
)
_FILL = (
    "UPDATE public.call_history SET occurred_at = %s, direction = %s, agent_id = %s, duration_seconds = %s, cost = %s, "
    "currency = %s, changed_at = %s WHERE connection = %s AND call_id = %s AND version = %s"
)


class PostgresReplay(PostgresWarehouse):
    """Implements `etl.runs.port.ReplayWarehouse`, whose methods are documented there."""

    def calls_held(self, connection: str) -> int:
        with self._database.begin() as session:
            return int(session.execute(select(func.count()).where(calls.c.connection == connection)).scalar_one())

    @contextmanager
    def page(self, account: Account, *, run_id: int) -> Iterator[ReplayPage]:
        with page_transaction(self._database, account, run_id, ReplayPage) as page:
            yield page

    def save_departures(self, account: Account, *, run_id: int, found: Departures, now: datetime) -> None:
        name = account.connection
        with behind_fence(self._database, account.connection, run_id) as (session, _):
            kept = session.execute(
                select(schema_drift.c.path, schema_drift.c.kind).where(schema_drift.c.connection == name)
            ).all()
            # Cleaned characters are noticed while reading only: what is held no longer shows them.
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
