"""One account's calls in the order of their cursors, and how pages are cut from them."""

from __future__ import annotations

from bisect import bisect_left, insort
from random import Random

from etl.sandbox.call import Call


def _place(call: Call) -> tuple[int, int]:
    return call.cursor, call.order


def _cursor(call: Call) -> int:
    return call.cursor


class Shelf:
    """The calls that are listed now, oldest first."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._loose: list[Call] = []

    def put(self, call: Call) -> None:
        """Add a call."""
        self._loose.append(call)

    def take(self, call: Call) -> None:
        """Remove a call."""
        calls = self.calls
        at = bisect_left(calls, _place(call), key=_place)
        while calls[at] is not call:
            at += 1
        del calls[at]

    @property
    def calls(self) -> list[Call]:
        """All of them, oldest first; not to be changed."""
        if self._loose:
            if len(self._loose) < 64:
                for call in self._loose:
                    insort(self._calls, call, key=_place)
            else:
                self._calls.extend(self._loose)
                self._calls.sort(key=_place)
            self._loose = []
        return self._calls

    def window(self, since: int, until: int) -> list[Call]:
        """Return the calls with `since <= cursor < until`."""
        calls = self.calls
        return calls[bisect_left(calls, since, key=_cursor) : bisect_left(calls, until, key=_cursor)]


def cut(calls: list[Call], *, start: int, stop: int, chance: Random) -> list[Call]:
    """
    Return `calls[start:stop]`, with calls of the same instant in an order drawn from `chance`.

    No provider documents a tie-breaker, so ties move between two requests. A group of ties is shuffled whole, across the
    page's edge, as a database does that sorts without one.
    """
    start = max(start, 0)
    stop = min(stop, len(calls))
    if start >= stop:
        return []
    low, high = start, stop
    while low > 0 and calls[low - 1].cursor == calls[start].cursor:
        low -= 1
    while high < len(calls) and calls[high].cursor == calls[stop - 1].cursor:
        high += 1
    part = calls[low:high]
    begin = 0
    for at in range(1, len(part) + 1):
        if at == len(part) or part[at].cursor != part[begin].cursor:
            if at - begin > 1:
                group = part[begin:at]
                chance.shuffle(group)
                part[begin:at] = group
            begin = at
    return part[start - low : stop - low]


def cut_newest_first(calls: list[Call], *, start: int, stop: int, chance: Random) -> list[Call]:
    """Do the same for the reversed list."""
    part = cut(calls, start=len(calls) - stop, stop=len(calls) - start, chance=chance)
    part.reverse()
    return part
