"""Knows what a page's records are to the warehouse: new, changed, unchanged or refused; writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from etl.coverage import Spans
from etl.model import OPEN_STATUSES, Derived, DriftNote, Record, Rejection
from etl.runs.terms import Loaded
from etl.warehouse.loading.prepared import Drafts
from etl.warehouse.loading.rejects_and_drift import Reject


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """A page's records by what has to be done with them."""

    new: Drafts
    changed: list[Derived]
    rejects: list[Reject]
    unchanged: int
    known_open: frozenset[str]  # the calls on the page that are held and had not ended before it

    def without(self, refused: Collection[str], *, new: Drafts, records: Mapping[str | None, Record]) -> Sorted:
        """Return the same with the rows that the database refused among the rejects; `new` is what is left of the new ones."""
        return replace(
            self,
            new=new,
            changed=[entry for entry in self.changed if entry.call.call_id not in refused],
            rejects=[*self.rejects, *(Reject(records[call_id], Rejection.DATABASE_REFUSED) for call_id in sorted(refused))],
        )

    def with_written(self, written: Drafts) -> Sorted:
        """Return the same with new calls that were written before the others were looked up."""
        new = Drafts(
            records=[*written.records, *self.new.records],
            open_ids=written.open_ids | self.new.open_ids,
            drift=written.drift + self.new.drift,
        )
        return replace(self, new=new)

    @property
    def drift(self) -> Counter[DriftNote]:
        """What was odd about the new and the changed calls."""
        return self.new.drift + Counter(note for entry in self.changed for note in entry.drift)

    def loaded(self, covered: Spans) -> Loaded:
        """Count it; new calls in `covered` are late by how far they lie below its end."""
        new = self.new.records
        cursors = [record.cursor for record in new if record.cursor is not None] if covered else []
        lateness = [covered.last.end - cursor for cursor in cursors if cursor in covered]
        open_now = (entry.call.call_id for entry in self.changed if entry.call.status in OPEN_STATUSES)
        return Loaded(
            inserted=len(new),
            updated=len(self.changed),
            unchanged=self.unchanged,
            rejected=len(self.rejects),
            late=len(lateness),
            max_lateness=max(lateness, default=None),
            open_ids=self.known_open.union(self.new.open_ids, open_now),
        )
