"""
Decides whether the pages of a list advance, by the ids that are new on them and never by what pages say about themselves.

A page that repeats records which no arrival explains was not served where it belongs: what should have stood there is missing,
and the next page does not join what was read. Only the ids of the last few pages are kept, whatever the list's length.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime

from etl.model import Record
from etl.reading.source import Page

PAGES_REMEMBERED = 5
"""The maximum number of pages' worth of new calls that may push known records down before one is taken for a breach of order."""


def key_of(record: Record) -> str:
    """Return what tells a record from another: its id, or its content where it has none."""
    return record.call_id or record.digest.hex()


class Progress:
    """The new ids of a chain of pages that follow each other, and how many there should be."""

    def __init__(self) -> None:
        self.recent: deque[frozenset[str]] = deque(maxlen=PAGES_REMEMBERED)
        self.contradicted = False  # a page showed more calls than its own total counts: that total is no count
        self.fresh = 0  # new ids on the page at hand
        self.unexplained = 0  # repeats on it that no arrival explains
        self.joined = False  # whether it shares a call with the page before
        self._first: frozenset[str] = frozenset()
        self._total: int | None = None
        self._begin(0, None)

    def _begin(self, place: int, total: int | None) -> None:
        """Begin a chain with a page whose first record has so many before it."""
        self._chain: deque[frozenset[str]] = deque(maxlen=PAGES_REMEMBERED)
        self._place = place
        self._owed = total - place if total is not None else None  # so many calls stand from there to the end of the list
        self._counted = self._repeated = self._shrunk = 0

    def see(self, page: Page, *, place: int, follows: bool, tied: datetime | None) -> None:
        """
        Take in a page before whose first record so many stand; one that does not follow the page before begins a new chain.

        Repeats of calls of the instant `tied` are never unexplained, since each request may order them differently.
        """
        total = page.facts.total
        change = total - self._total if total is not None and self._total is not None else 0
        self._total = total
        if not follows:
            self._begin(place, total)
            change = min(change, 0)
        keys = {key_of(record): record for record in page.records}
        known = self.known
        self.fresh = sum(key not in known for key in keys)
        chained = self._first.union(*self._chain) if follows else frozenset[str]()
        repeats = [record for key, record in keys.items() if key in chained]
        loose = sum(tied is None or record.cursor != tied for record in repeats)
        judged = total is not None or not self.fresh  # without a total, arrivals explain whatever leaves something new
        self.unexplained = max(loose - max(change, 0), 0) if judged else 0
        self.joined = follows and any(key in self.recent[-1] for key in keys)
        self._counted += len(keys) - len(repeats)
        self._repeated += len(repeats) - self.unexplained
        self._shrunk += max(-change, 0)
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
        """How many calls stand up to the end of the page at hand, by the ids that were seen, whatever the pages' numbers."""
        return self._place + self._counted + self._repeated

    @property
    def whole(self) -> bool:
        """Whether the chain has shown as many calls as stood from its beginning to the end of the list."""
        return self._owed is None or self._counted + self._repeated >= self._owed - self._shrunk
