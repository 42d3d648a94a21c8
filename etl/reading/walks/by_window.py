"""
The `Way` of providers that filter by the cursor: windows are read ascending, and one request counts any window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from etl.coverage import ORIGIN, Span, Spans
from etl.model import Record
from etl.reading.clocks import APART
from etl.reading.pager import Pager
from etl.reading.source import Page
from etl.reading.walks.ascending import ascending, whole_second
from etl.reading.walks.ending import says_end, served
from etl.reading.walks.looking import cursor_of, far_page
from etl.reading.walks.scan import scan
from etl.reading.walks.step import Instants, Step
from etl.reading.walks.way import Access, Attempt, Extent, Held, Holdings, Side, Uncountable

SECOND = timedelta(seconds=1)

ASKED_ANCHORS = 5
"""How many held calls are looked for one by one."""

LOOKS = 40
"""The maximum number of requests for finding where calls that were missed have moved to."""

PARTS = 500
"""The maximum number of windows that an audit counts one after the other."""

STOPS_FROM = 1_000
"""No total stops at a smaller number."""

SHALLOW = 1_000
"""A page of one record so far down is served everywhere."""

LAST = timedelta(days=1)

PAGES = 10_000
"""More pages than any audit reads of one span; guards against an endless list."""


class ByWindow:
    """The way of a list filtered by the cursor. What its methods promise is documented at `Way`."""

    def start(self, start_date: datetime | None) -> datetime | None:
        return start_date or ORIGIN

    def end(self, now: datetime) -> datetime:
        """Return `now`, which fixes the end of the last window."""
        return now

    def plans(self, pager: Pager, owed: Spans, held: Holdings, *, now: datetime, exactly: bool) -> Iterator[tuple[Attempt, ...]]:
        """
        Yield a plan for each window: extended down to the nearest held call or, if that proves nothing, to the hundredth.

        What is held below a window and in it may be gone, and nothing may be: then a held call above it proves as much.
        """
        newest = held.newest(None)
        known = max((call.cursor for call in newest), default=None)
        for span in owed:
            is_last = known is None or known < span.end
            anchors = newest if is_last else held.newest(span.end)
            tries = [Span(min(span.start, anchor.cursor), span.end) for anchor in (*anchors[:1], *anchors[-1:])]
            above = held.oldest(span.end) if not is_last or not anchors else ()
            tries += [Span(span.start, anchor.cursor + timedelta(seconds=2)) for anchor in (*above[:1], *above[-1:])]
            anchors = anchors or above
            windows = dict.fromkeys(tries or [span])
            yield tuple(Attempt(steps=_walk(pager, window, known), anchors=anchors) for window in windows)

    def elsewhere(self, pager: Pager, step: Step, anchors: tuple[Held, ...]) -> Iterator[Page]:
        """
        Yield pages from where the held calls are, if the window's first page ends below them or shows nothing.

        That happens if a later range was read first, or `start_date` was moved back: pages of calls not held yet come first. And
        where long windows are answered in part, a run may have ended at its maximum of windows, before there was any call.
        """
        end = max((record.cursor for record in step.records if record.cursor is not None), default=None)
        for anchor in anchors[:ASKED_ANCHORS]:
            if end is None or anchor.cursor > end:
                since = whole_second(anchor.cursor)
                yield pager.page(1, since=since, until=since + SECOND)

    def moved(self, pager: Pager, unread: Spans, held: Holdings) -> Iterator[Page]:
        """Compare the total of each window with the calls held in it, and halve a window that has more, down to one page."""
        oldest = held.oldest(ORIGIN)
        cut = whole_second(oldest[0].cursor) if oldest else ORIGIN
        work = [
            Span(whole_second(span.start), whole_second(span.end))
            for part in (unread.below(cut), unread.above(cut))
            for span in part
        ]
        for _ in range(LOOKS):
            while work and work[-1].start >= work[-1].end:
                work.pop()
            if not work:
                return
            window = work.pop()
            page = pager.page(1, since=window.start, until=window.end)
            total = page.facts.total
            if total is None or total <= held.position(window.start) - held.position(window.end):
                continue
            middle = whole_second(window.start + (window.end - window.start) / 2)
            if len(page.records) >= total or middle in (window.start, window.end):
                yield page
            else:
                work += [Span(window.start, middle), Span(middle, window.end)]

    def side(self, access: Access, *, expected: Callable[[datetime], int]) -> Side:
        return Windows(access, expected=expected)

    def counted_from(
        self, start_date: datetime | None, horizon: datetime | None, *, held_in: Callable[[Span], int]
    ) -> datetime | None:
        return self.start(start_date)

    def extent(self, pager: Pager, *, since: datetime | None, until: datetime) -> Extent:
        """Look at all there is, and for its end at the last day, since a page far down is not served everywhere."""
        begin = since or ORIGIN
        whole = pager.page(1, since=begin, until=until)
        total, oldest = whole.facts.total, cursor_of(whole)
        first, count, start = whole, total or 0, begin
        if count > SHALLOW:
            start = max(begin, until - LAST)
            first = pager.page(1, since=start, until=until)
            count = first.facts.total or 0
        last, works = far_page(pager, first, count, since=start, until=until)
        newest = cursor_of(first) if count == 1 else cursor_of(last)
        shown = (*whole.records, *(last.records if last is not None else ()))
        return Extent(total, oldest, newest, pager.style.name, works, shown)


def _walk(pager: Pager, window: Span, known: datetime | None) -> Iterator[Step]:
    if pager.found.unsorted:
        since, until = whole_second(window.start), window.end
        yield from scan(pager, claims_from=window.start, since=since, until=until, instants=Instants(known))
    else:
        yield from ascending(pager, span=window, known=known)


class Windows:
    """Counts a window by the total that its smallest page shows. What the methods promise is documented at `Side`."""

    def __init__(self, access: Access, *, expected: Callable[[datetime], int]) -> None:
        found = access.capabilities
        self._longest = found.longest if found.cut else None  # longer windows are counted in part
        self._one = access.pager(per_page=1)
        self._pager = access.pager()
        until = whole_second(access.clock.now() - access.lookback)
        page = self._one.page(1, since=until - SECOND, until=until)
        self.bound = until
        # A clock that is behind calls that are held is wrong, and would leave nothing to be counted.
        if page.date is not None and not (page.date < until and expected(page.date + APART)):
            self.bound = min(until, whole_second(page.date - access.lookback))

    @property
    def size(self) -> int:
        return self._pager.size

    def count(self, span: Span) -> int:
        return sum(map(self._total, self._parts(span)))

    def confirm(self, span: Span, *, counted: int, middle: datetime | None) -> None:
        """Count the two halves: together they must be as many, unless the total stops at a limit."""
        if middle is None or counted < STOPS_FROM:
            return
        for _ in range(2):  # a call may come or go meanwhile
            halves = self.count(Span(span.start, middle)) + self.count(Span(middle, span.end))
            if halves == counted:
                return
            counted = self.count(span)
        raise Uncountable("the provider counts fewer calls in a long stretch of time than in its parts")

    def records(self, span: Span) -> Iterator[tuple[Record, datetime]]:
        for part in self._parts(span):
            yield from self._records(part)

    def _parts(self, span: Span) -> Iterator[Span]:
        """Yield the windows in which a span can be counted; none if it is empty."""
        length = self._longest or max(span.end - span.start, SECOND)
        if (span.end - span.start) / length > PARTS:
            raise Uncountable(
                "the provider counts only short stretches of time, and the one to compare is too long: set start_date"
            )
        start = span.start
        while start < span.end:
            yield Span(start, min(start + length, span.end))
            start += length

    def _total(self, span: Span) -> int:
        page = self._one.page(1, since=span.start, until=span.end)
        if page.facts.total is None:
            raise Uncountable("the provider does not say how many calls there are, so nothing can be compared")
        shown = Span(span.start - SECOND, span.end + SECOND)
        if any(record.cursor is not None and record.cursor not in shown for record in page.records):
            raise Uncountable("the provider counts calls from outside of the stretch of time that was asked for")
        return page.facts.total

    def _records(self, span: Span) -> Iterator[tuple[Record, datetime]]:
        size = 0
        for number in range(1, PAGES):
            page = self._pager.page(number, since=span.start, until=span.end)
            size = size or served(page, self._pager.size)
            yield from ((record, page.sent_at) for record in page.records)
            if not page.records or says_end(page, reached=(number - 1) * size + len(page.records)):
                return

    def placeless_above(self) -> frozenset[str]:
        return frozenset()

    def forget(self) -> None:
        """Do nothing: no answer is remembered."""
