"""Counts the calls of a list whose order cannot be trusted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime

from etl.coverage import Span
from etl.model import Record
from etl.reading.walks.scan import scan
from etl.reading.walks.way import Access, Uncountable


class WholeList:
    """Counts by reading the whole list once. What its methods promise is documented at `Side`."""

    size = sys.maxsize  # narrowing down is pointless: everything was read already

    def __init__(self, access: Access) -> None:
        self._read: dict[bytes, tuple[Record, datetime]] = {}
        self.bound = access.clock.now()
        proven = False
        for step in scan(access.pager(), claims_from=None):
            for record in step.records:
                key = record.call_id.encode() if record.call_id is not None and record.rejection is None else record.digest
                self._read[key] = (record, step.sent_at)
            self.bound = step.settles_before - access.lookback
            proven = bool(step.seen)
        if not proven:
            raise Uncountable("the provider's list is in no order, and its total and what it lists disagree")

    def count(self, span: Span) -> int:
        return sum(1 for _ in self.records(span))

    def records(self, span: Span) -> Iterator[tuple[Record, datetime]]:
        return ((record, at) for record, at in self._read.values() if record.cursor is None or record.cursor in span)

    def confirm(self, span: Span, *, counted: int, middle: datetime | None) -> None:
        """Do nothing: every call was counted by itself."""

    def placeless_above(self) -> frozenset[str]:
        return frozenset()

    def forget(self) -> None:
        """Do nothing: the list is not read a second time."""
