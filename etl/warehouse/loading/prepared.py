"""
Knows what new calls become before the database is asked about them: rows ready to be copied; touches no database.

In bulk where the records are as documented (`etl.records.columns`), else one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from etl.model import OPEN_STATUSES, Context, Derived, DriftNote, Record
from etl.records.columns import in_bulk
from etl.records.derive import derive
from etl.runs.account import Account
from etl.runs.terms import Observed
from etl.warehouse.loading.binary_copy import Block, blocks_in_bulk, blocks_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafts:
    """New calls made ready to be written; which of them are open, and what was odd about them."""

    records: Sequence[Record]
    blocks: tuple[Block, ...] = ()
    open_ids: frozenset[str] = frozenset()
    drift: Counter[DriftNote]

    @property
    def call_ids(self) -> list[str | None]:
        """The ids of the calls, in their order."""
        return [record.call_id for record in self.records]


NOTHING = Drafts(records=(), drift=Counter())


def drafts(observed: Observed, account: Account, *, run_id: int, known: Collection[str]) -> Drafts:
    """See `RunWarehouse.drafts`."""
    expected = [record for call_id, record in observed.latest.items() if call_id not in known]
    return draft(observed, account, expected, run_id=run_id)


def draft(observed: Observed, account: Account, records: Sequence[Record], *, run_id: int) -> Drafts:
    """Make the calls of these records, of each one and none of them a reject, ready to be written."""
    if not records:
        return NOTHING
    context = context_of(account, observed.stream, run_id=run_id)
    bulk = in_bulk(account.provider, context, records, observed_at=observed.observed_at, detail_due_at=observed.due_at)
    if bulk is not None:
        return Drafts(records=records, blocks=blocks_in_bulk(bulk), open_ids=bulk.open_ids, drift=Counter())
    entries = derived(observed, account, records, run_id=run_id)
    return Drafts(
        records=records,
        blocks=blocks_of(entries),
        open_ids=frozenset(entry.call.call_id for entry in entries if entry.call.status in OPEN_STATUSES),
        drift=Counter(note for entry in entries for note in entry.drift),
    )


def derived(observed: Observed, account: Account, records: Sequence[Record], *, run_id: int) -> list[Derived]:
    """Return what records of calls that are not held become, one by one."""
    context, provider = context_of(account, observed.stream, run_id=run_id), account.provider
    observed_at, due_at = observed.observed_at, observed.due_at
    return [derive(provider, context, record, observed_at=observed_at, detail_due_at=due_at) for record in records]


def context_of(account: Account, stream: str, *, run_id: int) -> Context:
    """Return what a row needs to know beyond its records."""
    return Context(connection=account.connection, stream=stream, currency=account.currency, run_id=run_id)
