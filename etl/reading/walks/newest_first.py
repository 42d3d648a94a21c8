"""
Walk two, for plain lists, newest first, paged by number or offset.

Each page covers a slice: from just above its oldest record up to the slice of the page before. New calls push records to later
pages, so that some are repeated. Deletions pull records to earlier pages; a shrinking total shows that, and the walk steps back.
Ranges that are held already are jumped over; a jump has to land on a page that reaches above the next gap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

from etl.coverage import TICK, Span, Spans
from etl.errors import ProviderRefused
from etl.reading.source import Page
from etl.reading.walks.ending import Ending, ends, says_empty, says_end, served
from etl.reading.walks.outline import ORDER_TOLERANCE, Outline, outline
from etl.reading.walks.progress import Progress, key_of
from etl.reading.walks.scan import scan
from etl.reading.walks.step import NO_SUCH_PAGE, REFUSED, Instants, Note, Pages, Step, no_records
from etl.reading.walks.tie import TRIES, Tie

STEP_BACKS = 100
"""The maximum number of steps back; a list that shrinks faster than it can be read is left to the next run."""

FUTILE = 5
"""The maximum number of steps back in a row from the same unchanged page; fewer may be calls that appear as others vanish."""


def newest_first(
    pages: Pages,
    *,
    wanted: Spans,
    position: Callable[[datetime], int],
    known: datetime | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[Step]:
    """
    Read `wanted`, clipped to the clock of the first answer, newest first.

    `position(instant)` returns how many calls are held from that instant on, which is where to expect a gap below it in the list;
    `known` is the newest cursor held. With `since` or `until` the list surely shows only what lies between them: nothing is
    claimed from `until` on, and the list's end is that of a window, read down to `since`.
    Raises ConnectionFailed and its subclasses; what was yielded before stays valid.
    """
    page = pages.page(1)
    while _outline(page).violated and pages.give_up_style():
        page = pages.page(1)
    yield from _Walk(pages, page, wanted=wanted, position=position, known=known, since=since, until=until).steps(page)


class _Walk:
    def __init__(
        self,
        pages: Pages,
        page: Page,
        *,
        wanted: Spans,
        position: Callable[[datetime], int],
        known: datetime | None,
        since: datetime | None,
        until: datetime | None,
    ) -> None:
        self.pages = pages
        self.since = since
        self.instants = Instants(known)
        self.instants.see(page)
        top = self.instants.claims_before
        self.bound = top if until is None else min(top, until)  # everything wanted from this instant on has been read
        self.remaining = wanted.below(self.bound)
        self.lowest_wanted = wanted.first.start
        self.position = position
        self.lowest_seen: datetime | None = None  # on the pages read without a jump in between
        self.highest: datetime | None = None  # the newest cursor met
        self.descends = False  # whether the list has shown that its newer calls come first
        self.landing = False  # whether the next page must prove that it reaches above `bound`
        self.number = 1
        self.before: tuple[Page, Outline] | None = None
        self.progress = Progress()
        self.furthest = 0  # the page furthest down that was not a repeat
        self.surely = 1  # the last page that was surely the one asked for: it repeated nothing
        self.stale = 0  # pages in a row without a new id, counted across styles
        self.redealt = 0  # the same for pages that hold only calls of one instant
        self.suspect = False  # whether the previous page came from another place, so that the next may not follow on it
        self.said_end = False  # whether the page before said that it was the last
        self.largest = 0  # the most records on any page
        self.holes = Spans()  # between a page that was not full and the next one, since the last jump
        self.shrunk_at: tuple[int, frozenset[str], int] | None = None  # the page that made the walk step back
        self.futile = 0  # how often in a row the same page did, unchanged
        self.size = served(page, pages.size)
        self.tie = Tie()
        self.back = 1
        self.too_low: int | None = None  # a page that was landed on too low, until the walk has come to it
        self.step_backs = 0
        self.last_total: int | None = None
        self.empty_pages = 0

    def steps(self, page: Page) -> Iterator[Step]:
        while True:
            number, shape = self.number, _outline(page)
            lost = self._order_lost(page, shape)
            follows = self.before is not None and not self.landing
            self.progress.see(page, place=(self.number - 1) * self.size, follows=follows, tied=self.tie.instant)
            if shape.violated or lost:
                yield self._step(page, Spans(), takes_back=True, notes=(Note.ORDER_VIOLATED,))
                self.pages.note_unsorted()
                yield from scan(self.pages, claims_from=None, instants=self.instants)
                return
            if self._stands_still(page):
                given_up = self.pages.give_up_style()
                self.stale += not given_up
                ignored = self.stale > 1
                yield self._step(page, Spans(), notes=(Note.PAGE_IGNORED,) if ignored else ())
                if ignored:
                    return
                if given_up:
                    self._go_on_otherwise()
                else:
                    self._distrust(shape)
            elif self._shrunk(page) or self._landed_low(shape):
                self.furthest = max(self.furthest, number)
                given_up = self.step_backs > STEP_BACKS
                yield self._step(page, Spans(), notes=(Note.TOTAL_DISAGREES,) if given_up else ())
                if given_up:
                    return
            else:
                notes = self._joined(page, shape)
                if (proven := self._tie_proven(page)) is None:
                    yield self._step(page, Spans(), notes=notes)
                    self.number, self.before = self.tie.first_page, None
                else:
                    step, finished = self._read(page, shape, tie_proven=proven, notes=notes)
                    yield step
                    if finished:
                        return
            following = self._next_page(page)
            if following is None:
                yield self._step(replace(page, records=()), Spans(), notes=(Note.PAGE_IGNORED,))
                return
            page = following

    def _stands_still(self, page: Page) -> bool:
        """Whether a page further down than all before has no new id although new arrivals do not explain its repeats."""
        if self.progress.fresh:
            self.redealt = 0
        if self.progress.fresh and self.progress.fresh == len(page.records):
            self.surely = self.number
        if self.number <= self.furthest or not page.records or self.progress.fresh:
            return False
        if self._all_tied(page):
            self.redealt += 1
            return self.redealt > TRIES  # until then `Tie` decides whether all calls of the instant were seen
        return self.before is None or self.progress.unexplained > 0

    def _all_tied(self, page: Page) -> bool:
        """Whether a page holds only calls of the current instant, which each request may order differently."""
        return all(record.cursor == self.tie.instant for record in page.records)

    def _go_on_otherwise(self) -> None:
        """Go on in the next style, behind the last page that surely was the one asked for: a later one may be the first."""
        if self.before is not None and self.surely < self.number - 1:
            self.suspect = False
            self._step_back(self.number - 1 - self.surely)

    def _distrust(self, shape: Outline) -> None:
        """Go on below a page that came from the wrong place in the list. The next page need not follow on what was read."""
        self.suspect = True
        if shape.last is not None:
            self.bound = min(self.bound, shape.last)
        self.tie.leave()
        self.number += 1

    def _joined(self, page: Page, shape: Outline) -> tuple[Note, ...]:
        """
        Leave a gap between a page that came from the wrong place and the next one, unless the two share a call.

        The same after a page with fewer records than another has: the rest of what belongs there was not shown.
        """
        suspect, self.suspect = self.suspect, bool(self.progress.unexplained)
        self.largest = max(self.largest, len(page.records))
        short = self.before is not None and not self.landing and len(self.before[0].records) < self.largest
        if not (suspect or short) or self.progress.joined or shape.first is None:
            return ()
        self.tie.leave()
        bound = min(self.bound, shape.first - shape.slack)
        if bound < self.bound and not suspect:
            self.holes |= Spans([Span(bound, self.bound)])
        self.bound = bound
        return (Note.PAGE_REPEATED if suspect else Note.PAGE_SHORT,)

    def _next_page(self, page: Page) -> Page | None:
        """
        Request page `self.number`; return None if the provider refuses all styles for any page but the first.

        After the end of the list some APIs answer with an error, which is taken for an empty page. `page` is the last one read.
        """
        while True:
            try:
                return self.pages.page(self.number)
            except ProviderRefused as refusal:
                if refusal.status not in (*REFUSED, *NO_SUCH_PAGE) or self.number == 1:
                    raise
                if self.landing and refusal.status in NO_SUCH_PAGE:
                    return no_records(page)
                if self.before is not None and self.pages.ends_before(self.number, size=self.size, last=self.before[0]):
                    return no_records(page)
                if refusal.status not in REFUSED:
                    raise
                if not self.pages.give_up_style():
                    return None

    def _step(
        self,
        page: Page,
        read: Spans,
        *,
        takes_back: bool = False,
        notes: tuple[Note, ...] = (),
        horizon: datetime | None = None,
        seen: frozenset[str] = frozenset(),
    ) -> Step:
        return Step(
            records=page.records,
            sent_at=page.sent_at,
            read=read,
            settles_before=self.instants.settles_before,
            number=self.number,
            total=page.facts.total,
            horizon=horizon,
            takes_back=takes_back,
            seen=seen,
            notes=notes,
            empty_before=self.instants.claims_before if says_empty(page) and not self.progress.known else None,
        )

    def _read(self, page: Page, shape: Outline, *, tie_proven: bool, notes: tuple[Note, ...]) -> tuple[Step, bool]:
        """
        Claim the slice of a page that follows on what was read, and choose the next page.

        A page that does not show the reading order may be of a list that begins with its oldest calls: the next one shows it.
        """
        blind = self._is_blind(shape)
        bound = self.bound
        self.landing, self.back = False, 1
        if self.too_low is not None and self.number >= self.too_low:
            self.too_low = None
        if page.records:
            self.stale = 0 if self.progress.fresh else self.stale
            self.furthest = max(self.furthest, self.number)
        ended = self._ended(page)
        edge, tied = self.tie.instant, frozenset(self.tie.ids)
        hole = Spans([Span(edge, edge + TICK)]) if edge is not None and not tie_proven else Spans()
        self.tie.open(page, number=self.number, size=self.size, last=shape.last)
        if shape.last is not None:
            self.lowest_seen = min(self.lowest_seen or shape.last, shape.last)
        low = bound
        horizon = None
        ended = self._believed(ended, page)
        self.said_end = says_end(page, reached=self.progress.reached)
        if ended.surely and self.lowest_seen is not None:
            if self.since is None:
                low = horizon = self.lowest_seen
            else:
                low = min(self.since, bound)
        elif shape.last is not None and not blind:
            low = min(bound, shape.last + TICK + shape.slack)
        read = Spans([Span(low, bound)]) - hole
        if ended.surely and page.facts.total is not None:  # all calls that the total counts were seen: none is in a hole
            read |= self.holes
        self.bound = min(bound, low)
        self.remaining -= read
        notes = (*notes, Note.TOTAL_DISAGREES) if ended.here and not ended.surely else notes
        step = self._step(page, read, notes=notes, horizon=horizon, seen=tied)
        below = sum(cursor < self.lowest_wanted for cursor in shape.cursors)
        if ended.here or (not self.remaining.below(self.bound) and below > 1 and not blind):
            return step, True
        if not page.records:
            self._step_back(1)
            return step, False
        self._choose_next(page, shape, blind=blind)
        return step, False

    def _is_blind(self, shape: Outline) -> bool:
        """Whether the list has shown no newer call above an older one yet, or this page goes the other way from end to end."""
        if shape.first is not None and shape.last is not None:
            self.highest = max(self.highest or shape.first, shape.first)
            self.descends = self.descends or (shape.last < self.highest and not shape.is_backward)
        return shape.is_backward or not self.descends

    def _ended(self, page: Page) -> Ending:
        """Return whether the list ends here. The end is not sure until as many calls were seen as the total counts."""
        ended = ends(page, number=self.number, size=self.size, reached=self.progress.reached)
        if not ended.surely or (self.progress.whole and not self.progress.contradicted):
            return ended
        return Ending(here=not page.records or self.progress.whole, surely=False)

    def _believed(self, ended: Ending, page: Page) -> Ending:
        """
        Accept an empty page as the end of the list only if the page before it, requested again, still shows calls.

        An outage that begins during the walk also looks like an empty page, and the horizon would be set to where it began.
        """
        if page.records or not ended.here or self.lowest_seen is None or self.said_end:
            return ended
        self.empty_pages += 1
        if self.empty_pages == 1 and self.number > 1:
            return Ending(here=False, surely=False)
        return Ending(here=True, surely=ended.surely and self.before is not None and bool(self.before[0].records))

    def _choose_next(self, page: Page, shape: Outline, *, blind: bool) -> None:
        """Choose the next page, or the one where the next gap is expected if everything in between is held."""
        self.before = (page, shape)
        if blind:
            self.number += 1
            return
        left = self.remaining.below(self.bound)
        size = self.size
        if left and left.last.end < self.bound:
            expected = self.position(left.last.end) // size + 1
            if expected > self.number + 1:
                self.bound = left.last.end
        elif shape.last is not None and shape.last > self.bound:
            # The page is entirely above the gap: jump over what is held in between.
            expected = self.number + (self.position(self.bound) - self.position(shape.last)) // size
        else:
            expected = 0
        if self.too_low is not None and expected >= self.too_low:
            expected = 0  # fewer calls are listed than are held: to jump there again would land too low again
        if expected > self.number + 1:
            self.number = expected
            self.landing, self.before, self.lowest_seen = True, None, None
            self.holes = Spans()
            self.tie.leave()
        else:
            self.number += 1

    def _order_lost(self, page: Page, shape: Outline) -> bool:
        """Whether a page has records that were not on the page before and are newer than the order allows."""
        if self.before is None or self.landing:
            return False
        earlier_shape = self.before[1]
        if earlier_shape.last is None:
            return False
        known, trusted = self.progress.known, set(shape.cursors)
        fresh = (record.cursor for record in page.records if key_of(record) not in known)
        newest = max((cursor for cursor in fresh if cursor is not None and cursor in trusted), default=earlier_shape.last)
        return newest - earlier_shape.last > ORDER_TOLERANCE

    def _shrunk(self, page: Page) -> bool:
        """Whether calls vanished since the page before, which pulls unread records to earlier pages; if so, step back."""
        total, before = page.facts.total, self.last_total
        self.last_total = total
        if total is None or before is None or total >= before or self.progress.contradicted:
            return False
        here = (self.number, frozenset(map(key_of, page.records)), total)
        self.futile = self.futile + 1 if here == self.shrunk_at else 0
        if self.futile >= FUTILE:  # nothing vanishes here: the total counts something else
            self.progress.contradicted = True
            return False
        self.tie.forget()
        self.shrunk_at = here
        if self.number == 1:
            return False
        self._step_back(-(-(before - total) // self.size))
        return True

    def _landed_low(self, shape: Outline) -> bool:
        """Whether a page begins below the range to read next, so that records would be missed; if so, step back."""
        if not self.landing or self.number == 1:
            return False
        if shape.first is not None and shape.first >= self.bound:
            return False
        self.too_low = min(self.number, self.too_low or self.number)
        self._step_back(self.back)
        self.back *= 2
        return True

    def _step_back(self, count: int) -> None:
        self.number = max(1, self.number - count)
        self.landing, self.said_end = True, False
        self.before = None
        self.holes = Spans()
        self.step_backs += 1

    def _tie_proven(self, page: Page) -> bool | None:
        """Whether all calls of the instant at the previous page's end were seen; None: its pages must be read again."""
        self.tie.see(page, number=self.number, size=self.size)
        ended = ends(page, number=self.number, size=self.size)
        complete = self.tie.complete(page, number=self.number, size=self.size, ended=ended.here)
        if complete is not False:
            return True
        return None if self.tie.try_again() else False


def _outline(page: Page) -> Outline:
    return outline([record.cursor for record in page.records if record.cursor is not None], descending=True)
