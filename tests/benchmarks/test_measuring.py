"""How the benchmarks measure: processes, growth with the number of calls, goals; with numbers that are known beforehand."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.goals import GOALS, Goal, ratios, spread
from benchmarks.lanes.scale import windows
from benchmarks.process import LaneFailed, run


class Looked:
    """
    Lets a process end once it was looked at while it held all that it holds; called after each look.

    The process makes the file `ready`, and then waits for the end of `stdin`.
    """

    def __init__(self, folder: Path) -> None:
        self._ready = folder / "ready"
        self._ready_before = False  # whether it was ready at the look before
        source, self._open = os.pipe()
        self.stdin = os.fdopen(source, "rb")
        self.wait = f"import pathlib, sys, time; pathlib.Path({str(self._ready)!r}).touch(); sys.stdin.read()"

    def __call__(self) -> None:
        if self._ready_before and self._open != -1:
            os.close(self._open)
            self._open = -1
        self._ready_before = self._ready.exists()


@pytest.fixture
def looked(tmp_path: Path) -> Iterator[Looked]:
    """Give what lets a process end once it was measured."""
    looked = Looked(tmp_path)
    with looked.stdin:
        yield looked


def test_a_process_is_measured(looked: Looked) -> None:
    """Its wall seconds are at least those that it counted, its memory at least what it held, and what it printed is there."""
    program = (
        f"import time; begun = time.monotonic(); held = bytearray(60_000_000); {looked.wait}; print(time.monotonic() - begun)"
    )
    ended = run([sys.executable, "-c", program], stdin=looked.stdin, meanwhile=looked)

    assert ended.wall > float(ended.out) > 0
    assert 60_000_000 < ended.memory < 200_000_000


def test_children_count(looked: Looked) -> None:
    """What a process's children hold is held, and what they compute is computed."""
    child = f"held = bytearray(80_000_000)\n{looked.wait}\nwhile time.process_time() < 0.3: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    ended = run([sys.executable, "-c", parent], stdin=looked.stdin, meanwhile=looked)

    assert (ended.memory > 80_000_000, ended.cpu > 0.3) == (True, True)


def test_a_process_that_fails_says_why_without_paths() -> None:
    """The end of what it said, and no folder of this machine."""
    with pytest.raises(LaneFailed) as raised:
        run([sys.executable, "-c", "import sys; sys.exit('cannot read ' + sys.executable)"])

    assert str(raised.value).startswith("exit code 1: cannot read …/")
    assert str(Path(sys.executable).parent) not in str(raised.value)


def test_the_environment_of_a_process_is_what_is_given() -> None:
    """Nothing of ours gets in."""
    ended = run([sys.executable, "-c", "import os; print('PATH' in os.environ, os.environ['A'])"], env={"A": "b"})

    assert (ended.out, "PATH" in os.environ) == ("False b\n", True)


def test_windows_are_interpolated() -> None:
    """Two seconds for a hundred calls, then four: whatever the marks between."""
    marks = [(0.0, 0, 0, 0.0), (1.0, 50, 500, 0.5), (3.0, 150, 1500, 1.5), (5.0, 200, 2000, 2.5), (9.0, 300, 3000, 4.5)]
    found = windows(marks, 100)

    assert [(one["held"], one["seconds"], one["wal"]) for one in found][1:] == [(200, 3.0, 1000), (300, 4.0, 1000)]


def test_ratios_are_made_within_a_round() -> None:
    """A round that slows both lanes down leaves the ratio; one in which a lane did not run has none."""
    lanes = {"a": [{"rate": 10.0}, {"rate": 5.0}, {"unfit": "why"}], "b": [{"rate": 5.0}, {"rate": 2.5}, {"rate": 9.0}]}

    assert ratios(lanes, "a", "b") == [2.0, 2.0]


@pytest.mark.parametrize(("worst", "met"), [(False, True), (True, False)])
def test_a_goal_is_met_by_the_median_or_by_every_round(*, worst: bool, met: bool) -> None:
    """As the goal says."""
    goal = Goal(text="a goal", limit=2, at_least=True, worst=worst, measured=lambda lanes: [1.0, 2.0, 3.0])
    found = spread(goal.measured({}))

    assert found is not None
    assert goal.met(found) == met


def test_goals_of_what_was_not_measured_have_no_number() -> None:
    """Nothing measured is nothing met."""
    assert [goal.text for goal in GOALS if goal.measured({})] == []
