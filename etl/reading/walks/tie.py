"""
Knows whether the calls of one instant that spans pages have all been seen, though each page may deal them anew.

Places are counted from the end of the list, where arrivals at its head do not move them: the calls of an instant fill the
places from its first to the first below it, so many must be seen. Where the provider gives no total, they are counted from the
head: arrivals while the pages are read make that too many, and the pages are read once more.
"""

from __future__ import annotations

from datetime import datetime

from etl.reading.source import Page

TRIES = 25
"""How often the pages of one instant are read again before it is left out of what is claimed."""


class Tie:
    """The instant at a page's end, whose calls may go on on the next page."""

    def __init__(self) -> None:
        self.instant: datetime | None = None
        self.first_page = 1
        self._forget()

    def _forget(self) -> None:
        self.ids: set[str] = set()
        self.pages: set[int] = set()
        self.strangers: dict[int, int] = {}  # by page, the records that stand among the instant's without its cursor
        self.top: int | None = None  # the place of the first, counted from the end
        self.head: int | None = None  # the same, counted from the head
        self.tries = 0

    def forget(self) -> None:
        """Count anew: what vanished may have been counted."""
        self._forget()

    def leave(self) -> None:
        """Turn away: the walk goes on elsewhere."""
        self._forget()
        self.instant = None

    def see(self, page: Page, *, number: int, size: int) -> None:
        """Take in the calls of the instant on a page, and its first place where the page shows it."""
        if self.instant is None:
            return
        here = [index for index, record in enumerate(page.records) if record.cursor == self.instant]
        if here:
            self.pages.add(number)
        self.ids.update(page.records[index].call_id or page.records[index].digest.hex() for index in here)
        start = 0
        if here and (number == 1 or any(r.cursor is not None and r.cursor > self.instant for r in page.records[: here[0]])):
            start = here[0]
            self.strangers = {}
            self._begins(page, number=number, size=size, index=start)
        self.strangers[number] = sum(record.cursor != self.instant for record in page.records[start : self._below(page)])

    def complete(self, page: Page, *, number: int, size: int, ended: bool) -> bool | None:
        """Whether every call of the instant was seen; None while the instant goes on beyond this page."""
        if self.instant is None:
            return True
        below = self._below(page)
        if below is None and not ended:
            return None
        total = page.facts.total
        if len(self.pages) == 1:
            return True  # had the pages been dealt differently, this one would show the instant
        place = len(page.records) if below is None else below
        strangers = sum(self.strangers.values())
        if total is not None and self.top is not None:
            bottom = 0 if below is None else total - (number - 1) * size - place
            return len(self.ids) >= self.top - bottom - strangers
        return self.head is not None and len(self.ids) >= (number - 1) * size + place - self.head - strangers

    def _below(self, page: Page) -> int | None:
        """Return the index of the first record below the instant."""
        instant = self.instant
        cursors = enumerate(record.cursor for record in page.records)
        return next((index for index, cursor in cursors if cursor is not None and instant is not None and cursor < instant), None)

    def open(self, page: Page, *, number: int, size: int, last: datetime | None) -> None:
        """Turn to the instant that a page ends with, if it lies below the one at hand. The page must follow the one before it."""
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
