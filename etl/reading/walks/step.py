"""What one step of a walk yields, and up to which instant a walk may claim to have read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from etl.coverage import ORIGIN, Spans
from etl.model import Record
from etl.provider import PageFacts
from etl.reading.clocks import believed, newest_two
from etl.reading.source import Capabilities, Page

NO_TIME = timedelta()


class Note(StrEnum):
    """A finding that the user should know about. Each leaves a gap or costs requests, but loses no record."""

    ORDER_VIOLATED = "order_violated"
    PAGE_IGNORED = "page_ignored"
    PAGE_REPEATED = "page_repeated"
    PAGE_SHORT = "page_short"
    TOTAL_DISAGREES = "total_disagrees"
    WINDOW_CUT = "window_cut"
    FILTER_IGNORED = "filter_ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    One page: its records, and the range that is now completely read (`read`, possibly empty).

    `settles_before` is the instant from which the lookback is counted back. `horizon`, the oldest instant that the provider
    serves, is set if the list ended. `takes_back` says that everything this walk claimed before must be revoked. `total` is the
    provider's count over all pages, if it gives one. `seen` holds the ids of calls in `read` that may have been listed further
    back than on the last few pages. `read_so_far` is what the walk has read up to this step, if a later page may show that more
    of it is settled. `empty_before` is set where the list says that it holds no call at all, which proves something only if the
    account is known to answer: then there is none before this instant.
    """

    records: tuple[Record, ...]
    sent_at: datetime
    read: Spans
    settles_before: datetime
    number: int
    total: int | None = None
    horizon: datetime | None = None
    takes_back: bool = False
    seen: frozenset[str] = frozenset()
    notes: tuple[Note, ...] = ()
    read_so_far: Spans = Spans()
    empty_before: datetime | None = None


class Pages(Protocol):
    """Where a walk's pages come from (`etl.reading.source.Pager`)."""

    @property
    def size(self) -> int:
        """The page size requested."""
        ...

    @property
    def found(self) -> Capabilities:
        """What was found out so far about how the provider answers."""
        ...

    def page(self, number: int, *, since: datetime | None = None, until: datetime | None = None) -> Page:
        """Request a page."""
        ...

    def ends_before(
        self, number: int, *, size: int, last: Page, since: datetime | None = None, until: datetime | None = None
    ) -> bool:
        """Whether page `number` was refused because the list ends with the page before it, `last`."""
        ...

    def give_up_style(self) -> bool:
        """Switch to the next way of asking; return False if there is none."""
        ...

    def note_unsorted(self) -> None:
        """Remember that no way of asking keeps the order."""
        ...

    def note_windows(self, *, longest: timedelta, most: int, cut: bool) -> None:
        """Remember the longest window and the largest answer seen whole, and whether longer windows are answered in part."""
        ...


NO_SUCH_PAGE = (404, 410, 416)
"""The statuses by which some APIs say that there is no page of this number."""

REFUSED = (400, 422)
"""The statuses of a refused parameter, such as a page number that the provider does not accept."""


def no_records(like: Page) -> Page:
    """Return the empty page that other APIs answer where this one refused; what `like` said of the whole list stands."""
    return replace(like, records=(), facts=PageFacts(total=like.facts.total, size=like.facts.size))


class Instants:
    """
    The instant of a walk's first request, as far as the pages seen so far can tell it.

    It is the provider's clock (`Date`) where that can be believed. Where it cannot, or there is none, it is not after the newest
    call seen (`known` is the newest of earlier runs), less the time since the first request: that call existed when its page
    was sent. It is never after our clock.
    """

    def __init__(self, known: datetime | None = None) -> None:
        self._newest: tuple[datetime, ...] = () if known is None else (known,)
        self._first: Page | None = None

    def see(self, page: Page) -> None:
        """Take a page into account; the first one is that of the walk's first request."""
        first = self._first = self._first or page
        elapsed = max(page.sent_at - first.sent_at, NO_TIME)
        cursors = newest_two(cursor for record in page.records if (cursor := record.cursor) is not None and cursor > ORIGIN)
        self._newest = newest_two((*self._newest, *(cursor - elapsed for cursor in cursors)))

    @property
    def claims_before(self) -> datetime:
        """Nothing at or after this instant is claimed, but for what a page itself shows to lie below one of its records."""
        date, sent_at = self._date, self._sent_at
        return date if date is not None else min(max(self._newest, default=sent_at), sent_at)

    @property
    def settles_before(self) -> datetime:
        """The instant from which the lookback is counted back: the earlier of the two clocks."""
        return min(self.claims_before, self._sent_at)

    @property
    def _date(self) -> datetime | None:
        return believed(self._first.date, self._first.sent_at, self._newest) if self._first is not None else None

    @property
    def _sent_at(self) -> datetime:
        if self._first is None:
            raise LookupError("a walk that has seen no page has no instant")
        return self._first.sent_at
