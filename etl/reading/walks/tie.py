"""
Decides whether all calls of one instant that spans several pages were seen, although each request may order them differently.

Positions are counted from the end of the list, so that arrivals at its head do not change them. The calls of an instant occupy
the positions from its first one to the first one below it, and that many distinct calls must be seen. If the provider gives no
total, positions are counted from the head; arrivals then make the number too large, and the pages are read again.
"""

from __future__ import annotations

from datetime import datetime

from etl.reading.source import Page

TRIES = 25
"""How often the pages of one instant are read before it is left out of the claim."""

FUTILE = 5
"""The same, where every time brings just the same pages: then it is not their order that keeps the rest back."""


class Tie:
    """The instant at a page's end, whose calls may continue on the next page."""

    def __init__(self) -> None:
        self.instant: datetime | None = None
        self.first_page = 1
        self._forget()

    def _forget(self) -> None:
        self.ids: set[str] = set()
        self.pages: set[int] = set()
        self.strangers: dict[int, int] = {}  # by page, how many records among the instant's have another cursor or none
        self.top: int | None = None  # the position of the first, counted from the end
        self.head: int | None = None  # the same, counted from the head
        self.tries = 0
        self.futile = 0  # how often in a row the pages brought what they had brought the time before
        self.dealt: list[tuple[int, frozenset[str]]] = []  # which calls of the instant each page brought, this time
        self.dealt_before: list[tuple[int, frozenset[str]]] = []

    def forget(self) -> None:
        """Start counting again, because a vanished call may have been counted."""
        self._forget()

    def leave(self) -> None:
        """Drop the instant, because the walk continues elsewhere."""
        self._forget()
        self.instant = None

    def see(self, page: Page, *, number: int, size: int) -> None:
        """Count the calls of the instant on a page, and note its first position if the page shows it."""
        if self.instant is None:
            return
        here = [index for index, record in enumerate(page.records) if record.cursor == self.instant]
        if here:
            self.pages.add(number)
        ids = frozenset(page.records[index].call_id or page.records[index].digest.hex() for index in here)
        self.ids |= ids
        self.dealt.append((number, ids))
        start = 0
        if here and (number == 1 or any(r.cursor is not None and r.cursor > self.instant for r in page.records[: here[0]])):
            start = here[0]
            self.strangers = {}
            self._begins(page, number=number, size=size, index=start)
        self.strangers[number] = sum(record.cursor != self.instant for record in page.records[start : self._below(page)])

    def complete(self, page: Page, *, number: int, size: int, ended: bool) -> bool | None:
        """Whether every call of the instant was seen; None if the instant continues on the next page."""
        if self.instant is None:
            return True
        below = self._below(page)
        if below is None and not ended:
            return None
        total = page.facts.total
        if len(self.pages) == 1:
            return True  # in any other order, this page would show the instant
        place = len(page.records) if below is None else below
        strangers = sum(self.strangers.values())
        if total is not None and self.top is not None:
            bottom = 0 if below is None else total - (number - 1) * size - place
            return len(self.ids) >= self.top - bottom - strangers
        return self.head is not None and len(self.ids) >= (number - 1) * size + place - self.head - strangers

    def try_again(self) -> bool:
        """Whether to read the pages once more, after not every call of the instant was seen."""
        self.tries += 1
        self.futile = self.futile + 1 if self.dealt == self.dealt_before else 0
        self.dealt, self.dealt_before = [], self.dealt
        if self.futile >= FUTILE:
            self.tries = TRIES + 1  # for good: a further page would bring something else
        return self.tries <= TRIES

    def _below(self, page: Page) -> int | None:
        """Return the index of the first record below the instant."""
        instant = self.instant
        cursors = enumerate(record.cursor for record in page.records)
        return next((index for index, cursor in cursors if cursor is not None and instant is not None and cursor < instant), None)

    def open(self, page: Page, *, number: int, size: int, last: datetime | None) -> None:
        """Start on the instant at a page's end if it is below the current one. Pages must be given one after the other."""
        if last is None or (self.instant is not None and last >= self.instant):
            return
        self._forget()
        self.instant, self.first_page = last, number
        self.see(page, number=number, size=size)
        first = next((index for index, record in enumerate(page.records) if record.cursor == last), None)
        if first is not None:
            self._begins(page, number=number, size=size, index=first)

    def _begins(self, page: Page, *, number: int, size: int, index: int) -> None:
        self.head = (number - 1) * size + index
        self.top = page.facts.total - self.head if page.facts.total is not None else None
