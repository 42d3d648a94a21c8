"""Producing the next item while the one before is used."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.runs.prefetch import prefetch
from etl.system import SystemThreads

THREADS = SystemThreads()


@given(st.lists(st.integers()))
def test_items_come_in_their_order(items: list[int]) -> None:
    """Nothing is lost, doubled or moved."""
    assert items == list(prefetch(iter(items), threads=THREADS))


def test_the_next_item_is_produced_while_the_one_before_is_used() -> None:
    """The consumer of item 1 meets a producer that is at item 2, and not beyond."""
    produced: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for number in (1, 2, 3, 4):
            produced.append(number)
            if number == 2:
                second.set()
            yield number

    with closing(prefetch(items(), threads=THREADS)) as coming:
        assert next(coming) == 1
        assert second.wait(timeout=300)
        assert produced == [1, 2]


def test_an_error_is_raised_where_its_item_would_have_come() -> None:
    """What was produced before it is delivered first."""

    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    with closing(prefetch(items(), threads=THREADS)) as coming:
        assert next(coming) == 1
        with pytest.raises(ValueError, match="broken"):
            next(coming)


def test_leaving_early_ends_the_producer() -> None:
    """No thread is left behind, and what was not asked for is not produced for ever."""
    produced: list[int] = []

    def items() -> Iterator[int]:
        number = 0
        while True:
            number += 1
            produced.append(number)
            yield number

    with closing(prefetch(items(), threads=THREADS)) as coming:
        assert [next(coming), next(coming)] == [1, 2]

    assert len(produced) <= 4
    assert [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")] == []
