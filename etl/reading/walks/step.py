"""What one step of a walk yields, and up to which instant a walk may claim to have read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from etl.coverage import Spans
from etl.model import Record
from etl.provider import PageFacts
from etl.reading.source import Capabilities, Page


class Note(StrEnum):
    """A finding that the user should know about. Each leaves a gap or costs requests, but loses no record."""

    ORDER_VIOLATED = "order_violated"
    PAGE_IGNORED = "page_ignored"
    PAGE_REPEATED = "page_repeated"
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
    back than on the last few pages.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Instants:
    """
    The instant of a walk's first request, by two clocks.

    Nothing at or after `claims_before` is claimed: it is the provider's clock (`Date`), else ours but not after the newest cursor
    seen. The lookback is counted back from `settles_before`, the earlier of the two clocks.
    """

    claims_before: datetime
    settles_before: datetime

    @classmethod
    def of(cls, page: Page) -> Instants:
        """Determine both from a walk's first page."""
        if page.date is not None:
            return cls(claims_before=page.date, settles_before=min(page.date, page.sent_at))
        newest = max((record.cursor for record in page.records if record.cursor is not None), default=page.sent_at)
        bound = min(newest, page.sent_at)
        return cls(claims_before=bound, settles_before=bound)
