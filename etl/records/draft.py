"""
Prepares the rows of calls that are expected to be new, before the warehouse is asked about them.

As columns if all records are as documented (`etl.records.columns`), else one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from etl.model import OPEN_STATUSES, Context, Derived, Record
from etl.provider import Provider, When
from etl.records.asking import due_where_worth
from etl.records.columns import in_bulk
from etl.records.derive import derive
from etl.records.rows import NOTHING, Draft


def draft(
    provider: Provider, context: Context, records: Sequence[Record], *, observed_at: datetime, due_at: datetime | None
) -> Draft:
    """Return the draft for these records. Each is of a different call, and none is a reject."""
    if not records:
        return NOTHING
    bulk = in_bulk(provider, context, records, observed_at=observed_at, detail_due_at=due_at)
    if bulk is not None:
        return Draft(records=records, rows=bulk, open_ids=bulk.open_ids, drift=Counter())
    entries = derive_each(provider, context, records, observed_at=observed_at, due_at=due_at)
    return Draft(
        records=records,
        rows=entries,
        open_ids=frozenset(entry.call.call_id for entry in entries if entry.call.status in OPEN_STATUSES),
        drift=Counter(note for entry in entries for note in entry.drift),
    )


def derive_each(
    provider: Provider, context: Context, records: Sequence[Record], *, observed_at: datetime, due_at: datetime | None
) -> list[Derived]:
    """Derive records of calls that are not held, one by one."""
    entries = [derive(provider, context, record, observed_at=observed_at, detail_due_at=due_at) for record in records]
    if provider.detail is None or provider.detail.when is When.ALWAYS:
        return entries
    return [due_where_worth(provider, entry, record) for entry, record in zip(entries, records, strict=True)]
