"""Looks at single pages of one record, to find out how much there is before anything is read."""

from __future__ import annotations

from datetime import datetime

from etl.errors import NotFound, ProviderRefused
from etl.reading.source import Page, Pager


def far_page(
    pager: Pager, first: Page, number: int, *, since: datetime | None = None, until: datetime | None = None
) -> tuple[Page | None, bool | None]:
    """
    Return page `number`, and whether pages work: that one is not the first again, in the first style of which that is so.

    A page that is refused, or empty, tells nothing of that. By tokens a far page would cost all before it, so it is the second.
    """
    if not first.records or number < 2:
        return None, None
    while True:
        try:
            page = pager.page(2 if pager.style.by_token else number, since=since, until=until)
        except (NotFound, ProviderRefused):
            return None, None
        if not page.records:
            return None, None
        if page.ids[:1] != first.ids[:1]:
            return (None if pager.style.by_token else page), True
        if not pager.give_up_style():
            return None, False


def cursor_of(page: Page | None) -> datetime | None:
    """Return the cursor of the only record of a page."""
    return page.records[0].cursor if page is not None and page.records else None
