"""
Decides whether the pages of a list advance, by the new ids on them and never by what pages say about themselves.

New calls at the head of a list push known records onto later pages. A page with more repeats than that explains came from the
wrong place in the list: the records that belong there are missing, and the next page does not follow on what was read. Only the
ids of the first page and of the last few are kept, however long the list is.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime

from etl.model import Record
from etl.reading.source import Page

PAGES_REMEMBERED = 5
"""The maximum number of pages' worth of new calls that may push known records down before one is taken for a breach of order."""


def key_of(record: Record) -> str:
    """Return what identifies a record: its id, or the digest of its content if it has none."""
    return record.call_id or record.digest.hex()


class Progress:
    """Counts the ids in a chain of consecutive pages, and how many there should be."""

    def __init__(self) -> None:
        self.recent: deque[frozenset[str]] = deque(maxlen=PAGES_REMEMBERED)
        self.contradicted = False  # whether a page showed more calls than its own total, which then is useless
        self.fresh = 0  # new ids on the current page
        self.unexplained = 0  # repeats on it that new arrivals do not explain
        self.joined = False  # whether it shares a call with the page before
        self._first: frozenset[str] = frozenset()
        self._total: int | None = None
        self._total_at_first: int | None = None
        self._begin(0, None)

    def _begin(self, place: int, total: int | None) -> None:
        """Begin a chain with a page whose first record has `place` records before it in the list."""
        self._chain: deque[frozenset[str]] = deque(maxlen=PAGES_REMEMBERED)
        self._place = place
        self._owed = total - place if total is not None else None  # calls from there to the list's end
        self._counted = self._repeated = self._shrunk = 0

    def see(self, page: Page, *, place: int, follows: bool, tied: datetime | None) -> None:
        """
        Count a page whose first record has `place` records before it. If it does not follow the page before, it begins a new
        chain.

        Repeated calls of the instant `tied` never count as unexplained, since each request may order them differently.
        """
        total = page.facts.total
        change = total - self._total if total is not None and self._total is not None else 0
        arrived, self._total = change, total
        if not follows:
            self._begin(place, total)
            # What the first page showed may stand further down only by what has arrived since.
            arrived = total - self._total_at_first if total is not None and self._total_at_first is not None else 0
        keys = {key_of(record): record for record in page.records}
        known = self.known
        self.fresh = sum(key not in known for key in keys)
        chained = self._first.union(*self._chain) if follows or place else frozenset[str]()
        repeats = [record for key, record in keys.items() if key in chained]
        loose = sum(tied is None or record.cursor != tied for record in repeats)
        judged = total is not None or not self.fresh  # without a total, arrivals may explain all repeats on a page with new ids
        self.unexplained = max(loose - max(arrived, 0), 0) if judged else 0
        self.joined = follows and any(key in self.recent[-1] for key in keys)
        self._counted += len(keys) - len(repeats)
        self._repeated += len(repeats) - self.unexplained
        self._shrunk += max(-change, 0)
        self._total_at_first = self._total_at_first if self._first else total
        self._first = self._first or frozenset(keys)
        self.recent.append(frozenset(keys))
        self._chain.append(frozenset(keys))
        if total is not None and page.records and total < self._place + self._counted - self._shrunk:
            self.contradicted = True

    @property
    def known(self) -> frozenset[str]:
        """The ids of the first page and of the last few."""
        return self._first.union(*self.recent)

    @property
    def reached(self) -> int:
        """The number of calls from the list's start to the end of the current page, by the ids seen, not by page numbers."""
        return self._place + self._counted + self._repeated

    @property
    def whole(self) -> bool:
        """Whether the chain has shown as many calls as the list had from the chain's beginning to its end."""
        return self._owed is None or self._counted + self._repeated >= self._owed - self._shrunk
