"""
Walk one, for lists that the provider filters by the cursor and sorts ascending: reads a window of the cursor.

It does not use page numbers, because a deletion shifts them and a call would be lost. Instead, each request begins a second
before the last cursor, and repeated calls are recognised by their ids. A second that holds more calls than a page becomes a
window of its own, read by page numbers, of which nothing is claimed until its distinct ids reach its total.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from etl.coverage import Span, Spans
from etl.reading.source import Page
from etl.reading.walks.ending import ends
from etl.reading.walks.outline import Outline, outline
from etl.reading.walks.scan import scan
from etl.reading.walks.step import Instants, Note, Pages, Step

SECOND = timedelta(seconds=1)
"""How far each request reaches back, so that nothing is lost if the provider drops fractions of seconds."""

TRIES = 2
"""How often a total that disagrees with the page before is checked before it is reported and accepted."""


def ascending(pages: Pages, *, span: Span, known: datetime | None = None) -> Iterator[Step]:
    """
    Read the calls whose cursor is in `span`, oldest first. The window's end is the span's end in whole seconds, and stays fixed.

    `known` is the newest cursor held. Each step says what the walk has read so far: only its last page tells how late it is if
    the provider does not (`Instants`), and so what is settled.

    Raises ConnectionFailed and its subclasses; what was yielded before stays valid.
    """
    read_so_far = Spans()
    for step in _Walk(pages, span, Instants(known)).steps():
        read_so_far = step.read if step.takes_back else read_so_far | step.read
        yield replace(step, read_so_far=read_so_far)


def whole_second(instant: datetime) -> datetime:
    """Return `instant` without its fraction of a second."""
    return instant.replace(microsecond=0)


class _Walk:
    def __init__(self, pages: Pages, span: Span, instants: Instants) -> None:
        self.pages = pages
        self.instants = instants
        self.until = whole_second(span.end)
        self.since = whole_second(span.start)
        self.start = self.bound = span.start  # everything between them is claimed
        self.came_from: datetime | None = None  # the previous request's `since`
        self.expected: range | None = None  # the totals that the previous page leads us to expect
        self.tries = 0
        self.met = False  # whether any record came; without one nothing is claimed
        self.seen: frozenset[str] = frozenset()  # the calls of a dense second that is not claimed to its end yet
        self.notes: tuple[Note, ...] = ()

    def steps(self) -> Iterator[Step]:
        while self.since < self.until:
            page = self.pages.page(1, since=self.since, until=self.until)
            self.instants.see(page)
            since, until = self.since, self.until
            shape = outline([c for record in page.records if (c := record.cursor) and since <= c < until], descending=False)
            if shape.violated:
                yield self._step(page, Spans(), takes_back=True, notes=(Note.ORDER_VIOLATED,))
                self.pages.note_unsorted()
                yield from self._scan(self.start, since=whole_second(self.start), until=self.until)
                return
            self.met = self.met or bool(page.records)
            ended = ends(page, number=1, size=page.facts.size or self.pages.size)
            if self._total_disagrees(page) and self.came_from is not None:
                yield self._step(page, Spans())
                self.since, self.expected = self.came_from, None
                continue
            if ended.here:
                # The last page of a window is complete. But an empty page that should have repeated calls proves nothing: an
                # outage that begins during the walk looks the same.
                surely = ended.surely and self.met and (bool(page.records) or self.came_from is None)
                end = min(self.until, max(self.instants.claims_before, _edge(shape, self.bound))) if surely else self.bound
                notes = () if ended.surely else (Note.TOTAL_DISAGREES,)
                yield self._step(page, Spans([Span(self.bound, end)]), notes=notes)
                return
            if shape.last is None:
                # No cursor on the page is usable, so page numbers are the only way to go on.
                yield from self._scan(self.bound, since=self.since, until=self.until)
                return
            edge = _edge(shape, shape.last)
            yield self._step(page, self._claim(edge))
            following = whole_second(edge) - SECOND
            if following > self.since:
                self._go_on(page, following)
            else:
                yield from self._dense(whole_second(shape.last) + SECOND)

    def _dense(self, end: datetime) -> Iterator[Step]:
        """
        Read a window that holds more calls than a page, and go on at its end.

        If it is as late as the provider's clock is known to be, the rest of it is claimed with the next page.
        """
        bound = end
        for step in self._scan(self.bound, since=self.since, until=end):
            if step.seen:  # it was read completely
                bound = step.read.last.end if step.read else self.bound
                self.seen = step.seen if bound < end else frozenset()
            yield step
        self.since, self.bound = end, bound
        self.expected = self.came_from = None

    def _scan(self, claims_from: datetime, *, since: datetime, until: datetime) -> Iterator[Step]:
        return scan(self.pages, claims_from=claims_from, since=since, until=until, instants=self.instants)

    def _claim(self, edge: datetime) -> Spans:
        """Claim up to the last cursor, exclusive, because more calls of that instant may follow."""
        if edge <= self.bound:
            return Spans()
        read = Spans([Span(self.bound, edge)])
        self.bound = edge
        return read

    def _go_on(self, page: Page, following: datetime) -> None:
        """
        Move the window's start, and work out the next page's total from the records left behind.

        A record without a cursor counts as left behind if one left behind follows it, and as kept if it follows one kept.
        """
        cursors = [record.cursor for record in page.records]
        left = [index for index, cursor in enumerate(cursors) if cursor is not None and cursor < following]
        kept = [index for index, cursor in enumerate(cursors) if cursor is not None and cursor >= following]
        last_left, first_kept = max(left, default=-1), min(kept, default=len(cursors))
        lost = [index for index, cursor in enumerate(cursors) if cursor is None]
        surely = len(left) + sum(index < last_left for index in lost)
        perhaps = sum(last_left < index < first_kept for index in lost)
        total = page.facts.total
        self.expected = range(total - surely - perhaps, total - surely + 1) if total is not None else None
        self.came_from, self.since = self.since, following

    def _total_disagrees(self, page: Page) -> bool:
        """Whether the total shows that a call came or went between two pages, so that the walk should go back one page."""
        if self.expected is None or page.facts.total is None:
            return False
        if page.facts.total in self.expected:
            self.tries = 0
            return False
        self.tries += 1
        if self.tries <= TRIES:
            return True
        self.tries = 0
        self.notes = (Note.TOTAL_DISAGREES,)
        return False

    def _step(self, page: Page, read: Spans, *, takes_back: bool = False, notes: tuple[Note, ...] = ()) -> Step:
        notes, self.notes = (*self.notes, *notes), ()
        seen = self.seen if read else frozenset[str]()
        self.seen -= seen
        return Step(
            records=page.records,
            sent_at=page.sent_at,
            read=read,
            settles_before=self.instants.settles_before,
            number=1,
            total=page.facts.total,
            takes_back=takes_back,
            seen=seen,
            notes=notes,
        )


def _edge(shape: Outline, otherwise: datetime) -> datetime:
    """Return the instant below which a page shows everything: its last cursor, less what may be out of order."""
    return shape.last - shape.slack if shape.last is not None else otherwise
