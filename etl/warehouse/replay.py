"""
Knows how the rows of a connection are written again from the records they were made of (`etl.runs.port.ReplayWarehouse`).

What a mapping makes otherwise is written over the held row: no version becomes history and `last_changed_at` stays, since nothing
changed at the provider. A reject that has become a row is loaded like any record, as of when it was last seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from etl.model import Derived, Drift, Record, Rejection
from etl.records.identify import identify
from etl.runs.account import Account
from etl.runs.port import FIRST, Departures, Place, Rewritten, Tried
from etl.runs.terms import Observed
from etl.warehouse.loading.history import CHANGED
from etl.warehouse.loading.load import Loader
from etl.warehouse.loading.prepared import NOTHING, derived
from etl.warehouse.loading.transaction import behind_fence
from etl.warehouse.loading.upsert import EMPTY_CHANGED
from etl.warehouse.postgres import PostgresWarehouse
from etl.warehouse.rederived import DERIVED, Again, derive_again
from etl.warehouse.tables import call_history, calls, rejected_records, schema_drift, texts

ROWS = 1_000
"""So many calls are derived again in one transaction."""

REJECTS = 200
"""So many rejects are tried again in one transaction; a reject can be large."""

_WRITTEN = (*DERIVED, "last_run_id")
_REWRITE = text(
    f"UPDATE public.calls c SET {', '.join(f'{name} = n.{name}' for name in _WRITTEN)} "  # noqa: S608 - column names of ours
    f"FROM pg_temp.{CHANGED} n WHERE c.connection = n.connection AND c.call_id = n.call_id"
)


class Found(NamedTuple):
    """An open reject as it is kept."""

    stream: str
    record_key: str
    reason: str
    raw_text: str
    first_seen_at: datetime
    last_seen_at: datetime


class PostgresReplay(PostgresWarehouse):
    """The warehouse as a replay uses it."""

    def calls_held(self, connection: str) -> int:
        """See `ReplayWarehouse.calls_held`."""
        with self._database.begin() as session:
            return int(session.execute(select(func.count()).where(calls.c.connection == connection)).scalar_one())

    def rewrite(self, account: Account, *, run_id: int, after: str) -> Rewritten | None:
        """See `ReplayWarehouse.rewrite`."""
        with behind_fence(self._database, account, run_id) as fenced:
            return _Replayer(fenced.connection, account, run_id).derive_again(after)

    def try_rejects(self, account: Account, *, run_id: int, after: Place, now: datetime) -> Tried | None:
        """See `ReplayWarehouse.try_rejects`."""
        with behind_fence(self._database, account, run_id) as fenced:
            return _Replayer(fenced.connection, account, run_id).try_rejects(after, now)

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


class _Replayer(Loader):
    """Writes again what a connection holds, inside one transaction."""

    def derive_again(self, after: str) -> Rewritten | None:
        found = derive_again(self._connection, self._account, run_id=self._run_id, after=after, limit=ROWS)
        if not found:
            return None
        differing = {again.call_id: again for again in found if again.differs}
        entries = [again.derived for again in differing.values() if again.derived is not None]
        refused = self._write(entries, lambda some: self._write_again(some, differing))
        departures: dict[tuple[str, str], tuple[int, str]] = {}
        for again in found:
            for note in again.derived.drift if again.derived is not None else ():
                count, _ = departures.get((note.path, note.kind.value), (0, ""))
                departures[note.path, note.kind.value] = (count + 1, note.sample)
        return Rewritten(
            last=found[-1].call_id,
            seen=len(found),
            written=len(entries) - len(refused),
            underivable=sum(again.derived is None for again in found),
            refused=len(refused),
            departures=departures,
        )

    def _write_again(self, entries: Sequence[Derived], differing: Mapping[str, Again]) -> None:
        rows = [entry.call for entry in entries if differing[entry.call.call_id].columns]
        if rows:
            # The records stay where they are, so they need not travel.
            self._copy_changed(row._replace(raw="null", detail=None) for row in rows)
            self._connection.execute(_REWRITE)
            self._driver.execute(EMPTY_CHANGED)
        parents = [entry for entry in entries if differing[entry.call.call_id].children]
        if parents:
            self._replace_children(parents)

    def try_rejects(self, after: Place, now: datetime) -> Tried | None:
        found = self._open_rejects(after)
        if not found:
            return None
        provider = self._account.provider
        records = {row: identify(provider, row.raw_text.encode(), cleaned=False) for row in found}
        usable = {row: record for row, record in records.items() if record.rejection is None}
        gone, held = self._gone(usable), self._stored([record.call_id for record in usable.values() if record.call_id])
        past: list[Found] = []
        batches: dict[tuple[str, datetime], list[tuple[Found, Record]]] = defaultdict(list)
        for row, record in usable.items():
            if record.call_id in gone and gone[record.call_id] > row.last_seen_at:
                past.append(row)  # what became of the call later is known: it is no more
            elif row.reason == Rejection.DATABASE_REFUSED and provider.detail is not None and record.call_id in held:
                continue  # may be a detail, not a record of the list; a sync asks for it again
            else:
                batches[row.stream, row.last_seen_at].append((row, record))
        inserted = updated = 0
        for (stream, seen_at), batch in batches.items():
            came, changed, right = self._load_batch(stream, seen_at, batch, due_at=now if provider.detail is not None else None)
            inserted, updated = inserted + came, updated + changed
            past += right
        self._resolve(past, now)
        last = found[-1]
        return Tried(
            last=Place(last.stream, last.record_key),
            seen=len(found),
            inserted=inserted,
            updated=updated,
            resolved=len(past),
        )

    def _load_batch(
        self, stream: str, seen_at: datetime, batch: Sequence[tuple[Found, Record]], *, due_at: datetime | None
    ) -> tuple[int, int, list[Found]]:
        """Load rejects that were last seen together; return how many calls are new and changed, and the rejects come right."""
        records = [record for _, record in batch]
        first_seen = {record.call_id: row.first_seen_at for row, record in batch}
        observed = Observed(stream=stream, records=records, observed_at=seen_at, due_at=due_at)
        outcome = self._sort(observed, NOTHING)
        new = [
            entry._replace(call=entry.call._replace(first_seen_at=first_seen[entry.call.call_id]))
            for entry in derived(observed, self._account, outcome.new.records, run_id=self._run_id)
        ]
        refused = {call.call_id for call in self._write(new, self._insert) + self._write(outcome.changed, self._upsert)}
        still = {reject.record.digest for reject in outcome.rejects}
        right = [row for row, record in batch if record.digest not in still and record.call_id not in refused]
        came = sum(entry.call.call_id not in refused for entry in new)
        return came, sum(entry.call.call_id not in refused for entry in outcome.changed), right

    def _open_rejects(self, after: Place) -> Sequence[Found]:
        table = rejected_records
        columns = (
            table.c.stream,
            table.c.record_key,
            table.c.reason,
            table.c.raw_text,
            table.c.first_seen_at,
            table.c.last_seen_at,
        )
        statement = select(*columns).where(table.c.connection == self._account.connection, table.c.resolved_at.is_(None))
        if after != FIRST:
            statement = statement.where(tuple_(table.c.stream, table.c.record_key) > tuple_(after.stream, after.record_key))
        statement = statement.order_by(table.c.stream, table.c.record_key).limit(REJECTS)
        return [Found(*row) for row in self._connection.execute(statement)]

    def _gone(self, usable: Mapping[Found, Record]) -> dict[str | None, datetime]:
        """Return when those of the calls that were once found gone were so last."""
        ids = texts([record.call_id for record in usable.values() if record.call_id is not None])
        rows = self._connection.execute(
            select(call_history.c.call_id, func.max(call_history.c.valid_to).label("gone_at"))
            .where(
                call_history.c.connection == self._account.connection,
                call_history.c.call_id == func.any(ids),
                call_history.c.deleted,
            )
            .group_by(call_history.c.call_id)
        )
        return {row.call_id: row.gone_at for row in rows}

    def _resolve(self, rows: Sequence[Found], now: datetime) -> None:
        table = rejected_records
        keys = [(row.stream, row.record_key) for row in rows]
        if keys:
            self._connection.execute(
                update(table)
                .where(table.c.connection == self._account.connection, tuple_(table.c.stream, table.c.record_key).in_(keys))
                .values(resolved_at=now)
            )
