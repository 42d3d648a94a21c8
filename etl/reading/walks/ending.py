"""
Decides whether a list has ended. It has only if all statements on its last page agree.

No single statement of a page can be trusted. A total may count one page only, or stop at a limit; "no more" may be wrong, and so
may a page's own number. If two statements disagree, the walk reads on as long as one of them says that there is more.
"""

from __future__ import annotations

from typing import NamedTuple

from etl.errors import PagingBroken
from etl.reading.source import Page


class Ending(NamedTuple):
    """Whether the list ends with a page (`here`), and whether all statements on the page agree (`surely`)."""

    here: bool
    surely: bool


def ends(page: Page, *, number: int, size: int, reached: int | None = None) -> Ending:
    """
    Return whether the list ends with this page: it is empty, or it is not full and nothing on it says that more follows.

    `reached` is the number of calls from the start of the list to the end of this page, as far as they were seen; by default it
    is computed from the page's number. Raises PagingBroken for an empty page that says that another follows, since such a list
    may never end.
    """
    total, more = page.facts.total, page.facts.more
    place = (number - 1) * size + len(page.records)
    reached = place if reached is None else reached
    if not page.records:
        if more and total is None:
            raise PagingBroken(
                f"the provider says that page {number + 1} follows, but page {number} is empty.",
                safe="What was read before is kept; the mark stands where nothing is missing below it.",
                hint="Run the sync again; if it persists, report it to the provider.",
            )
        # If the page before said that more follows, this empty page shows that it was wrong.
        return Ending(here=True, surely=total is None or total <= place)
    if not says_end(page, reached=reached) or len(page.records) >= size:
        return Ending(here=False, surely=False)
    return Ending(here=True, surely=total is None or total >= reached)


def says_end(page: Page, *, reached: int) -> bool:
    """Whether a page says that it is the last and does not contradict itself. Whether it is full does not matter."""
    total, more = page.facts.total, page.facts.more
    if total is None and more is None:
        return False
    return not more and (total is None or reached >= total)


def says_empty(page: Page) -> bool:
    """Whether the first page of a list says that the list holds no call, and nothing on it says otherwise."""
    return page.stated and not page.records and not page.facts.more and not page.facts.total


def served(page: Page, asked: int) -> int:
    """Return the size of a list's pages, by its first: what it states if that can be, or its length unless it is the last."""
    if page.facts.size and page.facts.size >= len(page.records):
        return page.facts.size
    return asked if says_end(page, reached=len(page.records)) else len(page.records) or asked
