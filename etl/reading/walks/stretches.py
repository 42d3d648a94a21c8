"""
Walk two by windows, where a list that shows the newest calls first can be filtered by the cursor.

What is wanted is read stretch by stretch, newest first, each with bounds that the filter understands (`fitted`). So a run begins
where something is missing, and has not to page down to it. That the filter took is proven: where most of a page lies outside of
what was asked for, the rest is read from the list without it. A stretch without a call proves nothing by itself, since an outage
looks the same; it is believed once another showed calls, and both say the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from etl.coverage import BEGINNING, ORIGIN, TICK, Span, Spans
from etl.errors import ConnectionFailed
from etl.model import Record
from etl.provider import Window
from etl.reading.source import Capabilities, Page
from etl.reading.walks.ending import says_end
from etl.reading.walks.newest_first import newest_first
from etl.reading.walks.scan import scan
from etl.reading.walks.step import Instants, Note, Pages, Step

NO_TIME = timedelta()

EVER = datetime.max.replace(tzinfo=ORIGIN.tzinfo)

TOO_MANY = 500
"""The maximum number of stretches that one run reads."""


class Filterable(Pages, Protocol):
    """The pages of a list that can be filtered."""

    def note_unfiltered(self) -> None:
        """Remember that the filter by the cursor is ignored."""
        ...


class Stretch(NamedTuple):
    """What one query surely shows (`span`), the bounds that are sent for it (None: open), and where what it shows may lie."""

    span: Span
    since: datetime | None
    until: datetime | None
    shows: Span


def fitted(window: Window, span: Span, *, now: datetime) -> Stretch:
    """Return the newest part of a span that one query can show, with bounds that surely show all of it."""
    grain, longest = window.grain, window.longest
    margin = grain if window.until_included is None else NO_TIME
    start, end, since, until = span.start, span.end, None, None
    if longest is not None or end <= now:
        end = min(end, _up(now, grain))
        until = _up(end, grain) - grain if window.until_included else _up(end, grain) + margin
    if longest is not None or start > ORIGIN:
        since = max(_down(start, grain) - margin, ORIGIN)
    if longest is not None and since is not None and until is not None and until - since > longest:
        since = _up(until - longest, grain)
        start = since + margin
    shows = Span(BEGINNING if since is None else since - grain, EVER if until is None else until + 2 * grain)
    return Stretch(Span(start, end), since, until, shows)


def _down(instant: datetime, grain: timedelta) -> datetime:
    return instant - (instant - ORIGIN) % grain


def _up(instant: datetime, grain: timedelta) -> datetime:
    return _down(instant - TICK, grain) + grain


def stretches(
    pages: Filterable,
    window: Window,
    *,
    wanted: Spans,
    now: datetime,
    retention: timedelta | None,
    position: Callable[[datetime], int],
    known: datetime | None = None,
) -> Iterator[Step]:
    """
    Read `wanted` by windows; all but the window as in `newest_first`. `now` is our clock's, `retention` how far back the list is.

    Raises ConnectionFailed and its subclasses; what was yielded before stays valid.
    """
    yield from _Stretches(pages, window, wanted=wanted, now=now, retention=retention, position=position, known=known).steps()


def around(pages: Filterable, window: Window, span: Span, *, now: datetime) -> list[tuple[Record, datetime]] | None:
    """
    Return the records of a short span and when they were asked for, by a query whose bounds lie around it.

    None where that cannot be: the filter is ignored, or one query shows too little.
    """
    query = _Query(pages, fitted(window, span, now=now), window.most)
    found: list[tuple[Record, datetime]] = []
    reached = 0
    for number in range(1, TOO_MANY if query.stretch.span == span else 1):
        try:
            page = query.page(number)
        except _Ignored:
            return None
        placed = [(record, record.cursor) for record in page.records if record.cursor is not None]
        found += [(record, page.sent_at) for record, cursor in placed if cursor in span]
        reached += len(page.records)
        if any(cursor < span.start for _, cursor in placed):
            return found
        if query.full:
            return None
        if not page.records or says_end(page, reached=reached):
            return found
    return None


class _Ignored(Exception):
    """Not an error: the list is then read in another way."""

    def __init__(self, page: Page, number: int) -> None:
        self.page = page
        self.number = number


class _Query:
    """The pages of one stretch. Raises `_Ignored` for a page of which most lies outside of it."""

    def __init__(self, pages: Pages, stretch: Stretch, most: int | None) -> None:
        self._pages = pages
        self._most = most
        self._lengths: dict[int, int] = {}  # how many calls stand on each page
        self.stretch = stretch
        self.shown = False  # whether any page showed a call
        self.full = False  # whether the query showed all that one query may, so that more may follow

    @property
    def size(self) -> int:
        return self._pages.size

    @property
    def found(self) -> Capabilities:
        return self._pages.found

    def page(self, number: int, *, since: datetime | None = None, until: datetime | None = None) -> Page:
        page = self._pages.page(number, since=self.stretch.since, until=self.stretch.until)
        cursors = [record.cursor for record in page.records if record.cursor is not None]
        if 2 * sum(cursor not in self.stretch.shows for cursor in cursors) > len(cursors):
            raise _Ignored(page, number)
        self.shown = self.shown or bool(page.records)
        if self._most is not None:
            self._lengths[number] = len(page.records)
            if sum(length for before, length in self._lengths.items() if before <= number) >= self._most:
                self.full = True
                if not self.found.unsorted:
                    page = replace(page, facts=replace(page.facts, more=True))
        return page

    def ends_before(
        self, number: int, *, size: int, last: Page, since: datetime | None = None, until: datetime | None = None
    ) -> bool:
        return self._pages.ends_before(number, size=size, last=last, since=self.stretch.since, until=self.stretch.until)

    def give_up_style(self) -> bool:
        return self._pages.give_up_style()

    def note_unsorted(self) -> None:
        self._pages.note_unsorted()

    def note_windows(self, *, longest: timedelta, most: int, cut: bool) -> None:
        self._pages.note_windows(longest=longest, most=most, cut=cut)


class _Stretches:
    def __init__(
        self,
        pages: Filterable,
        window: Window,
        *,
        wanted: Spans,
        now: datetime,
        retention: timedelta | None,
        position: Callable[[datetime], int],
        known: datetime | None,
    ) -> None:
        self.pages = pages
        self.window = window
        self.now = now
        self.position = position
        self.known = known
        self.bottom = now - retention if retention is not None and window.longest is not None else None
        self.reaches = self.bottom is not None and bool(wanted) and wanted.first.start < self.bottom
        self.wanted = wanted if self.bottom is None else wanted.above(self.bottom)
        if window.longest is not None:
            self.wanted = self.wanted.below(_up(now, window.grain))
        self.remaining = self.wanted
        self.showing: _Query | None = None  # a stretch that showed calls
        self.empty: list[tuple[_Query, Spans]] = []  # those that showed none, and what of them is wanted
        self.settles_before: datetime | None = None  # of the first page of all

    def steps(self) -> Iterator[Step]:
        try:
            yield from self._by_filter()
        except _Ignored as ignored:
            yield from self._without_filter(ignored)

    def _by_filter(self) -> Iterator[Step]:
        asked = 0
        while self.remaining:
            asked += 1
            if asked > TOO_MANY:
                raise ConnectionFailed(
                    "the provider answers short stretches of time only, and there are too many of them to be asked for.",
                    safe="What was read before stays; nothing else was claimed.",
                    hint="Set start_date of the connection to when its first calls were made.",
                )
            query = _Query(self.pages, fitted(self.window, self._topmost(), now=self.now), self.window.most)
            part = self.remaining & Spans([query.stretch.span])
            yield from self._read(query, part)
            if not query.shown and query.stretch.since is None and self.window.most is None:
                # Where nothing is below, or nothing is answered, what the list itself says decides, if it can be read whole.
                self.remaining = Spans() if query.stretch.until is None else part
                yield from self._plain()
                return
        yield from self._confirmed()

    def _topmost(self) -> Span:
        """Return the newest of what remains, with all below it that the same query shows anyway."""
        spans = list(self.remaining)
        start, end = spans.pop()
        while spans and start - spans[-1].end <= 2 * self.window.grain:
            start = spans.pop().start
        return Span(start, end)

    def _read(self, query: _Query, part: Spans) -> Iterator[Step]:
        """Read a stretch, and take what remains then for what a later run has to read."""
        stretch, bottom, step = query.stretch, query.stretch.span.end, None
        for given in self._walk(query, part):
            step = given
            self.showing = query if query.shown else self.showing
            self.settles_before = self.settles_before or step.settles_before
            if Note.ORDER_VIOLATED in step.notes:
                yield step
                self.pages.note_unsorted()
                self.remaining, self.empty = self.wanted, []
                return
            if query.full and step.read and self.pages.found.unsorted:  # what looks like the end is as far as the query shows
                step = replace(step, read=Spans(), seen=frozenset(), horizon=None, notes=(*step.notes, Note.WINDOW_CUT))
            self.remaining -= step.read
            bottom = min([bottom, *(span.start for span in step.read)])
            open_list = stretch.since is None and stretch.until is None
            yield step if open_list else replace(step, empty_before=None)
            if query.full and not self.pages.found.unsorted:
                yield from self._go_on_below(stretch, bottom, step)
                return
        self.remaining -= Spans([stretch.span])
        if not query.shown and step is not None:
            self.empty.append((query, part.below(step.settles_before)))

    def _walk(self, query: _Query, part: Spans) -> Iterator[Step]:
        span, since, until = query.stretch.span, query.stretch.since, query.stretch.until
        start, end = span.start if since is not None else None, span.end if until is not None else None
        if self.pages.found.unsorted:
            return scan(query, claims_from=start, until=end, instants=Instants(self.known))
        # Held calls stand in a window too, but to page past them costs no more than to land below them.
        return newest_first(query, wanted=part, position=lambda _: 0, known=self.known, since=start, until=end)

    def _go_on_below(self, stretch: Stretch, bottom: datetime, step: Step) -> Iterator[Step]:
        """Go on below what a query showed that showed all it may; where no bound is low enough for that, below its grain."""
        self.remaining = self.remaining.below(bottom)
        if self.remaining and fitted(self.window, self._topmost(), now=self.now).until == stretch.until:
            self.remaining = self.remaining.below(_down(min(stretch.span.end, self.now) - TICK, self.window.grain))
            yield _only(step, note=Note.WINDOW_CUT)

    def _without_filter(self, ignored: _Ignored) -> Iterator[Step]:
        page = ignored.page
        yield Step(
            records=page.records,
            sent_at=page.sent_at,
            read=Spans(),
            settles_before=self.settles_before or page.sent_at,
            number=ignored.number,
            total=page.facts.total,
            notes=(Note.FILTER_IGNORED,),
        )
        self.pages.note_unfiltered()
        yield from self._plain()

    def _plain(self) -> Iterator[Step]:
        if not self.remaining:
            return
        if self.pages.found.unsorted:
            yield from scan(self.pages, claims_from=None, instants=Instants(self.known))
        else:
            yield from newest_first(self.pages, wanted=self.remaining, position=self.position, known=self.known)

    def _confirmed(self) -> Iterator[Step]:
        """Claim the stretches without a call that show none again, if one that showed calls still does; and where all begins."""
        if self.showing is None or self.settles_before is None or not (self.empty or self.reaches):
            return
        read = Spans()
        for query, part in self.empty:
            again = query.page(1)
            if again.stated and not again.records:
                read |= part
        page = self.showing.page(1)
        if page.records:
            yield Step(
                records=page.records,
                sent_at=page.sent_at,
                read=read,
                settles_before=self.settles_before,
                number=1,
                horizon=self.bottom if self.reaches else None,
            )


def _only(step: Step, *, note: Note) -> Step:
    """Return a step of which nothing but a note is new."""
    return Step(
        records=(), sent_at=step.sent_at, read=Spans(), settles_before=step.settles_before, number=step.number, notes=(note,)
    )
