"""Draws the time line of each connection: a line of blocks as wide as the terminal, or sentences where there is none."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from etl.cli.output import say
from etl.printable import printable
from etl.warehouse.reports.time_lines import WORDS, Drawing, Part, TimeLine, in_words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


class Look(NamedTuple):
    """How a part is drawn: its block, its letter where blocks cannot be written, its colour."""

    block: str
    letter: str
    style: str


LOOKS = {
    Part.SETTLED: Look("█", "#", "green"),
    Part.READ: Look("▄", "=", "cyan"),
    Part.GAP: Look("░", ".", "yellow"),
    Part.LOST: Look("×", "x", "red"),
}
LEVELS = "▁▂▃▄▅▆▇█"
DIGITS = "123456789"
LONGEST_NAME = 24
FEWEST = 10
"""The minimum number of blocks of a line; a terminal that has no room for them folds it."""
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
    drawn = [Drawing(line) for line in lines]
    names = min(max(len(line.connection) for line in lines), LONGEST_NAME)
    room = max(console.width - names - 2 - 2 * (max(len(_labels(one)[0]) for one in drawn) + 1), FEWEST)
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
    legend = [Text.assemble(_glyph(part, blocks=blocks), f" {WORDS[part]}") for part in LOOKS if part in seen]
    console.print(Text(" " * (names + 2)) + Text("  ").join(legend), soft_wrap=True)


def _labels(one: Drawing) -> tuple[str, str]:
    left, right = one.labels
    return left.ljust(len(right)), right


def _print(console: Console, one: Drawing, middle: Text, *, names: int) -> None:
    from rich.text import Text

    name = printable(one.line.connection)[:names].ljust(names)
    left, right = _labels(one)
    console.print(Text.assemble((name, "bold"), "  ", (left, "dim"), " ", middle, " ", (right, "dim")), soft_wrap=True)


def _print_days(console: Console, one: Drawing, days: Days, *, room: int, names: int, levels: str) -> None:
    from rich.text import Text

    most = max(days.values(), default=0)
    counts = [days.get((start + (end - start) / 2).date(), 0) for start, end in one.bounds(room)]
    bars = "".join(levels[max(-(-count * len(levels) // most), 1) - 1] if count else " " for count in counts)
    margin = " " * (names + 2)
    label = "calls/day".ljust(len(_labels(one)[0]))
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
    say(f"{line.connection}: {in_words(line)}.")
    if days:
        say(f"{line.connection}: calls per day: {', '.join(f'{day} {count:,}' for day, count in sorted(days.items()))}.")
