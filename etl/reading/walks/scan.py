"""
Knows the last resort: reading a whole list whose order cannot be trusted.

It claims nothing until its end, when the distinct ids must reach the provider's total before and after; where the provider
gives no total, a whole pass must bring nothing new, and as many calls must have been seen as it had places.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from etl.coverage import Span, Spans
from etl.errors import PagingBroken, ProviderRefused
from etl.reading.source import Page
from etl.reading.walks.step import NO_SUCH_PAGE, REFUSED, Instants, Note, Pages, Step, no_records

PASSES = 50
"""How often a list is read at most."""

STALE_PAGES = 40
"""After two passes and so many pages that brought nothing new, what is missing will not come."""


class Ending(NamedTuple):
    """Whether the list ends with a page, and whether its own count agrees."""

    here: bool
    surely: bool


def ends(page: Page, *, number: int, size: int) -> Ending:
    """
    Tell whether the list ends with this page.

    Raises PagingBroken where the provider promises more for ever: an empty page that says that another follows.
    """
    total, more = page.facts.total, page.facts.more
    reached = (number - 1) * size + len(page.records)
    if total is not None and total < len(page.records):
        total = None  # a count below what it counts is no count
    if total is not None:
        if reached >= total:
            return Ending(here=True, surely=True)
        return Ending(here=not page.records, surely=False)
    if more is None:
        return Ending(here=not page.records, surely=not page.records)
    if more and not page.records:
        raise PagingBroken(
            f"the provider says that page {number + 1} follows, but page {number} is empty.",
            safe="What was read before is kept; the mark stands where nothing is missing below it.",
            hint="Run the sync again; if it persists, report it to the provider.",
        )
    return Ending(here=not more, surely=not more)


def scan(
    pages: Pages, *, claims_from: datetime | None, since: datetime | None = None, until: datetime | None = None
) -> Iterator[Step]:
    """
    Read the whole list (or the window from `since` to `until`) page by page, again until it is proven complete.

    What is claimed at the end begins at `claims_from`, or at the oldest record, which then is the horizon.
    """
    tally = _Tally()
    instants: Instants | None = None
    for _ in range(PASSES):
        tally.begin()
        number, size = 1, 0
        last: Page | None = None
        before: tuple[str, ...] = ()
        while True:
            try:
                page = pages.page(number, since=since, until=until)
            except ProviderRefused as refusal:
                # Behind the end of the list some APIs answer an error.
                if last is None or refusal.status not in (*REFUSED, *NO_SUCH_PAGE):
                    raise
                if not pages.ends_before(number, size=size, last=last, since=since, until=until):
                    raise
                page = no_records(last)
            instants = instants or Instants.of(page)
            ignored = page.ids == before and bool(before) and page.facts.number != number
            tally.count(page)
            size = size or page.facts.size or len(page.records) or 1
            ended = ends(page, number=number, size=size)
            read = (
                tally.proven(claims_from, min(instants.claims_before, until or instants.claims_before)) if ended.here else Spans()
            )
            yield Step(
                records=page.records,
                sent_at=page.sent_at,
                read=read,
                settles_before=instants.settles_before,
                number=number,
                total=page.facts.total,
                horizon=tally.oldest if read and claims_from is None else None,
                seen=frozenset(tally.seen) if read else frozenset(),
                notes=(Note.PAGE_IGNORED,) if ignored else (),
            )
            if ignored or read or (ended.here and not tally.seen):
                return
            if ended.here:
                break
            number, before, last = number + 1, page.ids, page
        if tally.stale_passes * number > STALE_PAGES and tally.stale_passes > 1:
            break
    yield Step(
        records=(),
        sent_at=page.sent_at,
        read=Spans(),
        settles_before=page.sent_at,
        number=number,
        total=page.facts.total,
        notes=(Note.TOTAL_DISAGREES,),
    )


class _Tally:
    """What the passes over one list have seen, and whether that is everything."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.oldest: datetime | None = None
        self.passes = 0
        self.seen_before = 0
        self.stale_passes = 0
        self.places = 0
        self.shrunk = False
        self.last_total: int | None = None
        self.totals: list[int] = []

    def begin(self) -> None:
        if self.passes:
            self.stale_passes = 0 if self.grew else self.stale_passes + 1
        self.passes += 1
        self.seen_before = len(self.seen)
        self.shrunk = False
        self.totals = []
        self.places = 0

    def count(self, page: Page) -> None:
        total = page.facts.total
        self.places += len(page.records)
        if total is not None and self.last_total is not None and total < self.last_total:
            # What vanished may be among the ids seen, and pulled others to pages that were read: count anew.
            self.seen, self.seen_before, self.shrunk = set(), 0, True
        self.last_total = total
        self.seen.update(record.call_id or record.digest.hex() for record in page.records)
        cursors = [record.cursor for record in page.records if record.cursor is not None]
        self.oldest = min([*cursors, *([self.oldest] if self.oldest else [])], default=None)
        if total is not None:
            self.totals.append(total)

    def proven(self, claims_from: datetime | None, end: datetime) -> Spans:
        """Return what a pass that ended proves: nothing, unless the distinct ids reach the totals of the pass."""
        start = claims_from or self.oldest
        if start is None or not self.seen or self.shrunk:
            return Spans()
        if self.totals:
            enough = len(self.seen) >= max(self.totals[0], self.totals[-1])
        else:  # as many calls as places: calls of one instant may be dealt anew by each request
            enough = self.passes > 1 and not self.grew and len(self.seen) >= self.places > 0
        return Spans([Span(start, end)]) if enough else Spans()

    @property
    def grew(self) -> bool:
        """Whether this pass brought anything new."""
        return len(self.seen) > self.seen_before
