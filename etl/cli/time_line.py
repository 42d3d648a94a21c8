"""Draws the time line of each connection: a line of blocks as wide as the terminal, or sentences where there is none."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

from etl.cli.output import say
from etl.cli.table import shown
from etl.coverage import ORIGIN
from etl.printable import printable
from etl.warehouse.reports.time_lines import Part, Stretch, TimeLine

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


class Look(NamedTuple):
    """How a part is drawn: its block, its letter where blocks cannot be written, its colour, and its words in the legend."""

    block: str
    letter: str
    style: str
    words: str


LOOKS = {
    Part.SETTLED: Look("█", "#", "green", "settled"),
    Part.READ: Look("▄", "=", "cyan", "read, may still change"),
    Part.GAP: Look("░", ".", "yellow", "gap"),
    Part.LOST: Look("×", "x", "red", "lost"),
}
WORST = (Part.LOST, Part.GAP, Part.READ, Part.SETTLED)
LEVELS = "▁▂▃▄▅▆▇█"
DIGITS = "123456789"
LONGEST_NAME = 24
FEWEST = 10
"""The minimum number of blocks of a line; a terminal that has no room for them folds it."""
SHORT = timedelta(days=3)
"""Below this length the ends of a line are named by their minute, else by their day."""
TOLD = 3
"""The maximum number of stretches of one kind that a sentence names; `--json` has all."""

Days = Mapping[date, int]


def show_time_lines(lines: Sequence[TimeLine], *, days: Mapping[str, Days] | None = None) -> None:
    """
    Show what is settled, read, a gap, and lost of each connection; and with `days` below it how many calls each day has.

    A block shows the worst of its time. What was read before the oldest call held is left out, as there was nothing.
    """
    lines = [line for line in lines if line.stretches]
    if not lines:
        return
    if not sys.stdout.isatty():
        for line in lines:
            _tell(line, days.get(line.connection) if days is not None else None)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    blocks = _can_write(console, LEVELS + "".join(look.block for look in LOOKS.values()))
    drawn = [_Drawing(line) for line in lines]
    names = min(max(len(line.connection) for line in lines), LONGEST_NAME)
    room = max(console.width - names - 2 - 2 * (max(len(one.labels[0]) for one in drawn) + 1), FEWEST)
    seen: set[Part] = set()
    console.print()
    for one in drawn:
        cells = one.cells(room)
        seen |= set(cells) - {None}  # type: ignore[arg-type]  # None is taken out
        drawn_parts = (_glyph(part, blocks=blocks, times=len(list(same))) for part, same in groupby(cells))
        _print(console, one, Text.assemble(*drawn_parts), names=names)
        if days is not None:
            _print_days(
                console, one, days.get(one.line.connection, {}), room=room, names=names, levels=LEVELS if blocks else DIGITS
            )
    legend = [Text.assemble(_glyph(part, blocks=blocks), f" {LOOKS[part].words}") for part in LOOKS if part in seen]
    console.print(Text(" " * (names + 2)) + Text("  ").join(legend), soft_wrap=True)


class _Drawing:
    """A line from where its picture begins: at the oldest call if all before was read, else where the oldest gap begins."""

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
        self.labels = (f"{self.start:{form}}", f"{self.end:{form}}")
        if self.open:
            self.labels = ("beginning".ljust(len(self.labels[1])), self.labels[1])

    def bounds(self, room: int) -> list[tuple[datetime, datetime]]:
        """Return the time of each block."""
        edges = [self.start + number * (self.end - self.start) / room for number in range(room + 1)]
        return list(pairwise(edges))

    def cells(self, room: int) -> list[Part | None]:
        """Return what each block shows; of a gap without a lower bound a tenth of them."""
        before = room // 10 if self.open else 0
        return [self.line.stretches[0].part] * before + [self._worst(*bounds) for bounds in self.bounds(room - before)]

    def _worst(self, start: datetime, end: datetime) -> Part | None:
        there = {
            stretch.part
            for stretch in self.line.stretches
            if (stretch.start is None or stretch.start < end) and start < stretch.end
        }
        return next((part for part in WORST if part in there), None)


def _print(console: Console, one: _Drawing, middle: Text, *, names: int) -> None:
    from rich.text import Text

    name = printable(one.line.connection)[:names].ljust(names)
    left, right = one.labels
    console.print(Text.assemble((name, "bold"), "  ", (left, "dim"), " ", middle, " ", (right, "dim")), soft_wrap=True)


def _print_days(console: Console, one: _Drawing, days: Days, *, room: int, names: int, levels: str) -> None:
    from rich.text import Text

    most = max(days.values(), default=0)
    counts = [days.get((start + (end - start) / 2).date(), 0) for start, end in one.bounds(room)]
    bars = "".join(levels[max(-(-count * len(levels) // most), 1) - 1] if count else " " for count in counts)
    margin = " " * (names + 2)
    label = "calls/day".ljust(len(one.labels[0]))
    console.print(Text.assemble(margin, (label, "dim"), " ", (bars, "blue"), " ", (f"≤ {most:,}", "dim")), soft_wrap=True)


def _glyph(part: Part | None, *, blocks: bool, times: int = 1) -> tuple[str, str]:
    if part is None:
        return " " * times, ""
    look = LOOKS[part]
    return (look.block if blocks else look.letter) * times, look.style


def _can_write(console: Console, letters: str) -> bool:
    try:
        letters.encode(console.encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def _tell(line: TimeLine, days: Days | None) -> None:
    parts = [_sentence(part, [stretch for stretch in line.stretches if stretch.part is part]) for part in Part]
    say(f"{line.connection}: {'; '.join(filter(None, parts))}.")
    if days:
        say(f"{line.connection}: calls per day: {', '.join(f'{day} {count:,}' for day, count in sorted(days.items()))}.")


def _sentence(part: Part, stretches: Sequence[Stretch]) -> str:
    if not stretches:
        return ""
    more = f" and {len(stretches) - TOLD:,} more" if len(stretches) > TOLD else ""
    return f"{part} {', '.join(map(_span, stretches[:TOLD]))}{more}"


def _span(stretch: Stretch) -> str:
    start = "the beginning" if stretch.start is None or stretch.start <= ORIGIN else shown(stretch.start)
    return f"from {start} to {shown(stretch.end)}"
