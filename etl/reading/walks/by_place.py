"""
The `Way` of providers that only list calls, newest first: read from the head of the list, counted by positions in it.

The number of calls below an instant is the list's total minus the instant's position. Both come from one response, so calls that
arrive at the head meanwhile increase both alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from etl.coverage import BEGINNING, FAR, Span, Spans
from etl.errors import ProviderRefused
from etl.model import Record
from etl.reading.pager import Pager
from etl.reading.source import Page
from etl.reading.walks.ending import says_end, served
from etl.reading.walks.looking import cursor_of, far_page
from etl.reading.walks.newest_first import newest_first
from etl.reading.walks.outline import outline
from etl.reading.walks.scan import scan
from etl.reading.walks.step import Instants, Step
from etl.reading.walks.stretches import around, stretches
from etl.reading.walks.way import Access, Attempt, Extent, Held, Holdings, Side, Uncountable
from etl.reading.walks.whole_list import WholeList

CHECKS = 3
"""How often the end of a list is looked at, which may move meanwhile, before its total is taken for wrong."""

FEW = 3
"""As many pages show what stands around an instant, where a filter is by whole days."""

PAGES = 10_000
"""More pages than any audit reads of one span; guards against an endless list."""


class ByPlace:
    """The way of a plain list. What its methods promise is documented at `Way`."""

    def start(self, start_date: datetime | None) -> datetime | None:
        return start_date

    def end(self, now: datetime) -> datetime:
        """Return an instant that is surely in the future; the walk clips it to the provider's clock."""
        return now + FAR

    def plans(self, pager: Pager, owed: Spans, held: Holdings, *, now: datetime, exactly: bool) -> Iterator[tuple[Attempt, ...]]:
        """
        Yield one walk, from the head down to the newest held call.

        Where calls can be filtered it goes by windows first; if that proves nothing, the list is read without a filter.
        """
        anchors = held.newest(None)
        if anchors and owed and not exactly:
            owed |= Spans([Span(anchors[0].cursor, owed.last.end)])
        if not owed:
            return
        known = max((anchor.cursor for anchor in anchors), default=None)
        walks = [_walk(pager, owed, held, known)]
        if pager.window is not None and not pager.found.unfiltered:
            by_filter = stretches(
                pager, pager.window, wanted=owed, now=now, retention=pager.retention, position=held.position, known=known
            )
            walks = [by_filter] if pager.window.longest is not None else [by_filter, *walks]
        yield tuple(Attempt(steps=walk, anchors=anchors, by_detail=True) for walk in walks)

    def elsewhere(self, pager: Pager, step: Step, anchors: tuple[Held, ...]) -> Iterator[Page]:
        """Yield nothing: calls can only be reached through the list."""
        return iter(())

    def moved(self, pager: Pager, unread: Spans, held: Holdings) -> Iterator[Page]:
        """Yield nothing: what was not read can only be reached by reading the whole list."""
        return iter(())

    def side(self, access: Access, *, expected: Callable[[datetime], int]) -> Side:
        """Count by positions, or by reading the whole list if its order cannot be trusted."""
        pager = access.pager()
        page = pager.page(1)
        while _violated(page) and pager.give_up_style():
            page = pager.page(1)
        if access.capabilities.unsorted or _violated(page):
            return WholeList(access)
        return Places(access, pager, page, expected=expected)

    def counted_from(
        self, start_date: datetime | None, horizon: datetime | None, *, held_in: Callable[[Span], int]
    ) -> datetime | None:
        """Begin at the horizon if calls from before it are held, since the provider no longer counts those."""
        if horizon is None or (start_date is not None and start_date >= horizon):
            return start_date
        return horizon if held_in(Span(start_date or BEGINNING, horizon)) else start_date

    def extent(self, pager: Pager, *, since: datetime | None, until: datetime) -> Extent:
        """Look at both ends of the list; without a total, at its second page."""
        first = pager.page(1)
        total = first.facts.total
        last, works = far_page(pager, first, 2 if total is None else total)
        oldest = None if total is None else cursor_of(first if total == 1 else last)
        shown = (*first.records, *(last.records if last is not None else ()))
        return Extent(total, oldest, cursor_of(first), pager.style.name, works, shown)


def _walk(pager: Pager, owed: Spans, held: Holdings, known: datetime | None) -> Iterator[Step]:
    if pager.found.unsorted:
        yield from scan(pager, claims_from=None, instants=Instants(known))
    else:
        yield from newest_first(pager, wanted=owed, position=held.position, known=known)


class Places:
    """Counts by finding the position of an instant in the list, starting where it is expected. Documented at `Side`."""

    def __init__(self, access: Access, pager: Pager, first: Page, *, expected: Callable[[datetime], int]) -> None:
        self._pager = pager
        self._pages = {1: first}
        self._expected = expected
        self._now = access.clock.now()
        self._beside = access.pager()  # whose tokens lead through another list
        self.size = served(first, pager.size)
        instants = Instants()
        instants.see(first)
        self.bound = instants.settles_before - access.lookback

    def count(self, span: Span) -> int:
        if span.start >= span.end:  # a start date younger than the lookback: nothing is old enough to be counted
            return 0
        return self._below(span.end) - self._below(span.start)

    def records(self, span: Span) -> Iterator[tuple[Record, datetime]]:
        if (found := self._far_down(span)) is not None:
            yield from found
            return
        number, index = self._find(span.end)
        for following in range(number, number + PAGES):
            page = self._page(following)
            for record in page.records[index if following == number else 0 :]:
                if record.cursor is not None and record.cursor < span.start:
                    return
                yield record, page.sent_at
            if not page.records or self._last(page, following):
                return

    def _far_down(self, span: Span) -> list[tuple[Record, datetime]] | None:
        """Return the records of a span by a filter, if there is one; None where the pages down to it are as few as that takes."""
        window = self._beside.window
        if window is None or self._beside.found.unfiltered or self._pages[1].facts.total is not None:
            return None
        if self._expected(span.end) // self.size < max(self._pages) + FEW:
            return None
        return around(self._beside, window, span, now=self._now)

    def placeless_above(self) -> frozenset[str]:
        number, index = self._find(self.bound)
        above = [record for before in range(1, number) for record in self._page(before).records]
        return frozenset(record.digest.hex() for record in (*above, *self._page(number).records[:index]) if not record.cursor)

    def confirm(self, span: Span, *, counted: int, middle: datetime | None) -> None:
        """Look at where the total says that the list ends: there, and no further, the last call must stand."""
        total = self._pages[1].facts.total
        if total is None:
            return
        number = max(-(-total // self.size), 1)
        for _ in range(CHECKS):
            page = self._page(number)
            total_now = page.facts.total if page.facts.total is not None else total
            place = (number - 1) * self.size + len(page.records)
            agrees = place == total_now and not (page.facts.more and len(page.records) < self.size)
            if agrees and (len(page.records) < self.size or not self._follows(number + 1, place=place)):
                return
            del self._pages[number]
            if number == 1:
                self._pages = {1: self._pager.page(1)}
            number = max(-(-total_now // self.size), 1)
        raise Uncountable("the provider's total and what it lists disagree, so nothing can be compared")

    def _follows(self, number: int, *, place: int) -> bool:
        """Whether calls follow a full page that the total says is the last."""
        try:
            page = self._page(number)
        except ProviderRefused:
            return False  # after the end of a list some APIs answer with an error
        return bool(page.records) and (page.facts.total is None or page.facts.total <= place)

    def forget(self) -> None:
        self._pages = {1: self._pager.page(1)}

    def _below(self, instant: datetime) -> int:
        """Return how many records are before an instant."""
        if self._pages[1].facts.total is None:
            raise Uncountable("the provider does not say how many calls there are, so nothing can be compared")
        number, index = self._find(instant)
        total = self._page(number).facts.total
        return max((total or 0) - (number - 1) * self.size - index, 0)

    def _find(self, instant: datetime) -> tuple[int, int]:
        """Return the page, and the index on it, of the first record before an instant, or where it would be."""
        total = self._pages[1].facts.total
        above = 0  # all of this page is at or after the instant
        below = None if total is None else max(-(-total // self.size), 1) + 1  # this page begins before it, or is past the end
        number, step = self._expected(instant) // self.size + 1, 1
        went_up = went_down = False
        while below is None or below - above > 1:
            number = max(above + 1, number if below is None else min(number, below - 1))
            page = self._page(number)
            earlier = [
                index for index, record in enumerate(page.records) if record.cursor is not None and record.cursor < instant
            ]
            first = earlier[0] if earlier else None
            if first is not None and (number == 1 or any(record.cursor is not None for record in page.records[:first])):
                return number, first
            if first is None and page.records:
                if self._last(page, number):
                    return number, len(page.records)
                above, number, went_down = number, number + step, True
            else:
                below, number, went_up = number, number - step, True
            step *= 2
            if went_up and went_down and below is not None:
                number = (above + below) // 2
        return (above, len(self._page(above).records)) if above else (1, 0)

    def _last(self, page: Page, number: int) -> bool:
        """Whether a page says that it is the last; how many calls there are is what its total says, right or wrong."""
        return says_end(page, reached=(number - 1) * self.size + len(page.records))

    def _page(self, number: int) -> Page:
        if number not in self._pages:
            page = self._pager.page(number)
            first = self._pages[1]
            while page.ids == first.ids and page.ids and number > 1:
                if not self._pager.give_up_style():
                    raise Uncountable("the provider serves its first page whatever page is asked for")
                page = self._pager.page(number)
            if not page.records and (page.facts.total or 0) > (number - 1) * self.size:
                raise Uncountable(f"page {number} of the provider's list is empty, although by its total calls stand there")
            self._pages[number] = page
        return self._pages[number]


def _violated(page: Page) -> bool:
    return outline([record.cursor for record in page.records if record.cursor is not None], descending=True).violated
