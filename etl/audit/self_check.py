"""
Knows how the warehouse is compared with itself: each row with what its own records say, children, versions. Asks no provider.

A row is a pure function of its records (`etl.records.derive`), so whatever else stands in it was put there by something else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from etl.audit.port import AuditWarehouse, Batch, Disagreement, Version
from etl.model import JSON, CallRow, Context, Derived, Record
from etl.records.derive import derive
from etl.records.identify import identify
from etl.runs.context import Task
from etl.runs.streams import home_of

DERIVED = tuple(
    name
    for name in CallRow._fields
    if name
    not in {
        "raw",
        "detail",
        "first_seen_at",
        "last_changed_at",
        "observed_at",
        "detail_observed_at",
        "detail_due_at",
        "content_hash",
        "last_run_id",
    }
)
"""The columns that follow from the records; the others tell when and how these were observed."""


@dataclass(slots=True)
class Wrong:
    """What is wrong in one batch, by what puts it right."""

    rewrite: list[tuple[Disagreement, Derived]] = field(default_factory=list)  # from the row's own records
    erase: list[Disagreement] = field(default_factory=list)  # no call of the provider
    copies: list[CallRow] = field(default_factory=list)  # those of them that are held as calls
    damaged: list[tuple[Disagreement, CallRow]] = field(default_factory=list)  # the list record itself: ask the provider
    versions: list[Disagreement] = field(default_factory=list)  # nothing can tell what was true


def examine_batch(task: Task, warehouse: AuditWarehouse, batch: Batch) -> Wrong:
    """Compare a batch with itself."""
    wrong = Wrong()
    held = {row.call_id for row in batch.calls}
    others: list[tuple[CallRow, str]] = []
    for row in batch.calls:
        record = _record(task, row.raw)
        if record.rejection is not None or record.call_id is None:
            wrong.damaged.append((Disagreement(row.stream, row.call_id, ("raw",)), row))
        elif record.call_id != row.call_id:
            others.append((row, record.call_id))
        else:
            _compare(task, batch, row, record, wrong)
        if found := _disorder(batch.versions.get(row.call_id, ()), row):
            wrong.versions.append(Disagreement(row.stream, row.call_id, found))
    known = warehouse.held_ids(task.connection, [call_id for _, call_id in others])
    for row, call_id in others:
        if call_id in known:
            wrong.erase.append(Disagreement(row.stream, row.call_id, ("duplicate",)))
            wrong.copies.append(row)
        else:
            wrong.damaged.append((Disagreement(row.stream, row.call_id, ("raw", "call_id")), row))
    for table in ("participants", "messages", "events"):
        orphans = getattr(batch, table).keys() - held
        wrong.erase += [Disagreement("", call_id, (f"call_{table} of no call",)) for call_id in sorted(orphans)]
    for call_id in sorted(batch.versions.keys() - held):
        if found := _disorder(batch.versions[call_id], None):
            wrong.versions.append(Disagreement("", call_id, found))
    return wrong


def restored(task: Task, row: CallRow, record: Record) -> Derived:
    """Return what a held row's call becomes of `record`; its instants and its detail, where usable, stay."""
    detail = _detail(task, row)
    stream = home_of(task.account, row.stream)
    return derive(
        task.account.provider,
        Context(connection=row.connection, stream=stream, currency=task.account.currency, run_id=task.run_id),
        record,
        observed_at=row.observed_at,
        detail=detail,
        detail_observed_at=row.detail_observed_at if detail is not None else None,
        # At once by whatever clock: no answer of this run may have told the provider's yet.
        detail_due_at=row.detail_due_at if detail is not None or row.detail is None else min(row.cursor_at, row.observed_at),
        first_seen_at=row.first_seen_at,
        last_changed_at=row.last_changed_at,
    )


def _compare(task: Task, batch: Batch, row: CallRow, record: Record, wrong: Wrong) -> None:
    entry = restored(task, row, record._replace(digest=row.content_hash))
    differs = [name for name in DERIVED if not _same(name, getattr(row, name), getattr(entry.call, name))]
    if row.detail is not None and entry.call.detail is None:
        differs.append("detail")
    for table, fields in (("participants", entry.participants), ("messages", entry.messages), ("events", entry.events)):
        if _plain(getattr(batch, table).get(row.call_id, ())) != _plain(fields):
            differs.append(f"call_{table}")
    if differs:
        wrong.rewrite.append((Disagreement(row.stream, row.call_id, tuple(differs)), entry))


def _record(task: Task, text: str) -> Record:
    return identify(task.account.provider, text.encode(), cleaned=False)


def _detail(task: Task, row: CallRow) -> Record | None:
    """Return the row's detail, None where there is none or it is not this call's."""
    form = task.account.provider.detail
    if row.detail is None or row.detail_observed_at is None or form is None:
        return None
    record = _record(task, row.detail)
    return record if isinstance(record.value, dict) and record.call_id in form.id_forms(row.call_id) else None


def _disorder(versions: Sequence[Version], row: CallRow | None) -> tuple[str, ...]:
    """Say what is wrong with the versions of a call: they follow each other from 1, none begins before the last one ended."""
    found = []
    if [version.version for version in versions] != list(range(1, len(versions) + 1)):
        found.append("call_history.version")
    if any(later.valid_from < earlier.valid_to for earlier, later in pairwise(versions)) or any(
        version.valid_from >= version.valid_to for version in versions
    ):
        found.append("call_history.valid_from")
    if versions and row is not None and row.last_changed_at < versions[-1].valid_to:
        found.append("last_changed_at")
    return tuple(found)


def _same(name: str, held: JSON, derived: JSON) -> bool:
    if name == "attributes" and isinstance(held, str) and isinstance(derived, str):
        return bool(json.loads(held) == json.loads(derived))
    return bool(held == derived)


def _plain(rows: Iterable[tuple[JSON, ...]]) -> list[tuple[JSON, ...]]:
    """Return children in an order of their own, JSON text decoded, so that they can be compared."""
    return sorted((tuple(_decoded(row)) for row in rows), key=lambda row: str(row[2]))


def _decoded(row: tuple[JSON, ...]) -> Iterator[JSON]:
    fields = getattr(row, "_fields", ())
    return (
        json.loads(value) if name == "data" and isinstance(value, str) else value for name, value in zip(fields, row, strict=True)
    )
