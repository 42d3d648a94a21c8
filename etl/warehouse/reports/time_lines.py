"""Reports, for each connection, which stretches of time are settled, read, a gap, or lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from sqlalchemy import Row, text

from etl.coverage import BEGINNING, ORIGIN, Spans
from etl.printable import instant_text
from etl.runs.state import StreamState
from etl.warehouse.database import Database
from etl.warehouse.loading.transaction import spans_of


class Part(StrEnum):
    """What is known of a stretch of time; the later ones count more where the streams of a connection differ."""

    SETTLED = "settled"  # read when it was older than the lookback
    READ = "read"  # read at least once, and read again by every run
    GAP = "gap"  # not read, and still to be had
    LOST = "lost"  # not read, and to be had no more


class Stretch(NamedTuple):
    """A stretch of time, from `start` (None: without a lower bound) up to `end`."""

    part: Part
    start: datetime | None
    end: datetime


class TimeLine(NamedTuple):
    """The stretches of a connection, ascending, none overlapping; and where its oldest call held stands."""

    connection: str
    stretches: tuple[Stretch, ...]
    oldest_call: datetime | None


WORDS = {Part.SETTLED: "settled", Part.READ: "read, may still change", Part.GAP: "gap", Part.LOST: "lost"}
"""What a legend calls them."""

WORST = (Part.LOST, Part.GAP, Part.READ, Part.SETTLED)

SHORT = timedelta(days=3)
"""Below this length the ends of a line are named by their minute, else by their day."""

TOLD = 3
"""The maximum number of stretches of one kind that a sentence names."""


class Drawing:
    """
    A line that has stretches as a picture: the times of its cells, what each shows, and the names of its ends (`labels`).

    It begins at the oldest call if all before was read, else where the oldest gap begins.
    """

    def __init__(self, line: TimeLine) -> None:
        self.line = line
        self.open = line.stretches[0].start is None
        bounds = [bound for stretch in line.stretches for bound in (stretch.start, stretch.end) if bound is not None]
        missing = [stretch.start or stretch.end for stretch in line.stretches if stretch.part in (Part.GAP, Part.LOST)]
        self.end = bounds[-1]
        self.start = bounds[0]
        if line.oldest_call is not None and bounds[0] < line.oldest_call < self.end:
            self.start = min([line.oldest_call, *missing])
        form = "%Y-%m-%d" if self.end - self.start >= SHORT else "%m-%d %H:%M"
        self.labels = ("beginning" if self.open else f"{self.start:{form}}", f"{self.end:{form}}")

    def bounds(self, room: int) -> list[tuple[datetime, datetime]]:
        """Return the time of each of so many cells."""
        edges = [self.start + number * (self.end - self.start) / room for number in range(room + 1)]
        return list(pairwise(edges))

    def cells(self, room: int) -> list[Part | None]:
        """Return what each cell shows: the worst of its time; of a gap without a lower bound a tenth of them."""
        before = room // 10 if self.open else 0
        return [self.line.stretches[0].part] * before + [self._worst(*bounds) for bounds in self.bounds(room - before)]

    def _worst(self, start: datetime, end: datetime) -> Part | None:
        there = {
            stretch.part
            for stretch in self.line.stretches
            if (stretch.start is None or stretch.start < end) and start < stretch.end
        }
        return next((part for part in WORST if part in there), None)


def in_words(line: TimeLine) -> str:
    """Return what a line shows: `settled from … to …; gap from … to …`; of a kind with many stretches the first ones."""
    parts = [_sentence(part, [stretch for stretch in line.stretches if stretch.part is part]) for part in Part]
    return "; ".join(filter(None, parts))


def _sentence(part: Part, stretches: Sequence[Stretch]) -> str:
    if not stretches:
        return ""
    more = f" and {len(stretches) - TOLD:,} more" if len(stretches) > TOLD else ""
    return f"{part} {', '.join(map(_span, stretches[:TOLD]))}{more}"


def _span(stretch: Stretch) -> str:
    start = "the beginning" if stretch.start is None or stretch.start <= ORIGIN else instant_text(stretch.start)
    return f"from {start} to {instant_text(stretch.end)}"


_STREAMS = text(
    """
    SELECT s.connection, s.domain_start, s.coverage, s.settled, s.horizon, s.closed_at,
           (SELECT min(c.cursor_at) FROM public.calls c WHERE c.connection = s.connection AND c.stream = s.stream) AS oldest_call
    FROM sync.state s
    ORDER BY s.connection, s.stream
    """
)

_DAYS = text("SELECT connection, day, count(*) FROM public.calls GROUP BY connection, day ORDER BY connection, day")


def time_lines(database: Database) -> list[TimeLine]:
    """Return the time line of each connection that has a stream, by name."""
    with database.begin() as session:
        rows = session.execute(_STREAMS).all()
    return [_time_line(name, list(streams)) for name, streams in groupby(rows, key=lambda row: str(row.connection))]


def calls_per_day(database: Database) -> dict[str, dict[date, int]]:
    """Return the number of calls held of each connection by day; reads all of them."""
    found: dict[str, dict[date, int]] = {}
    with database.begin() as session:
        for connection, day, count in session.execute(_DAYS):
            found.setdefault(connection, {})[day] = count
    return found


def stretches_of(states: Iterable[StreamState]) -> tuple[Stretch, ...]:
    """
    Return what is known of a connection by its streams: at each instant the worst of what is known of one.

    A stream of which nothing was read is a gap from its start on, unless it is closed.
    """
    states = list(states)
    covered = Spans(span for state in states for span in state.coverage)
    if not covered:
        return ()
    unread = [state for state in states if not state.coverage and state.closed_at is None]
    lost = _union(state.lost for state in states)
    gap = _union(
        [*(state.closable for state in states), Spans((state.domain_start or BEGINNING, covered.last.end) for state in unread)]
    )
    read = _union(state.coverage - state.settled for state in states)
    settled = _union(state.coverage & state.settled for state in states)
    parts = {Part.SETTLED: settled - read - gap - lost, Part.READ: read - gap - lost, Part.GAP: gap - lost, Part.LOST: lost}
    found = [(span, part) for part, spans in parts.items() for span in spans]
    return tuple(Stretch(part, None if span.start == BEGINNING else span.start, span.end) for span, part in sorted(found))


def _union(sets: Iterable[Spans]) -> Spans:
    return Spans(span for spans in sets for span in spans)


def _time_line(connection: str, rows: Sequence[Row[Any]]) -> TimeLine:
    states = (
        StreamState(
            start=row.domain_start,
            coverage=spans_of(row.coverage),
            settled=spans_of(row.settled),
            horizon=row.horizon,
            closed_at=row.closed_at,
        )
        for row in rows
    )
    oldest = min((row.oldest_call for row in rows if row.oldest_call is not None), default=None)
    return TimeLine(connection, stretches_of(states), oldest)
