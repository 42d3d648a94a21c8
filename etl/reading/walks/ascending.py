"""
Knows walk one: a window of the cursor, filtered and sorted ascending by the provider.

It pages by keyset, not by page number, since a deletion shifts page numbers and loses a call: the next request begins a
second before the last cursor, and what it repeats is known by its id. A page that does not get past its own seconds (ties)
makes a window of its own, read by page numbers, of which nothing is claimed until its distinct ids reach its total.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from etl.coverage import Span, Spans
from etl.reading.source import Page
from etl.reading.walks.ending import ends
from etl.reading.walks.outline import outline
from etl.reading.walks.scan import scan
from etl.reading.walks.step import Instants, Note, Pages, Step

SECOND = timedelta(seconds=1)
"""How far each request reaches back, so that a bound whose fraction the provider drops loses nothing."""

TRIES = 2
"""How often a total that disagrees with the page before is looked into before it is reported and passed over."""


def ascending(pages: Pages, *, span: Span) -> Iterator[Step]:
    """
    Read the calls whose cursor lies in `span`, oldest first; its end is frozen as the window's end, in whole seconds.

    Raises the family of ConnectionFailed; what was yielded before stands.
    """
    yield from _Walk(pages, span).steps()


def whole_second(instant: datetime) -> datetime:
    """Return the whole second that `instant` lies in."""
    return instant.replace(microsecond=0)


class _Walk:
    def __init__(self, pages: Pages, span: Span) -> None:
        self.pages = pages
        self.until = whole_second(span.end)
        self.since = whole_second(span.start)
        self.start = self.bound = span.start  # what lies between them is claimed
        self.came_from: datetime | None = None  # the `since` before
        self.expected: range | None = None  # the totals that the page before promises
        self.tries = 0
        self.met = False  # whether any record came: an answer that is empty throughout claims nothing
        self.notes: tuple[Note, ...] = ()

    def steps(self) -> Iterator[Step]:
        instants: Instants | None = None
        while self.since < self.until:
            page = self.pages.page(1, since=self.since, until=self.until)
            instants = instants or Instants.of(page)
            since, until = self.since, self.until
            shape = outline([c for record in page.records if (c := record.cursor) and since <= c < until], descending=False)
            if shape.violated:
                yield self._step(page, instants, Spans(), takes_back=True, notes=(Note.ORDER_VIOLATED,))
                self.pages.note_unsorted()
                yield from scan(self.pages, claims_from=self.start, since=whole_second(self.start), until=self.until)
                return
            self.met = self.met or bool(page.records)
            ended = ends(page, number=1, size=page.facts.size or self.pages.size)
            if self._total_disagrees(page) and self.came_from is not None:
                yield self._step(page, instants, Spans())
                self.since, self.expected = self.came_from, None
                continue
            if ended.here:
                # A page that ends the window is whole in itself; not so an empty one that should have repeated calls: an outage
                # that begins during the walk looks like that.
                surely = ended.surely and self.met and (bool(page.records) or self.came_from is None)
                end = min(self.until, instants.claims_before) if surely else self.bound
                notes = () if ended.surely else (Note.TOTAL_DISAGREES,)
                yield self._step(page, instants, Spans([Span(self.bound, end)]), notes=notes)
                return
            if shape.last is None:
                # A page without one usable cursor: there is nothing to go on by but page numbers.
                yield from scan(self.pages, claims_from=self.bound, since=self.since, until=self.until)
                return
            edge = shape.last - shape.slack
            yield self._step(page, instants, self._claim(edge))
            following = whole_second(edge) - SECOND
            if following > self.since:
                self._go_on(page, following)
            else:
                dense = whole_second(shape.last) + SECOND
                yield from scan(self.pages, claims_from=self.bound, since=self.since, until=dense)
                self.since = self.bound = dense
                self.expected = self.came_from = None

    def _claim(self, edge: datetime) -> Spans:
        """Claim up to the last cursor (exclusive: others of that instant may follow)."""
        if edge <= self.bound:
            return Spans()
        read = Spans([Span(self.bound, edge)])
        self.bound = edge
        return read

    def _go_on(self, page: Page, following: datetime) -> None:
        """
        Move the window's start; what it leaves behind tells what the next total must be.

        A record without a cursor is left behind if one that is left follows it, and kept if it follows one that is kept.
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
        """Whether a call came or went between two pages, below or above where the second begins: worth a look back."""
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

    def _step(
        self, page: Page, instants: Instants, read: Spans, *, takes_back: bool = False, notes: tuple[Note, ...] = ()
    ) -> Step:
        notes, self.notes = (*self.notes, *notes), ()
        return Step(
            records=page.records,
            sent_at=page.sent_at,
            read=read,
            settles_before=instants.settles_before,
            number=1,
            total=page.facts.total,
            takes_back=takes_back,
            notes=notes,
        )
