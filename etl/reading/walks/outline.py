"""Analyses the cursors of one page: its two ends, its disorder, and which cursors cannot be trusted."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from operator import sub

from etl.coverage import TICK
from etl.reading.clocks import JUMP

ORDER_TOLERANCE = timedelta(minutes=5)
"""Disorder up to this is tolerated; more violates the order."""

NO_TIME = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """
    The trusted cursors of a page.

    `first` and `last` are the page's ends in reading order, None if no cursor can be trusted. `last` is taken before a jump that
    no later cursor confirms. `disorder` is the largest step against the reading order among trusted cursors.
    """

    cursors: tuple[datetime, ...]
    first: datetime | None
    last: datetime | None
    disorder: timedelta

    @property
    def violated(self) -> bool:
        """Whether the disorder exceeds what is tolerated."""
        return self.disorder > ORDER_TOLERANCE

    @property
    def is_backward(self) -> bool:
        """Whether nothing on the page shows the reading order, and all of it the other one, however little it goes back."""
        return self.first is not None and self.last is not None and self.disorder >= abs(self.first - self.last) - TICK > NO_TIME

    @property
    def is_undirected(self) -> bool:
        """Whether the page does not show the reading order: all of it is of one instant, or goes the other way."""
        return self.first == self.last or self.is_backward

    @property
    def slack(self) -> timedelta:
        """How far beyond `last` records may still turn up, judging by the disorder seen."""
        return ORDER_TOLERANCE if self.disorder else NO_TIME


def outline(cursors: Sequence[datetime], *, descending: bool) -> Outline:
    """Return the outline of a page, given its cursors in order."""
    if not cursors:
        return Outline(cursors=(), first=None, last=None, disorder=NO_TIME)
    following = cursors[1:]
    steps = list(map(sub, cursors, following) if descending else map(sub, following, cursors))
    if not steps or NO_TIME <= min(steps) <= max(steps) <= JUMP:  # nearly all pages
        return Outline(cursors=tuple(cursors), first=cursors[0], last=cursors[-1], disorder=NO_TIME)
    # Seconds in reading order, so that they ascend for both walks.
    sign = -1 if descending else 1
    ahead = [sign * cursor.timestamp() for cursor in cursors]
    chain = _longest_ascending(ahead)
    trusted = [index for index in range(len(ahead)) if _near(ahead[index], index=index, chain=chain, ahead=ahead)]
    confirmed = _before_last_jump([ahead[index] for index in trusted])
    kept = [ahead[index] for index in trusted[:confirmed]]
    back = max((high - now for high, now in _with_highest_before(kept)), default=0.0)
    ends = [cursors[index] for index in trusted[:confirmed]]
    return Outline(
        cursors=tuple(cursors[index] for index in trusted),
        first=max(ends) if descending else min(ends),
        last=min(ends) if descending else max(ends),
        disorder=timedelta(seconds=max(back, 0.0)),
    )


def _longest_ascending(values: Sequence[float]) -> list[int]:
    """Return the indexes of a longest non-descending subsequence (patience sorting)."""
    tops: list[float] = []
    top_index: list[int] = []
    before: list[int] = []
    for index, value in enumerate(values):
        place = bisect_right(tops, value)
        before.append(top_index[place - 1] if place else -1)
        if place == len(tops):
            tops.append(value)
            top_index.append(index)
        else:
            tops[place] = value
            top_index[place] = index
    chain: list[int] = []
    index = top_index[-1]
    while index >= 0:
        chain.append(index)
        index = before[index]
    return chain[::-1]


def _near(value: float, *, index: int, chain: list[int], ahead: Sequence[float]) -> bool:
    """Whether a cursor is within `JUMP` of its neighbours on the chain."""
    place = bisect_right(chain, index)
    if place and chain[place - 1] == index:
        return True
    low = ahead[chain[place - 1]] if place else None
    high = ahead[chain[place]] if place < len(chain) else None
    jump = JUMP.total_seconds()
    return (low is None or value >= low - jump) and (high is None or value <= high + jump)


def _before_last_jump(values: Sequence[float]) -> int:
    """Return how many values come before the last jump, which no later value confirms; all if there is no jump."""
    jumps = [index + 1 for index, (before, after) in enumerate(pairwise(values)) if after - before > JUMP.total_seconds()]
    return jumps[-1] if jumps else len(values)


def _with_highest_before(values: Sequence[float]) -> list[tuple[float, float]]:
    highest = values[0]
    pairs = []
    for value in values:
        pairs.append((highest, value))
        highest = max(highest, value)
    return pairs
