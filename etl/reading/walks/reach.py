"""
Decides how much of a window an answer covers. Some APIs answer a long window in part, and do not say so: its first days, its
newest ones, or so many calls.

An answer is believed if a window as long was seen answered whole, and an answer with more calls. Else the rest of the window is
asked for by itself; where that is longer too, a window of its length that ends with a known call, which must be counted there.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from etl.coverage import ORIGIN
from etl.model import Record
from etl.reading.source import Page
from etl.reading.walks.step import Pages

SECOND = timedelta(seconds=1)

SURELY = timedelta(days=1)
"""Any API answers a window of this length whole."""

FEW = 100
"""Any API answers with as many calls as this at once."""

LATE = timedelta(hours=1)
"""A call that ended so long ago does not appear between two requests; one that does was left out of the first answer."""

TRIES = 3
"""How often a window is asked for before it is held to be answered in part."""

RECENT = timedelta(days=30)
"""Where a longer window shows nothing, its last part of this length is asked for by itself."""


class Reach:
    """What is known about how much of a window the provider answers."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self.longest = max(SURELY, pages.found.longest)  # the longest window seen answered whole
        self.most = max(FEW, pages.found.most)  # the most calls seen in one answer; one with fewer was not cut for being large
        self._doubted: tuple[datetime, datetime] | None = None  # where a window began, and when the first call was that it showed
        self.cut = pages.found.cut  # whether a longer window was seen answered in part
        self._from_memory = self.cut

    def see(self, since: datetime, newest: datetime, *, number: int) -> None:
        """Note that a window was answered up to the call at `newest`, and with so many calls."""
        if not self.cut:
            self.longest = max(self.longest, newest - since)
        self.most = max(self.most, number)

    def believes(self, page: Page, since: datetime, until: datetime) -> bool:
        """Whether the answer to a window is surely whole: no longer and no larger than others that were."""
        return not self.cut and len(page.records) < self.most and until - since <= self.longest

    def left_out(self, calls: Iterable[Record], until: datetime) -> None:
        """Note calls that the rest of a window showed when it was asked for by itself."""
        if not self.cut and any(call.cursor is not None and call.cursor < until - LATE for call in calls):
            self.limit()

    def covers(self, since: datetime, until: datetime, *, known: datetime) -> bool:
        """
        Whether a window that is longer than any seen answered whole is answered to its end; `known` is a call's instant.

        Asks twice for a window as long that ends with the known call: it must be counted there. Where it seems not to be, it is
        asked for again, as a call that appears between two requests makes up for it.
        """
        length = until - since
        if length <= self.longest:
            return True
        if self.cut:
            return False
        end = known.replace(microsecond=0) + SECOND
        start = max(end - length, ORIGIN)
        for _ in range(TRIES):
            up_to, before = (_counted(self._pages.page(1, since=start, until=bound)) for bound in (end, end - SECOND))
            if up_to is None or before is None:
                return False
            if up_to > before or not self._lists(end - SECOND):
                self.longest = length
                return True
        return False

    def doubt(self, since: datetime, first: datetime) -> None:
        """Note when the first call was that a window showed, if the part before it is longer than what was seen whole."""
        if first - since > self.longest:
            self._doubted = (since, first)

    def hid_beginning(self, until: datetime) -> bool:
        """
        Whether calls precede the first one that was shown. Then windows are limited.

        Asks for that part by itself; where it is longer than all that was shown, also for a window as long that begins with the
        first call, which must be shown there. Nothing is asked where nothing is in doubt, nor a second time.
        """
        doubted, self._doubted = self._doubted, None
        if doubted is None:
            return False
        since, at = doubted
        start, length = at.replace(microsecond=0), at - since
        hidden = any(cursor < start for cursor in _cursors(self._pages.page(1, since=since, until=start)))
        if not hidden and length > until - at:
            hidden = not any(self._begins_with(at, start, start + length) for _ in range(TRIES))
        if hidden:  # or it came since the window was asked for, and is shown now
            again = self._pages.page(1, since=since, until=until)
            hidden = not any(cursor < at for cursor in _cursors(again))
        if hidden:
            self._limit_to(until - at)
        return hidden

    def hides_all(self, since: datetime, until: datetime) -> datetime | None:
        """Return the instant of a call that a window without any should have shown, if its last part by itself shows one."""
        if until - since <= max(self.longest, RECENT):
            return None
        page = self._pages.page(1, since=until - RECENT, until=until)
        newest = max((cursor for cursor in _cursors(page) if until - RECENT <= cursor < until), default=None)
        if newest is None or self._pages.page(1, since=since, until=until).records:  # else it came between the two requests
            return None
        self._limit_to(newest - (until - RECENT))
        return newest

    def _begins_with(self, at: datetime, since: datetime, until: datetime) -> bool:
        """Whether a window shows its first call, at `at`, or that call was deleted since."""
        # Of many calls of one instant any may be on the page.
        return any(cursor <= at for cursor in _cursors(self._pages.page(1, since=since, until=until))) or not self._lists(since)

    def _lists(self, second: datetime) -> bool:
        """Whether a call that was shown is still listed, asked for by its second alone: what was deleted since proves nothing."""
        return any(
            second <= cursor < second + SECOND for cursor in _cursors(self._pages.page(1, since=second, until=second + SECOND))
        )

    def _limit_to(self, longest: timedelta) -> None:
        self.longest = max(SURELY, longest)
        self.limit()

    def begins_anew(self) -> bool:
        """Forget that windows are limited if only an earlier run has seen it; return whether that is so."""
        forgotten = self.cut and self._from_memory
        if forgotten:
            self.cut = self._from_memory = False
            self.longest = SURELY
        return forgotten

    def limit(self) -> None:
        """Remember that longer windows are not answered whole."""
        self.cut, self._from_memory = True, False
        self.remember()

    def remember(self) -> None:
        """Remember what was seen for later walks."""
        self._pages.note_windows(longest=self.longest, most=self.most, cut=self.cut)


def _cursors(page: Page) -> list[datetime]:
    return [record.cursor for record in page.records if record.cursor is not None]


def _counted(page: Page) -> int | None:
    """Return how many calls a window holds: what the page counts, or shows if it says that it is the only one."""
    if page.facts.total is not None:
        return page.facts.total
    return None if page.facts.more else len(page.records)
