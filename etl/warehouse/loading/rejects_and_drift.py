"""Stores rejected records, one row for each distinct one, and schema drift, one row for each path and kind."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, func, update
from sqlalchemy.dialects.postgresql import insert

from etl.model import DriftNote, Rejection
from etl.runs.terms import Reject
from etl.warehouse.tables import rejected_records, schema_drift, texts


def note_rejects(connection: Connection, name: str, stream: str, rejects: Sequence[Reject], observed_at: datetime) -> None:
    """Store rejects; one that is stored already is counted once more."""
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


def resolve_rejects(
    connection: Connection,
    name: str,
    stream: str,
    call_ids: Collection[str],
    observed_at: datetime,
    *,
    reason: Rejection | None = None,
) -> None:
    """Resolve rejects (of one reason, None: of any) of calls that were read properly, unless seen then or later."""
    table = rejected_records
    statement = (
        update(table)
        .where(
            table.c.connection == name,
            table.c.stream == stream,
            table.c.call_id == func.any(texts(call_ids)),
            table.c.resolved_at.is_(None),
            table.c.last_seen_at < observed_at,
        )
        .values(resolved_at=observed_at)
    )
    connection.execute(statement if reason is None else statement.where(table.c.reason == reason.value))


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
