"""Holds the rhythm in which a long run makes roll-ups again beside its pages."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from etl.errors import FenceLost
from etl.runs.making import OFTEN, Making
from tests.inline import Inline

THIRD = OFTEN // 3


class Later(Executor):
    """An executor that does its work when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        promised: Future[Any] = Future()
        self.waiting.append(lambda: promised.set_result(fn(*args, **kwargs)))
        return promised


def written_at(make: Callable[[int], int], *, pages: int) -> list[tuple[int, int]]:
    """Write pages of a third each; return at which page roll-ups were made, and as how many calls were written."""
    asked: list[tuple[int, int]] = []

    def remake(written: int) -> int:
        asked.append((page, written))
        return make(written)

    making = Making([remake], thread=Inline())
    for page in range(1, pages + 1):  # noqa: B007 - `remake` looks at it
        making.wrote(THIRD)
    making.wait()
    return asked


def test_they_are_made_every_so_many_calls() -> None:
    """All that was written is made each time."""
    assert written_at(lambda written: written, pages=9) == [(3, OFTEN), (6, OFTEN), (9, OFTEN)]


def test_what_is_left_adds_up_until_it_is_made() -> None:
    """Where the touched days hold more than was written, nothing is made until as much was written."""
    asked = written_at(lambda written: 3 * OFTEN if written >= 3 * OFTEN else 0, pages=12)
    assert asked == [(3, OFTEN), (6, 2 * OFTEN), (9, 3 * OFTEN), (12, OFTEN)]


def test_each_kind_counts_for_itself() -> None:
    """One after the other; what the first has made, the second may still have to make."""
    asked: list[tuple[str, int]] = []

    def calls(written: int) -> int:
        asked.append(("calls", written))
        return written

    def people(written: int) -> int:
        asked.append(("people", written))
        return 2 * OFTEN if written >= 2 * OFTEN else 0

    making = Making([calls, people], thread=Inline())
    for _ in range(9):
        making.wrote(THIRD)
    assert asked == [
        ("calls", OFTEN),
        ("people", OFTEN),
        ("calls", OFTEN),
        ("people", 2 * OFTEN),
        ("calls", OFTEN),
        ("people", OFTEN),
    ]


def test_pages_go_on_meanwhile() -> None:
    """What is written while roll-ups are made counts for the next time; until then nobody waits."""
    asked: list[int] = []

    def remake(written: int) -> int:
        asked.append(written)
        return written - THIRD

    thread = Later()
    making = Making([remake], thread=thread)
    for _ in range(5):
        making.wrote(THIRD)
    assert (asked, len(thread.waiting)) == ([], 1)
    thread.waiting.pop()()
    making.wrote(THIRD)
    thread.waiting.pop()()
    making.wait()
    assert asked == [OFTEN, THIRD + OFTEN]


def test_nothing_is_made_twice_at_once() -> None:
    """The next time waits for the one before."""
    thread = Later()
    making = Making([lambda written: written], thread=thread)
    making.wrote(OFTEN)
    first = thread.waiting.pop()
    first()
    making.wrote(OFTEN)
    assert len(thread.waiting) == 1


def test_what_went_wrong_is_raised_where_it_is_waited_for() -> None:
    """At the next time, or at the end of the run."""

    def remake(written: int) -> int:
        raise FenceLost("another run has taken over.")

    making = Making([remake], thread=Inline())
    making.wrote(OFTEN)
    making.wrote(THIRD)
    with pytest.raises(FenceLost):
        making.wait()
    making.wait()
