"""
Decides whether a list has ended: only if everything that its page says agrees.

What a page says of itself proves nothing alone. A total may count one page only, or stop at a limit; "no more" may be wrong, and
so may a page's own number. Where two statements disagree, the walk reads on as far as any of them allows.
"""

from __future__ import annotations

from typing import NamedTuple

from etl.errors import PagingBroken
from etl.reading.source import Page


class Ending(NamedTuple):
    """Whether the list ends with a page (`here`), and whether everything it says agrees (`surely`)."""

    here: bool
    surely: bool


def ends(page: Page, *, number: int, size: int, reached: int | None = None) -> Ending:
    """
    Tell whether the list ends with this page: nothing says that more follows, and the page is not full, or it is empty.

    `reached` is how many calls stand up to the end of this page, by what was seen; left out, by its number. Raises PagingBroken
    where the provider promises more for ever: an empty page that says that another follows.
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
        return Ending(here=True, surely=total is None or total <= place)  # "more" was followed, and found to be wrong
    if not says_end(page, reached=reached) or len(page.records) >= size:
        return Ending(here=False, surely=False)
    return Ending(here=True, surely=total is None or total >= reached)


def says_end(page: Page, *, reached: int) -> bool:
    """Whether a page says that it is the last, and nothing on it says otherwise; being full is no statement."""
    total, more = page.facts.total, page.facts.more
    if total is None and more is None:
        return False
    return not more and (total is None or reached >= total)


def served(page: Page, asked: int) -> int:
    """Return how large a list's pages are, by its first one: as it says, else as many as it holds, unless it is the last."""
    if page.facts.size:
        return page.facts.size
    return asked if says_end(page, reached=len(page.records)) else len(page.records) or asked
