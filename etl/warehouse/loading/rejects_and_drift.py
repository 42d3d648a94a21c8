"""Knows how rejected records and schema drift are kept: one row per distinct bad record, one per kind of departure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Update, func, update
from sqlalchemy.dialects.postgresql import insert

from etl.model import DriftNote, Record, Rejection
from etl.warehouse.tables import rejected_records, schema_drift, texts


class Reject(NamedTuple):
    """A record that cannot become a row, and why."""

    record: Record
    reason: Rejection


def note_rejects(connection: Connection, name: str, stream: str, rejects: Sequence[Reject], observed_at: datetime) -> None:
    """Keep each reject; one that is kept already is counted once more."""
    distinct = {reject.record.digest: reject for reject in rejects}
    if not distinct:
        return
    statement = insert(rejected_records)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["connection", "stream", "record_key"],
            set_={
                "last_seen_at": statement.excluded.last_seen_at,
                "sightings": rejected_records.c.sightings + 1,
                "reason": statement.excluded.reason,
                "resolved_at": None,
            },
        ),
        [
            {
                "connection": name,
                "stream": stream,
                "record_key": digest.hex(),
                "call_id": reject.record.call_id if reject.reason is not Rejection.ID_TOO_LONG else None,
                "reason": reject.reason.value,
                "raw_text": reject.record.text.decode("utf-8", "replace").replace("\0", "\ufffd"),
                "first_seen_at": observed_at,
                "last_seen_at": observed_at,
            }
            for digest, reject in distinct.items()
        ],
    )


def resolve_rejects(connection: Connection, name: str, stream: str, call_ids: Sequence[str], observed_at: datetime) -> None:
    """Resolve the rejects of these calls, which were read as they should be at `observed_at`, unless seen then or later."""
    ids = texts(call_ids)
    connection.execute(_resolving(name, stream, observed_at).where(rejected_records.c.call_id == func.any(ids)))


def resolve_refused(connection: Connection, name: str, stream: str, call_id: str, observed_at: datetime) -> None:
    """Resolve what the database had refused of a call whose detail it took at `observed_at`."""
    table = rejected_records
    refused = (table.c.call_id == call_id, table.c.reason == Rejection.DATABASE_REFUSED.value)
    connection.execute(_resolving(name, stream, observed_at).where(*refused))


def _resolving(name: str, stream: str, observed_at: datetime) -> Update:
    table = rejected_records
    return (
        update(table)
        .where(
            table.c.connection == name,
            table.c.stream == stream,
            table.c.resolved_at.is_(None),
            table.c.last_seen_at < observed_at,
        )
        .values(resolved_at=observed_at)
    )


def note_drift(connection: Connection, name: str, drift: Mapping[DriftNote, int], observed_at: datetime) -> None:
    """Count each departure under its path and kind, with the newest sample."""
    counted: dict[tuple[str, str], tuple[int, str]] = {}
    for note, count in drift.items():
        before, _ = counted.get((note.path, note.kind.value), (0, ""))
        counted[note.path, note.kind.value] = (before + count, note.sample)
    if not counted:
        return
    statement = insert(schema_drift)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["connection", "path", "kind"],
            set_={
                "count": schema_drift.c.count + statement.excluded.count,
                "sample": statement.excluded.sample,
                "last_seen_at": statement.excluded.last_seen_at,
            },
        ),
        [
            {
                "connection": name,
                "path": path,
                "kind": kind,
                "sample": sample,
                "count": count,
                "first_seen_at": observed_at,
                "last_seen_at": observed_at,
            }
            for (path, kind), (count, sample) in sorted(counted.items())
        ],
    )
