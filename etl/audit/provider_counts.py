"""
Knows how the provider's calls in a span of the cursor are counted and read, however it lists them. Knows no SQL.

A provider that filters by the cursor counts any window in one request. In a list, newest first, the number of calls below an
instant is the list's total less the place of that instant, both of one response: what arrives at the head moves neither.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Protocol

from etl.coverage import Span
from etl.model import Record
from etl.provider import Order
from etl.reading.source import Page, Pager
from etl.reading.walks import scan
from etl.reading.walks.ascending import whole_second
from etl.reading.walks.outline import outline
from etl.reading.walks.scan import ends
from etl.reading.walks.step import Instants
from etl.runs.context import Task

SECOND = timedelta(seconds=1)
PAGES = 10_000
"""More pages than are read of one span in any audit."""


class Uncountable(Exception):
    """The provider gives no number that could be compared; the text says why."""


class Side(Protocol):
    """The provider's side of the comparison. Raises Uncountable, and the family of ConnectionFailed."""

    bound: datetime
    """What lies before this instant is older than the lookback by the provider's clock and by ours."""

    @property
    def size(self) -> int:
        """So many records are read at once."""
        ...

    def count(self, span: Span) -> int:
        """Return how many records the provider has in a span."""
        ...

    def records(self, span: Span) -> Iterator[tuple[Record, datetime]]:
        """Read the records of a span, those whose cursor cannot be read included, with the instant each was asked for."""
        ...

    def placeless_above(self) -> frozenset[str]:
        """Return the keys of the records without a readable cursor that stand above `bound`."""
        ...

    def forget(self) -> None:
        """Ask again for whatever is wanted from now on."""
        ...


def open_side(task: Task, stream: str, *, expected: Callable[[datetime], int]) -> Side:
    """Choose the way of counting; `expected(instant)` tells how many calls the warehouse has from an instant on."""
    if task.account.provider.listing.order is Order.ASCENDING:
        return Windows(task, stream)
    pager = _pager(task, stream)
    page = pager.page(1)
    while _violated(page) and pager.give_up_style():
        page = pager.page(1)
    if task.capabilities.unsorted or _violated(page):
        return WholeList(task, stream)
    return Places(task, pager, page, expected=expected)


class Windows:
    """A provider that filters by the cursor."""

    def __init__(self, task: Task, stream: str) -> None:
        self._one = Pager(task.source, stream=stream, found=task.capabilities, per_page=1)
        self._pager = _pager(task, stream)
        until = whole_second(task.clock.now() - task.account.lookback)
        page = self._one.page(1, since=until - SECOND, until=until)
        self.bound = min(until, whole_second(Instants.of(page).settles_before - task.account.lookback))

    @property
    def size(self) -> int:
        """See `Side.size`."""
        return self._pager.size

    def count(self, span: Span) -> int:
        """See `Side.count`."""
        if span.start >= span.end:
            return 0
        total = self._one.page(1, since=span.start, until=span.end).facts.total
        if total is None:
            raise Uncountable("the provider does not say how many calls there are, so nothing can be compared")
        return total

    def records(self, span: Span) -> Iterator[tuple[Record, datetime]]:
        """See `Side.records`."""
        size = 0
        for number in range(1, PAGES):
            page = self._pager.page(number, since=span.start, until=span.end)
            size = size or page.facts.size or len(page.records) or 1
            yield from ((record, page.sent_at) for record in page.records)
            if ends(page, number=number, size=size).here:
                return

    def placeless_above(self) -> frozenset[str]:
        """See `Side.placeless_above`."""
        return frozenset()

    def forget(self) -> None:
        """See `Side.forget`: nothing is remembered."""


class Places:
    """A list, newest first: an instant has a place in it, which is searched for from where it is expected."""

    def __init__(self, task: Task, pager: Pager, first: Page, *, expected: Callable[[datetime], int]) -> None:
        self._pager = pager
        self._pages = {1: first}
        self._expected = expected
        self.size = first.facts.size or len(first.records) or 1
        self.bound = Instants.of(first).settles_before - task.account.lookback

    def count(self, span: Span) -> int:
        """See `Side.count`."""
        return self._below(span.end) - self._below(span.start)

    def records(self, span: Span) -> Iterator[tuple[Record, datetime]]:
        """See `Side.records`."""
        number, index = self._find(span.end)
        for following in range(number, number + PAGES):
            page = self._page(following)
            for record in page.records[index if following == number else 0 :]:
                if record.cursor is not None and record.cursor < span.start:
                    return
                yield record, page.sent_at
            if ends(page, number=following, size=self.size).here:
                return

    def placeless_above(self) -> frozenset[str]:
        """See `Side.placeless_above`."""
        number, index = self._find(self.bound)
        above = [record for before in range(1, number) for record in self._page(before).records]
        return frozenset(record.digest.hex() for record in (*above, *self._page(number).records[:index]) if not record.cursor)

    def forget(self) -> None:
        """See `Side.forget`."""
        self._pages = {1: self._pager.page(1)}

    def _below(self, instant: datetime) -> int:
        """Return how many records lie before an instant."""
        if self._pages[1].facts.total is None:
            raise Uncountable("the provider does not say how many calls there are, so nothing can be compared")
        number, index = self._find(instant)
        total = self._page(number).facts.total
        return max((total or 0) - (number - 1) * self.size - index, 0)

    def _find(self, instant: datetime) -> tuple[int, int]:
        """Return the page and the place on it where the first record before an instant stands, or where it would stand."""
        total = self._pages[1].facts.total
        above = 0  # this page lies wholly at or after the instant
        below = None if total is None else max(-(-total // self.size), 1) + 1  # this one begins before it, or is beyond the end
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
                if ends(page, number=number, size=self.size).here:
                    return number, len(page.records)
                above, number, went_down = number, number + step, True
            else:
                below, number, went_up = number, number - step, True
            step *= 2
            if went_up and went_down and below is not None:
                number = (above + below) // 2
        return (above, len(self._page(above).records)) if above else (1, 0)

    def _page(self, number: int) -> Page:
        if number not in self._pages:
            page = self._pager.page(number)
            first = self._pages[1]
            while page.ids == first.ids and page.ids and page.facts.number != number:
                if not self._pager.give_up_style():
                    raise Uncountable("the provider serves its first page whatever page is asked for")
                page = self._pager.page(number)
            self._pages[number] = page
        return self._pages[number]


class WholeList:
    """A list whose order cannot be trusted: all of it has to be read to count anything."""

    size = sys.maxsize  # nothing is gained by halving what was read already

    def __init__(self, task: Task, stream: str) -> None:
        self._read: dict[bytes, tuple[Record, datetime]] = {}
        self.bound = task.clock.now()
        proven = False
        for step in scan(_pager(task, stream), claims_from=None):
            for record in step.records:
                key = record.call_id.encode() if record.call_id is not None and record.rejection is None else record.digest
                self._read[key] = (record, step.sent_at)
            self.bound = step.settles_before - task.account.lookback
            proven = bool(step.read)
        if not proven:
            raise Uncountable("the provider's list is in no order, and its total and what it lists disagree")

    def count(self, span: Span) -> int:
        """See `Side.count`."""
        return sum(1 for _ in self.records(span))

    def records(self, span: Span) -> Iterator[tuple[Record, datetime]]:
        """See `Side.records`."""
        return ((record, at) for record, at in self._read.values() if record.cursor is None or record.cursor in span)

    def placeless_above(self) -> frozenset[str]:
        """See `Side.placeless_above`."""
        return frozenset()

    def forget(self) -> None:
        """See `Side.forget`: nothing is remembered."""


def _pager(task: Task, stream: str) -> Pager:
    return Pager(task.source, stream=stream, found=task.capabilities, per_page=task.account.per_page)


def _violated(page: Page) -> bool:
    return outline([record.cursor for record in page.records if record.cursor is not None], descending=True).violated
