"""What a run asks of what is held, on both warehouses: newest, oldest, held among, position, count; each of one stream."""

from __future__ import annotations

import pytest

from etl.reading.walks.way import Held
from etl.runs.account import Account
from tests.conformance.conftest import Run, opened
from tests.conformance.worlds import World
from tests.memory.acme import at, call


@pytest.fixture
def filled(world: World, line: Account, other_line: Account) -> Run:
    """Give a run of a connection with calls at 0, 1 (two), 2 and 3 minutes; others stand beside it, to be left out."""
    opened(world, other_line).load(call("elsewhere", 2), seen=9)
    run = opened(world, line)
    run.load(call("c3", 3), call("b1", 1), call("a1", 1), call("c0", 0), call("c2", 2), seen=9)
    run.load(call("apart", 2), seen=9, stream="other")
    return run


HELD = {name: Held(name, at(int(name[1]))) for name in ("c3", "c2", "a1", "b1", "c0")}
"""Newest first."""


def test_the_newest_calls_come_newest_first(filled: Run) -> None:
    """Up to the limit, below `before` (excluded), those of one instant in the order of their ids."""
    where = {"connection": filled.account.connection, "stream": "calls"}
    newest = filled.warehouse.newest
    assert newest(**where, before=None, limit=9) == tuple(HELD.values())
    assert newest(**where, before=None, limit=3) == (HELD["c3"], HELD["c2"], HELD["a1"])
    assert newest(**where, before=at(2), limit=9) == (HELD["a1"], HELD["b1"], HELD["c0"])
    assert newest(**where, before=at(0), limit=9) == ()


def test_the_oldest_calls_come_oldest_first(filled: Run) -> None:
    """From `since` (included) on, up to the limit, those of one instant in the order of their ids."""
    where = {"connection": filled.account.connection, "stream": "calls"}
    oldest = filled.warehouse.oldest
    assert oldest(**where, since=at(1), limit=9) == (HELD["a1"], HELD["b1"], HELD["c2"], HELD["c3"])
    assert oldest(**where, since=at(0), limit=2) == (HELD["c0"], HELD["a1"])
    assert oldest(**where, since=at(4), limit=9) == ()


def test_which_of_some_calls_are_held(filled: Run) -> None:
    """In this stream; unknown ones, those of another stream and those of another connection are not."""
    asked = ["c0", "c3", "unknown", "apart", "elsewhere"]
    held_among, name = filled.warehouse.held_among, filled.account.connection
    assert held_among(connection=name, stream="calls", call_ids=asked) == {"c0", "c3"}
    assert held_among(connection=name, stream="other", call_ids=asked) == {"apart"}
    assert held_among(connection=name, stream="calls", call_ids=[]) == frozenset()


def test_how_many_calls_stand_from_an_instant_on(filled: Run) -> None:
    """The instant's own are counted."""
    where = {"connection": filled.account.connection, "stream": "calls"}
    assert [filled.warehouse.position(**where, instant=at(minutes)) for minutes in (0, 1, 1.5, 3, 4)] == [5, 4, 2, 1, 0]


def test_how_many_calls_a_stream_holds(filled: Run) -> None:
    """Buried ones are not held."""
    name, number = filled.account.connection, filled.warehouse.count
    assert [number(connection=name, stream=stream) for stream in ("calls", "other", "unknown")] == [5, 1, 0]
    with filled.page() as page:
        page.bury(["c0", "apart"], gone_at=at(10))
    assert [number(connection=name, stream=stream) for stream in ("calls", "other")] == [4, 0]
