"""
Remembers which held calls the lists of a run have shown. What a list shows is there, whatever else is answered about it.

Not every id is kept, since a list may hold millions: where a page proves that a range was read, all calls held in it were shown
but those found absent. Only ids that stand outside of what their page proves are kept one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime

from etl.coverage import Spans
from etl.model import Record


class Listed:
    """What the lists of one run have shown, by stream."""

    def __init__(self) -> None:
        self._read: dict[str, Spans] = defaultdict(Spans)
        self._beside: dict[str, set[str]] = defaultdict(set)  # shown, and not in what their page proves
        self._absent: dict[str, set[str]] = defaultdict(set)

    def page(self, stream: str, records: Sequence[Record], *, read: Spans, absent: Collection[str]) -> None:
        """Remember one page: its records, what it proves to be read, and the calls held there that no page has shown."""
        ids = {record.call_id for record in records if record.call_id is not None}
        self._beside[stream].update(
            record.call_id for record in records if record.call_id is not None and record.cursor not in read
        )
        self._read[stream] |= read
        self._absent[stream] = (self._absent[stream] | set(absent)) - ids

    def shows(self, stream: str, call_id: str, cursor: datetime) -> bool:
        """Whether a list of this run has shown the call, which is held in the stream with this cursor."""
        if call_id in self._beside[stream]:
            return True
        return cursor in self._read[stream] and call_id not in self._absent[stream]

    def misses(self, stream: str, call_id: str) -> bool:
        """Whether a complete reading in this run has shown that the stream's list does not have the call."""
        return call_id in self._absent[stream]
