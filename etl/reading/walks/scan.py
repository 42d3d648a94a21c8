"""
The last resort: reads a whole list whose order cannot be trusted.

Nothing is claimed until its end, when the number of distinct ids must reach the provider's total at the beginning and end of a
pass. If the provider gives no total, a whole pass must bring nothing new, and as many calls as it had positions must be known.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from etl.coverage import Span, Spans
from etl.errors import ProviderRefused
from etl.reading.source import Page
from etl.reading.walks.ending import ends, says_empty, served
from etl.reading.walks.progress import key_of
from etl.reading.walks.step import NO_SUCH_PAGE, REFUSED, Instants, Note, Pages, Step, no_records

PASSES = 50
"""The maximum number of times a list is read."""

STALE_PAGES = 40
"""After two passes and this many pages without anything new, the scan gives up on what is missing."""


def scan(
    pages: Pages,
    *,
    claims_from: datetime | None,
    since: datetime | None = None,
    until: datetime | None = None,
    instants: Instants | None = None,
) -> Iterator[Step]:
    """
    Read the whole list (or the window from `since` to `until`) page by page, repeatedly until it is proven complete.

    The claim at the end begins at `claims_from`, or else at the oldest record, which then is the horizon. A step with `seen` is
    the last of a list that was read completely. `instants` are those of the walk that goes on as a scan.
    """
    tally = _Tally()
    instants = instants or Instants()
    ignored = False
    for _ in range(PASSES):
        tally.begin()
        number, size = 1, 0
        last: Page | None = None
        while True:
            try:
                page = pages.page(number, since=since, until=until)
            except ProviderRefused as refusal:
                # After the end of the list some APIs answer with an error.
                if last is None or refusal.status not in (*REFUSED, *NO_SUCH_PAGE):
                    raise
                if not pages.ends_before(number, size=size, last=last, since=since, until=until):
                    raise
                page = no_records(last)
            instants.see(page)
            tally.count(page)
            size = size or served(page, pages.size)
            ended = ends(page, number=number, size=size)
            stands_still = number > 1 and bool(page.records) and not tally.fresh
            another_style = stands_still and not tally.one_instant and pages.give_up_style()
            ignored = tally.stale > (STALE_PAGES if tally.one_instant else 1)
            end = min(instants.claims_before, until or instants.claims_before)
            proven = ended.surely and not another_style and tally.proven
            start = claims_from or tally.oldest
            read = Spans([Span(start, end)]) if proven and start is not None else Spans()
            yield Step(
                records=page.records,
                sent_at=page.sent_at,
                read=read,
                settles_before=instants.settles_before,
                number=number,
                total=page.facts.total,
                horizon=tally.oldest if proven and claims_from is None else None,
                seen=frozenset(tally.seen) if proven else frozenset(),
                notes=(Note.PAGE_IGNORED,) if ignored and not proven else (),
                empty_before=end if says_empty(page) and not tally.known and until is None else None,
            )
            if proven or (ended.here and not tally.seen):
                return
            if ended.here or ignored or another_style:
                break
            number, last = number + 1, page
        if ignored or (tally.stale_passes * number > STALE_PAGES and tally.stale_passes > 1):
            break
    yield Step(
        records=(),
        sent_at=page.sent_at,
        read=Spans(),
        settles_before=page.sent_at,
        number=number,
        total=page.facts.total,
        notes=() if ignored else (Note.TOTAL_DISAGREES,),
    )


class _Tally:
    """Counts what the passes over one list have seen, to decide whether the list was read completely."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.oldest: datetime | None = None
        self.ever: set[str] = set()  # the ids seen in any pass; `seen` begins anew where a total shrinks
        self.ever_before = 0
        self.passes = 0
        self.stale_passes = 0
        self.places = 0
        self.shrunk = False
        self.last_total: int | None = None
        self.totals: list[int] = []
        self.in_pass: set[str] = set()
        self.instants: set[datetime | None] = set()
        self.fresh = 0  # ids on the current page that are new in this pass
        self.stale = 0  # pages in a row without any
        self.contradicted = False  # whether a page showed more calls than its own total counts

    def begin(self) -> None:
        if self.passes:
            self.stale_passes = 0 if self.grew else self.stale_passes + 1
        self.passes += 1
        self.ever_before = len(self.ever)
        self.shrunk = False
        self.totals = []
        self.places = self.stale = 0
        self.in_pass, self.instants = set(), set()
        self.contradicted = False

    def count(self, page: Page) -> None:
        total = page.facts.total
        self.places += len(page.records)
        if total is not None and self.last_total is not None and total < self.last_total:
            # A vanished call may be among the ids seen, and may have pulled others to pages already read: start counting again.
            self.seen, self.shrunk = set(), True
        self.last_total = total
        keys = {key_of(record) for record in page.records}
        self.seen |= keys
        self.ever |= keys
        self.fresh = len(keys - self.in_pass)
        self.stale = 0 if self.fresh or not page.records else self.stale + 1
        self.in_pass |= keys
        self.instants.update(record.cursor for record in page.records)
        self.contradicted |= total is not None and bool(page.records) and total < len(self.in_pass) and not self.shrunk
        cursors = [record.cursor for record in page.records if record.cursor is not None]
        self.oldest = min([*cursors, *([self.oldest] if self.oldest else [])], default=None)
        if total is not None:
            self.totals.append(total)

    @property
    def proven(self) -> bool:
        """Whether a finished pass proves that the list was read completely: the distinct ids reach the pass's totals."""
        if not self.seen or self.shrunk or self.contradicted:
            return False
        if self.totals:
            return len(self.seen) >= max(self.totals[0], self.totals[-1])
        # Without a total: as many calls as positions, since calls of one instant may change their order.
        return self.passes > 1 and not self.grew and len(self.seen) >= self.places > 0

    @property
    def known(self) -> bool:
        """Whether any pass has shown a call."""
        return bool(self.seen) or self.oldest is not None

    @property
    def one_instant(self) -> bool:
        """Whether all calls of the pass share an instant; then each request may order them differently, and a page may repeat."""
        return len(self.instants) == 1

    @property
    def grew(self) -> bool:
        """Whether this pass brought anything new."""
        return len(self.ever) > self.ever_before
