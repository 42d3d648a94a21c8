"""Knows what one step of a walk hands on, and at which instants a walk may claim to have read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from etl.coverage import Spans
from etl.model import Record
from etl.provider import PageFacts
from etl.reading.source import Page


class Note(StrEnum):
    """What a walk found out that the user should hear of; each leaves a gap or costs requests, none loses a record."""

    ORDER_VIOLATED = "order_violated"
    PAGE_IGNORED = "page_ignored"
    PAGE_REPEATED = "page_repeated"
    TOTAL_DISAGREES = "total_disagrees"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    One page read: its records, and what is completely read now that it is (`read`, possibly nothing).

    `settles_before` is the instant from which the lookback counts; None where nothing of this walk settles.
    `horizon` is set where the list ended: the oldest instant that the provider serves. `takes_back` says that everything
    this walk claimed before must be given up. `total` is the provider's count over all pages, if it gives one. `seen` holds
    the ids of calls in `read` that may stand on more pages than the last few.
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
        """The page size asked for."""
        ...

    def page(self, number: int, *, since: datetime | None = None, until: datetime | None = None) -> Page:
        """Ask for a page."""
        ...

    def ends_before(
        self, number: int, *, size: int, last: Page, since: datetime | None = None, until: datetime | None = None
    ) -> bool:
        """Whether page `number` was refused because the list ends with the page before it, `last`."""
        ...

    def give_up_style(self) -> bool:
        """Turn to the next way of asking; False where there is none."""
        ...

    def note_unsorted(self) -> None:
        """Remember that no way of asking keeps the order."""
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
    The instant T of a walk's first request, by two clocks.

    `claims_before`: nothing at or after it is claimed; the provider's clock (`Date`), else ours bounded by the newest cursor
    seen. `settles_before`: the earlier of the two clocks, since the lookback counts from it.
    """

    claims_before: datetime
    settles_before: datetime

    @classmethod
    def of(cls, page: Page) -> Instants:
        """Read both from a walk's first page."""
        if page.date is not None:
            return cls(claims_before=page.date, settles_before=min(page.date, page.sent_at))
        newest = max((record.cursor for record in page.records if record.cursor is not None), default=page.sent_at)
        bound = min(newest, page.sent_at)
        return cls(claims_before=bound, settles_before=bound)
