"""Knows what a page's records are to the warehouse: new, changed, unchanged or refused; writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from etl.coverage import Spans
from etl.model import OPEN_STATUSES, CallRow, Derived, Record, Rejection
from etl.run import Drafts, Loaded
from etl.warehouse.notes import Reject


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """A page's records by what has to be done with them."""

    new: Drafts
    changed: list[Derived]
    rejects: list[Reject]
    unchanged: int
    known_open: frozenset[str]  # the calls on the page that are held and had not ended before it

    def without(self, refused: Sequence[CallRow], records: Mapping[str | None, Record]) -> Sorted:
        """Return the same with the rows that the database refused among the rejects."""
        ids = {row.call_id for row in refused}
        return replace(
            self,
            new=Drafts(tuple(entry for entry in self.new.entries if entry.call.call_id not in ids)),
            changed=[entry for entry in self.changed if entry.call.call_id not in ids],
            rejects=[*self.rejects, *(Reject(records[call_id], Rejection.DATABASE_REFUSED) for call_id in sorted(ids))],
        )

    def loaded(self, covered: Spans) -> Loaded:
        """Count it; new calls in `covered` are late by how far they lie below its end."""
        new = self.new.entries
        lateness = [covered.last.end - entry.call.cursor_at for entry in new if entry.call.cursor_at in covered]
        open_now = (entry.call.call_id for entry in (*new, *self.changed) if entry.call.status in OPEN_STATUSES)
        return Loaded(
            inserted=len(new),
            updated=len(self.changed),
            unchanged=self.unchanged,
            rejected=len(self.rejects),
            late=len(lateness),
            max_lateness=max(lateness, default=None),
            open_ids=self.known_open.union(open_now),
        )
