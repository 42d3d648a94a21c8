"""
Remembers which held calls the lists of a run have shown, and which ones in another stream than the one that holds them.

What a list shows is there, whatever else is answered about it.

Not every id is kept, since a list may hold millions: where a page proves that a range was read, all calls held in it were shown
but those found absent. Only ids that stand outside of what their page proves are kept one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from etl.coverage import Spans
from etl.model import Record
from etl.runs.terms import Elsewhere


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


WAITING = 10_000
"""The maximum number of records that wait in memory; any further call moves at once, as if only this list showed it."""


class Sighting(NamedTuple):
    """A record whose call is held elsewhere: which list showed it, and when."""

    stream: str
    observed_at: datetime
    record: Record
    held: Elsewhere


class Moves:
    """The calls that one run has met in another stream than the one that holds them, and not decided yet."""

    def __init__(self) -> None:
        self.unread: set[str] = set()  # streams that this run has still to read
        self.waiting: dict[tuple[str, str | None], Sighting] = {}

    def wait(self, found: Sighting) -> bool:
        """Keep a sighting until the stream that holds the call was read; return whether there is anything to wait for."""
        if found.held.stream not in self.unread or len(self.waiting) >= WAITING:
            return False
        self.waiting[found.stream, found.record.call_id] = found
        return True
