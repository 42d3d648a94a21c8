"""Knows how calls are counted in a list whose order cannot be trusted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime

from etl.coverage import Span
from etl.model import Record
from etl.reading.walks.scan import scan
from etl.reading.walks.way import Access, Uncountable


class WholeList:
    """See `Side`: a list whose order cannot be trusted, all of which has to be read to count anything."""

    size = sys.maxsize  # nothing is gained by halving what was read already

    def __init__(self, access: Access) -> None:
        self._read: dict[bytes, tuple[Record, datetime]] = {}
        self.bound = access.clock.now()
        proven = False
        for step in scan(access.pager(), claims_from=None):
            for record in step.records:
                key = record.call_id.encode() if record.call_id is not None and record.rejection is None else record.digest
                self._read[key] = (record, step.sent_at)
            self.bound = step.settles_before - access.lookback
            proven = bool(step.read)
        if not proven:
            raise Uncountable("the provider's list is in no order, and its total and what it lists disagree")

    def count(self, span: Span) -> int:
        """See `Side.count`."""
        return sum(1 for _ in self.records(span))

    def records(self, span: Span) -> Iterator[tuple[Record, datetime]]:
        """See `Side.records`."""
        return ((record, at) for record, at in self._read.values() if record.cursor is None or record.cursor in span)

    def placeless_above(self) -> frozenset[str]:
        """See `Side.placeless_above`."""
        return frozenset()

    def forget(self) -> None:
        """See `Side.forget`: nothing is remembered."""
