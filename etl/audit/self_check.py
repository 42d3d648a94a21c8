"""
Checks the warehouse against itself: each row and its children against its own records, versions' order, roll-ups.

No request is needed. A row is a pure function of its records (`etl.records.rederive`), so any difference was caused by something
else than a sync.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from operator import attrgetter

from etl.audit.port import AuditWarehouse, Batch, Disagreement, Version
from etl.model import CallRow
from etl.records.rederive import Unlike, rederive
from etl.records.rows import Rewrite
from etl.runs.context import Task

_call_id = attrgetter("call_id")


@dataclass(slots=True)
class Wrong:
    """What is wrong in one batch, grouped by how it is repaired."""

    rewrite: list[tuple[Disagreement, Rewrite]] = field(default_factory=list)  # rewrite from the row's own records
    erase: list[Disagreement] = field(default_factory=list)  # delete: not a call of the provider
    copies: list[CallRow] = field(default_factory=list)  # those of `erase` that are held as calls
    damaged: list[tuple[Disagreement, CallRow]] = field(default_factory=list)  # the list record itself: ask the provider again
    versions: list[Disagreement] = field(default_factory=list)  # cannot be repaired: nothing says what was true


def examine_batch(task: Task, warehouse: AuditWarehouse, batch: Batch) -> Wrong:
    """Check one batch against itself."""
    wrong = Wrong()
    account = task.account
    found = rederive(account.provider, batch.held, currency=account.currency, run_id=task.run_id)
    for row, rewrite in found.differing:
        differs = (*rewrite.columns, *(f"call_{kind}" for kind in rewrite.children))
        wrong.rewrite.append((Disagreement(row.stream, row.call_id, differs), rewrite))
    _sort_unlike(task, warehouse, found.unlike, wrong)
    held = set(map(_call_id, batch.held.calls))
    for kind in ("participants", "messages", "events"):
        orphans = set(map(_call_id, getattr(batch.held, kind))) - held
        wrong.erase += [Disagreement("", call_id, (f"call_{kind} of no call",)) for call_id in sorted(orphans)]
    _check_versions(batch, held, wrong)
    return wrong


def compare_rollups(task: Task, warehouse: AuditWarehouse, *, mend: bool) -> list[Disagreement]:
    """Compare the stored roll-ups with calls; with `mend` those that differ are made again at the end of the run."""
    found: dict[str, list[date]] = defaultdict(list)
    for relation, day in warehouse.differing_rollups(task.connection):
        found[relation].append(day)
    days = sorted({day for some in found.values() for day in some})
    if mend and days:
        warehouse.remake_days(task.account, run_id=task.run_id, days=days)
    return [
        Disagreement("", None, (f"{relation} of {days[0]:%Y-%m-%d}" + (f" and {len(days) - 1} more" if days[1:] else ""),), mend)
        for relation, days in found.items()
    ]


def _sort_unlike(task: Task, warehouse: AuditWarehouse, unlike: Sequence[Unlike], wrong: Wrong) -> None:
    """Sort rows whose list record does not fit them into damaged rows and copies of another held call."""
    known = warehouse.held_ids(task.connection, [record.call_id for _, record in unlike if record.call_id is not None])
    for row, record in unlike:
        if record.rejection is not None:
            wrong.damaged.append((Disagreement(row.stream, row.call_id, ("raw",)), row))
        elif record.call_id in known:
            wrong.erase.append(Disagreement(row.stream, row.call_id, ("duplicate",)))
            wrong.copies.append(row)
        else:
            wrong.damaged.append((Disagreement(row.stream, row.call_id, ("raw", "call_id")), row))


def _check_versions(batch: Batch, held: set[str], wrong: Wrong) -> None:
    if not batch.versions:
        return
    for row in batch.held.calls:
        if found := _disorder(batch.versions.get(row.call_id, ()), row):
            wrong.versions.append(Disagreement(row.stream, row.call_id, found))
    for call_id in sorted(batch.versions.keys() - held):
        if found := _disorder(batch.versions[call_id], None):
            wrong.versions.append(Disagreement("", call_id, found))


def _disorder(versions: Sequence[Version], row: CallRow | None) -> tuple[str, ...]:
    """Return what is wrong with a call's versions: they must be numbered from 1, and none may begin before the last ended."""
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
