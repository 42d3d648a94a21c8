"""
Walk one, for lists that the provider filters by the cursor and sorts ascending: reads a window of the cursor.

It does not use page numbers, because a deletion shifts them and a call would be lost. Instead, each request begins a second
before the last cursor, and repeated calls are recognised by their ids. A second that holds more calls than a page becomes a
window of its own, read by page numbers, of which nothing is claimed until its distinct ids reach its total.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain

from etl.coverage import Span, Spans
from etl.errors import ConnectionFailed, NotFound, ProviderRefused
from etl.reading.source import Page
from etl.reading.walks.ending import ends
from etl.reading.walks.outline import Outline, outline
from etl.reading.walks.progress import key_of
from etl.reading.walks.reach import Reach
from etl.reading.walks.scan import scan
from etl.reading.walks.step import Instants, Note, Pages, Step

SECOND = timedelta(seconds=1)
"""How far each request reaches back, so that nothing is lost if the provider drops fractions of seconds."""

WINDOWS = 500
"""The maximum number of windows that one walk asks for; the next run goes on."""

TOO_MANY = 5_000
"""More windows than the past of any account needs."""

ASKED_AGAIN = 3
"""How often a window is asked for whose answer shows calls, but none in it; then the provider rounds, or does not filter."""

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
    for step in _Walk(pages, span, known).steps():
        read_so_far = step.read if step.takes_back else read_so_far | step.read
        yield replace(step, read_so_far=read_so_far)


def whole_second(instant: datetime) -> datetime:
    """Return `instant` without its fraction of a second."""
    return instant.replace(microsecond=0)


class _Walk:
    def __init__(self, pages: Pages, span: Span, known: datetime | None) -> None:
        self.pages = pages
        self.instants = Instants(known)
        self.until = self.end = whole_second(span.end)  # of the walk, and of the window at hand
        self.since = whole_second(span.start)
        self.start = self.bound = span.start  # everything between them is claimed
        self.came_from: datetime | None = None  # the previous request's `since`
        self.expected: range | None = None  # the totals that the previous page leads us to expect
        self.capped: int | None = None  # a total that stands still while calls are left behind
        self.tries = 0
        self.met = False  # whether any record came; without one nothing is claimed
        self.known: datetime | None = None  # the newest call met
        self.held = known
        self.before: frozenset[str] = frozenset()  # the ids on the page before
        self.probing = False  # whether the rest of a window is asked for by itself
        self.reach = Reach(pages)
        self.windows = 0
        self.quiet = False  # whether windows without a call wait for proof that the provider still answers
        self.seen: frozenset[str] = frozenset()  # the calls of a dense second that is not claimed to its end yet
        self.notes: tuple[Note, ...] = ()

    def steps(self) -> Iterator[Step]:
        self._open()
        begins = True
        while self.since < self.until:
            page = self._page()
            since, until = self.since, self.end
            cursors = [record.cursor for record in page.records if record.cursor is not None]
            inside = [cursor for cursor in cursors if since <= cursor < until]
            shape = outline(inside, descending=False)
            ended = ends(page, number=1, size=page.facts.size or self.pages.size)
            turned = begins and not ended.here and self._is_turned(shape)
            if (otherwise := self._otherwise(page, shape, cursors, turned=turned)) is not None:
                yield from otherwise
                return
            begins, cut = False, begins and self._hides_all(page, shape)
            if cut:
                yield self._step(page, Spans(), notes=(Note.WINDOW_CUT,))
                continue
            self.met = self.met or bool(page.records)
            if self._total_disagrees(page) and self.came_from is not None:
                yield self._step(page, Spans())
                self.since, self.expected = self.came_from, None
                continue
            fresh = self._fresh(page)
            last = max(inside, default=None)
            if shape.last is not None:
                self.known = last
            if ended.here:
                # The last page of a window is complete. But an empty page that should have repeated calls proves nothing: an
                # outage that begins during the walk looks the same. Short windows before any call are passed over.
                surely = ended.surely and (self.met or self.reach.cut) and (bool(page.records) or self.came_from is None)
                if not surely:
                    notes = () if ended.surely else (Note.TOTAL_DISAGREES,)
                    yield self._step(page, Spans(), notes=notes)
                    return
                edge = self._answered_until(page, fresh=fresh and last is not None and whole_second(last) > since)
                if edge is not None and edge >= self.until and self.reach.hid_beginning(self.until):
                    yield self._step(page, Spans(), takes_back=True, notes=(Note.WINDOW_CUT,))
                    self.bound, self.since, self.before = self.start, whole_second(self.start), frozenset()
                    self._open()
                    continue
                if edge is not None:
                    yield self._step(page, self._finished(edge, page, shape))
                    if not self._opened_next(edge):
                        return
                    continue
            self.before = frozenset(map(key_of, page.records))
            self.reach.see(since, shape.last or since, number=len(page.records))
            if shape.last is None:
                # No cursor on the page is usable, so page numbers are the only way to go on.
                yield from self._scan(self.bound, since=self.since, until=self.end)
                return
            edge = _edge(shape, shape.last)
            yield self._step(page, self._claim(edge))
            yield from self._go_on(page, edge, last=last if ended.here else None, dense=whole_second(shape.last) + SECOND)

    def _page(self) -> Page:
        """Request the window; again where none of the calls shown lies in it, as they may answer another question."""
        for _ in range(ASKED_AGAIN):
            page = self.pages.page(1, since=self.since, until=self.end)
            self.instants.see(page)
            if not page.records or any(one.cursor is None or self.since <= one.cursor < self.end for one in page.records):
                break
        return page

    def _fresh(self, page: Page) -> bool:
        """Whether a page shows calls that the page before did not."""
        fresh = [record for record in page.records if key_of(record) not in self.before]
        if self.probing:
            self.reach.left_out(fresh, self.until)
        self.probing = False
        return bool(fresh)

    def _is_turned(self, shape: Outline) -> bool:
        """Whether the newest calls come first: where the first page of a walk does not show the order, the second one does."""
        if shape.first is None or not shape.is_undirected:
            return False
        try:
            second = self.pages.page(2, since=self.since, until=self.end)
        except (NotFound, ProviderRefused):
            return False
        cursors = [record.cursor for record in second.records if record.cursor is not None]
        return bool(cursors) and min(cursors) < shape.first and max(cursors) <= shape.first

    def _otherwise(self, page: Page, shape: Outline, cursors: Sequence[datetime], *, turned: bool) -> Iterator[Step] | None:
        """Return how to read the rest where the provider does not sort or filter as asked; None if it does."""
        outside = sum(not self.since - SECOND <= cursor < self.end + SECOND for cursor in cursors)
        if shape.violated or turned:
            self.pages.note_unsorted()
            first = self._step(page, Spans(), takes_back=True, notes=(Note.ORDER_VIOLATED,))
            rest = self._scan(self.start, since=whole_second(self.start), until=self.until)
        elif 2 * outside > len(cursors):
            first = self._step(page, Spans(), notes=(Note.FILTER_IGNORED,))
            rest = self._scan(self.bound, since=self.since, until=self.until)
        else:
            return None
        return chain([first], rest)

    def _open(self) -> None:
        """Open the next window: up to the end of the walk, or as long as the provider answers whole."""
        needed = (self.until - self.since) / self.reach.longest if self.reach.cut else 1
        if needed > WINDOWS and self.reach.begins_anew():
            needed = 1
        if needed > TOO_MANY:
            days = max(self.reach.longest.days, 1)
            raise ConnectionFailed(
                f"the provider answers no more than {days} days at a time, and there are too many of them to be asked for.",
                safe="What was read before stays; nothing else was claimed.",
                hint="Set start_date of the connection to when its first calls were made.",
            )
        self.end = min(self.until, whole_second(self.since + self.reach.longest)) if self.reach.cut else self.until
        self.came_from = self.expected = None
        self.windows += 1

    def _opened_next(self, edge: datetime) -> bool:
        """Open the window after the one that was read up to `edge`; return False if it was the last of this walk."""
        if self._is_last(edge):
            return False
        self.since = whole_second(edge)
        self._open()
        return True

    def _is_last(self, edge: datetime) -> bool:
        """Whether the window that was read up to `edge` is the last one of this walk."""
        return edge >= self.until or self.windows > WINDOWS

    def _hides_all(self, page: Page, shape: Outline) -> bool:
        """Whether the first answer of a walk shows nothing although there are calls. Then a shorter window is opened."""
        if shape.first is not None:
            self.reach.doubt(self.since, shape.first)
        if page.records or (newest := self.reach.hides_all(self.since, self.end)) is None:
            return False
        self.known, self.met = newest, True
        self._open()
        return True

    def _answered_until(self, page: Page, *, fresh: bool) -> datetime | None:
        """Return up to where the last page of a window answers it; None where the rest has to be asked for by itself."""
        if self.known is None or self.reach.believes(page, self.since, self.end):
            return self.end
        if fresh:
            return None
        if self.reach.covers(self.since, self.end, known=self.known):
            return self.end
        self.reach.limit()
        self.notes = (*self.notes, Note.WINDOW_CUT)
        return self.since + self.reach.longest

    def _finished(self, edge: datetime, page: Page, shape: Outline) -> Spans:
        """Claim a window up to `edge`. Windows without a call are claimed once a later answer shows that there was no outage."""
        self.quiet = not page.records
        newest = self.known or self.held
        if self._is_last(edge):
            self.reach.remember()  # before the step, with which it is stored
        if self.quiet and self._is_last(edge) and newest is not None:
            known = whole_second(newest)
            self.quiet = not self.pages.page(1, since=known, until=known + SECOND).records
        if self.quiet:
            return Spans()
        end = min(edge, max(self.instants.claims_before, _edge(shape, self.bound)))
        read = Spans([Span(self.bound, end)])
        self.bound = max(self.bound, end)
        return read

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

    def _go_on(self, page: Page, edge: datetime, *, last: datetime | None, dense: datetime) -> Iterator[Step]:
        """
        Choose the next request.

        `last` is the newest call of an answer after which the rest is asked for by itself. Where the answer does not get past one
        second, yield the steps of a scan up to `dense`, where that ends.
        """
        following = whole_second(edge) - SECOND
        if last is not None:
            self.came_from, self.since, self.expected = self.since, whole_second(last), None
            self.probing = True
        elif following > self.since:
            self._keep_on(page, following)
        else:
            yield from self._dense(dense)

    def _keep_on(self, page: Page, following: datetime) -> None:
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
        if self.expected is None or page.facts.total in (None, self.capped):
            return False
        if page.facts.total in self.expected:
            self.tries = 0
            return False
        self.tries += 1
        if self.tries <= TRIES:
            return True
        self.tries = 0
        self.notes = (*self.notes, Note.TOTAL_DISAGREES)
        self.capped = page.facts.total
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
