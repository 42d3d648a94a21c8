"""What the status page draws: a connection's time line and the strip of its last runs, as rectangles with their words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from etl.printable import number_of
from etl.runs.terms import RunStatus
from etl.warehouse.reports.status import Row
from etl.warehouse.reports.time_lines import Drawing, TimeLine, in_words

CELLS = 320
"""A time line is drawn as so many cells, each of which shows the worst of its time."""


class Bar(NamedTuple):
    """A stretch of a time line: its kind (`settled`, `read`, `gap`, `lost`), and from which cell on how many."""

    kind: str
    at: int
    width: int


class Picture(NamedTuple):
    """A time line: its bars, the names of its ends, and what it shows in words."""

    bars: tuple[Bar, ...]
    labels: tuple[str, str]
    words: str


class Strip(NamedTuple):
    """The last runs, oldest first, by their status; and how many ended in which way, in words."""

    marks: tuple[str, ...]
    words: str


def time_line(line: TimeLine | None) -> Picture | None:
    """Return the picture of a time line; None where nothing was read yet."""
    if line is None or not line.stretches:
        return None
    drawing = Drawing(line)
    bars, at = [], 0
    for part, cells in groupby(drawing.cells(CELLS)):
        width = len(list(cells))
        if part is not None:
            bars.append(Bar(part.value, at, width))
        at += width
    words = in_words(line)
    return Picture(tuple(bars), drawing.labels, f"{words[:1].upper()}{words[1:]}.")


def strip(runs: Sequence[Row]) -> Strip | None:
    """Return the strip of runs, given newest first; None where there are none."""
    if not runs:
        return None
    marks = tuple(str(run["status"]) for run in reversed(runs))
    counts = Counter(marks)
    ended = [f"{counts[one.value]:,} {one.value}" for one in RunStatus if counts[one.value]]
    return Strip(marks, f"Last {number_of(len(marks), 'run')}: {', '.join(ended)}.")
