"""A provider's list in memory, for walks: it grows, shrinks, deals ties anew at every request, and counts what it holds."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from etl.model import Record
from etl.provider import PageFacts
from etl.reading.source import Capabilities, Page

EPOCH = datetime(2026, 3, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def record(call_id: str, cursor: datetime) -> Record:
    return Record(call_id, cursor, None, b"{}", {}, call_id.encode(), False)


@dataclass
class Listed:
    """Pages of `calls` (id → cursor); `between` is called before every request but the first and may change them."""

    calls: dict[str, datetime]
    now: datetime
    size: int
    seed: int = 0
    descending: bool = True
    totals: bool = True
    echo: bool = True
    dated: bool = True
    page_works: bool = True
    styles_left: int = 0
    next_style_works: bool = False
    shuffled: bool = False
    echo_asked: bool = False  # every page says that it is the one asked for
    served_as: dict[int, int] = field(default_factory=dict)  # the pages that are served in the place of others
    habit: Callable[[Listed, int, Page], Page] | None = None  # what becomes of a page before it is sent
    between: Callable[[Listed, int], object] = lambda listed, request: None
    asked: list[tuple[int, datetime | None, datetime | None]] = field(default_factory=list)
    unsorted_noted: bool = False
    found: Capabilities = field(default_factory=Capabilities)

    def page(self, number: int, *, since: datetime | None = None, until: datetime | None = None) -> Page:
        """Serve a page of what the list is now."""
        if self.asked:
            self.between(self, len(self.asked))
        self.asked.append((number, since, until))
        # Equal cursors are dealt anew at every request, as an API without a tie-break may do.
        deal = random.Random(self.seed * 1_000 + len(self.asked))
        rows = [
            (cursor, deal.random(), call_id)
            for call_id, cursor in self.calls.items()
            if (since is None or cursor >= since) and (until is None or cursor < until)
        ]
        rows.sort(reverse=self.descending)
        if self.shuffled:
            random.Random(self.seed).shuffle(rows)
        shown = self.served_as.get(number, number) if self.page_works else 1
        start = (shown - 1) * self.size
        served = rows[start : start + self.size]
        page = Page(
            records=tuple(record(call_id, cursor) for cursor, _, call_id in served),
            facts=PageFacts(
                total=len(rows) if self.totals else None,
                number=(number if self.echo_asked else shown) if self.echo else None,
                size=self.size,
                more=start + self.size < len(rows),
            ),
            date=self.now if self.dated else None,
            sent_at=self.now,
        )
        return self.habit(self, number, page) if self.habit else page

    def ends_before(
        self, number: int, *, size: int, last: Page, since: datetime | None = None, until: datetime | None = None
    ) -> bool:
        """Say whether the list ends before a page."""
        return (number - 1) * self.size >= len(self.calls)

    def give_up_style(self) -> bool:
        """Say whether another way of asking is left."""
        self.styles_left -= 1
        self.page_works = self.page_works or (self.next_style_works and self.styles_left >= 0)
        return self.styles_left >= 0

    def note_unsorted(self) -> None:
        """Take note."""
        self.unsorted_noted = True

    def note_windows(self, *, longest: timedelta, most: int, cut: bool) -> None:
        """Take note."""
        self.found = replace(self.found, longest=longest, most=most, cut=cut)
