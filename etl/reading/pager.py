"""Asks one list for its pages: in the way and the size that work, and by the tokens that lead on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from etl.errors import ConnectionFailed, ProviderRefused
from etl.provider import Ask, PageFacts, Style
from etl.reading.source import Capabilities, Page, Source

SURELY_ONE_PAGE = 2
"""A list of at most this many calls cannot be a page that was cut short."""

TOKENS = 10_000
"""The maximum number of tokens kept of a list; a walk steps back by less."""


class Pager:
    """
    Requests the pages of one stream in the first way that works: styles in their order, page sizes from the largest.

    Where pages are asked for by tokens, it keeps those that it was told, and reads on from the nearest page before the one asked
    for: to land on a page far down costs a request for each page above it, of which nothing is handed on.

    A way that is refused with 400 or 422 before it served any page is replaced by the next one. `give_up_style` does the same
    for a way whose answers are wrong (the page number is ignored, or the order is not kept).
    """

    def __init__(self, source: Source, *, stream: str, found: Capabilities, per_page: int | None) -> None:
        listing = source.provider.listing
        self.window = listing.window
        self.retention = source.provider.retention
        self._ask_page: Callable[[Style, Ask], Page] = lambda style, ask: source.page(stream=stream, style=style, ask=ask)
        self._trail: tuple[object, ...] = ()  # which list the tokens lead through
        self._after: dict[int, str | None] = {}  # what leads to each page, by its number
        self._styles = self._all_styles = _from(listing.styles, found.style)
        self._all_sizes = (per_page,) if per_page else listing.page_sizes
        self._sizes = _sizes(self._all_sizes, found.size)
        self._accepted = False
        self.found = found

    @property
    def size(self) -> int:
        """The page size requested."""
        return self._sizes[0]

    @property
    def style(self) -> Style:
        """The way in which pages are asked for now."""
        return self._styles[0]

    def ends_before(
        self, number: int, *, size: int, last: Page, since: datetime | None = None, until: datetime | None = None
    ) -> bool:
        """
        Whether page `number` was refused because the list ends with the page before it, `last`; `size` is that of a full page.

        After the end of a list some APIs answer with an error instead of an empty page. But an error may also mean that the API
        does not page at all, or not so deep. So the end of the list is requested again with a smaller page size, where it must
        stand on a page that is not full.
        """
        if self._styles[0].by_token:
            return False
        reached = (number - 2) * size + len(last.records)
        if reached <= SURELY_ONE_PAGE < self.size:
            return True
        smaller = next((other for other in range(min(size, reached) - 1, 1, -1) if reached % other), None)
        if smaller is None:
            return False
        ask = Ask(number=reached // smaller + 1, size=smaller, since=since, until=until)
        try:
            page = self._ask_page(self._styles[0], ask)
        except ConnectionFailed:
            return False
        return len(page.records) == reached % smaller and page.ids[-1:] != () and page.ids[-1] in last.ids

    def smaller(self) -> bool:
        """Request pages of a quarter of the size from now on. Return False if the size is one already."""
        if self.size <= 1:
            return False
        self._sizes = self._all_sizes = (max(1, self.size // 4),)
        self.found = replace(self.found, size=self.size)
        return True

    def page(self, number: int, *, since: datetime | None = None, until: datetime | None = None) -> Page:
        """Request page `number`. Raises ProviderRefused if no way is left."""
        while True:
            try:
                page = self._asked(self._styles[0], Ask(number=number, size=self.size, since=since, until=until))
            except ProviderRefused as refusal:
                if self._accepted or refusal.status not in (400, 422) or not self._step_down():
                    raise
                continue
            if not self._accepted or self.found.checked_at is None:
                self._accepted = True
                checked_at = self.found.checked_at or page.sent_at
                self.found = replace(self.found, style=self.style.name, size=self.size, checked_at=checked_at)
            self._keep_to_size(page)
            return page

    def _keep_to_size(self, page: Page) -> None:
        """Ask for pages of the size that is served, where that is said to be a smaller one: offsets are counted by it."""
        size, total = page.facts.size, page.facts.total
        follows = page.facts.more or (total is not None and size is not None and total > size)
        if size is not None and 0 < size < self.size and len(page.records) == size and follows:
            self._sizes = (size,)

    def _asked(self, style: Style, ask: Ask) -> Page:
        """Request a page: by its number, or by what the pages before it say."""
        if not style.by_token:
            return self._ask_page(style, ask)
        trail = (style.name, ask.size, ask.since, ask.until)
        if ask.number == 1 or trail != self._trail:
            self._trail, self._after = trail, {1: None}
        at = max(number for number in self._after if number <= ask.number)
        while True:
            page = self._ask_page(style, replace(ask, number=at, after=self._after[at]))
            if at == ask.number:
                if page.facts.after is not None:
                    self._keep(at + 1, page.facts.after)
                return page
            if page.facts.after is None:  # the list ends above the page that was asked for
                return replace(page, records=(), facts=PageFacts(total=page.facts.total, size=page.facts.size, more=False))
            self._keep(at + 1, page.facts.after)
            at += 1

    def _keep(self, number: int, token: str) -> None:
        self._after[number] = token
        if len(self._after) > TOKENS:
            del self._after[min(self._after.keys() - {1})]

    def give_up_style(self) -> bool:
        """
        Switch to the next style; if there is none, return to the first that is not refused, and return False.

        Then the next run begins with the first of all: what was remembered may have come of answers that were wrong once.
        """
        given_up = len(self._styles) > 1
        self._styles = self._styles[1:] if given_up else self._all_styles
        self.found = replace(self.found, style=self._styles[0].name if given_up else None)
        return given_up

    def note_unsorted(self) -> None:
        """Remember that no style keeps the order."""
        self.found = replace(self.found, unsorted=True)

    def note_windows(self, *, longest: timedelta, most: int, cut: bool) -> None:
        """Remember the longest window and the largest answer seen whole, and whether longer windows are answered in part."""
        self.found = replace(self.found, longest=longest, most=most, cut=cut)

    def note_unfiltered(self) -> None:
        """Remember that the filter by the cursor is ignored."""
        self.found = replace(self.found, unfiltered=True)

    def _step_down(self) -> bool:
        if len(self._sizes) > 1:
            self._sizes = self._sizes[1:]
            return True
        refused = self._styles[0]
        if self.give_up_style():
            self._all_styles = tuple(style for style in self._all_styles if style is not refused)
            self._sizes = tuple(self._all_sizes)
            return True
        return False


def _from(styles: tuple[Style, ...], name: str | None) -> tuple[Style, ...]:
    names = [style.name for style in styles]
    return styles[names.index(name) :] if name in names else styles


def _sizes(sizes: tuple[int, ...], found: int | None) -> tuple[int, ...]:
    return tuple(size for size in sizes if found is None or size <= found) or sizes
