"""A table that gives each value one line: fitted to the terminal by cutting texts, whole elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

from etl.cli.output import say
from etl.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

GUTTER = "  "
NARROWEST = 16
"""No text is cut to less. If the table is still too wide, its rows are shown one below the other."""
FOLDED = 3
"""The maximum number of lines of one value where rows stand one below the other."""

Cells = Sequence[Sequence[str | None]]


class Cut(Enum):
    """Whether a value was shown in part."""

    NONE = 0
    SOME = 1


def draw(heads: Sequence[str], rows: Cells, *, numeric: Sequence[bool], null: str) -> Cut:
    """
    Print rows of printable texts below their heads, numbers to the right, and say whether something was cut.

    Without a terminal nothing is. One column alone folds instead, since nothing stands beside it. A table that is wider than the
    terminal whatever is cut becomes a block of lines for each row.
    """
    heads = [printable(head) for head in heads]
    if not sys.stdout.isatty():
        _plain(heads, rows, numeric=numeric, null=null)
        return Cut.NONE
    from rich.cells import cell_len
    from rich.console import Console

    console = Console(highlight=False)
    widths = [
        max(map(cell_len, (head, *(null if row[at] is None else row[at] or "" for row in rows)))) for at, head in enumerate(heads)
    ]
    fitted = _fitted(widths, heads=heads, numeric=numeric, room=console.width)
    if len(heads) == 1:
        return _blocks(console, heads, rows, null=null, named=False)
    if fitted is None:
        return _blocks(console, heads, rows, null=null, named=True)
    _lines(console, heads, rows, widths=fitted, numeric=numeric, null=null)
    return Cut.NONE if fitted == widths else Cut.SOME


def _plain(heads: Sequence[str], rows: Cells, *, numeric: Sequence[bool], null: str) -> None:
    texts = [heads, *([null if value is None else value for value in row] for row in rows)]
    widths = [max(len(line[at]) for line in texts) for at in range(len(heads))]
    for line in texts:
        padded = (
            value.rjust(width) if right else value.ljust(width) for value, width, right in zip(line, widths, numeric, strict=True)
        )
        say(GUTTER.join(padded).rstrip())


def _fitted(widths: list[int], *, heads: Sequence[str], numeric: Sequence[bool], room: int) -> list[int] | None:
    """Return the widths with the widest texts cut alike, by as little as is needed; None if that does not make them fit."""
    room -= len(GUTTER) * (len(widths) - 1)
    if sum(widths) <= room:
        return widths
    for cap in range(min(max(widths), room), NARROWEST - 1, -1):
        cut = [width if right else min(width, cap) for width, right in zip(widths, numeric, strict=True)]
        if sum(cut) <= room:
            return cut
    return None


def _lines(
    console: Console, heads: Sequence[str], rows: Cells, *, widths: Sequence[int], numeric: Sequence[bool], null: str
) -> None:
    from rich.text import Text

    ellipsis = _ellipsis(console)

    def cell(text: str, at: int, style: str) -> Text:
        fit = _cut(text, widths[at], ellipsis)
        return Text(
            " " * (widths[at] - _width(fit)) + fit if numeric[at] else fit + " " * (widths[at] - _width(fit)), style=style
        )

    for number, row in enumerate((heads, *rows)):
        styles = ("bold" if not number else "dim" if value is None else "" for value in row)
        line = Text(GUTTER).join(
            cell(null if value is None else value, at, style) for at, (value, style) in enumerate(zip(row, styles, strict=True))
        )
        line.rstrip()
        console.print(line, soft_wrap=True)


def _blocks(console: Console, heads: Sequence[str], rows: Cells, *, null: str, named: bool) -> Cut:
    """Show each row by itself, its values folded, `named` by their heads on the left; one column alone is a list."""
    from rich.text import Text

    margin = min(max(map(_width, heads)), console.width // 2) + len(GUTTER) if named else 0
    room = max(console.width - margin, 1)
    ellipsis, cut = _ellipsis(console), Cut.NONE
    if not named:
        console.print(Text(heads[0], style="bold"), soft_wrap=True)
    for number, row in enumerate(rows):
        if number and named:
            console.print()
        for head, value in zip(heads, row, strict=True):
            folded = _folded(null if value is None else value, room)
            if named and len(folded) > FOLDED:
                folded, cut = [*folded[: FOLDED - 1], _cut("".join(folded[FOLDED - 1 :]), room, ellipsis)], Cut.SOME
            for index, part in enumerate(folded):
                before = _cut(head, margin - len(GUTTER), ellipsis) if named and not index else ""
                line = Text(before + " " * (margin - _width(before)), style="bold")
                console.print(line.append(part, style="not bold dim" if value is None else "not bold"), soft_wrap=True)
    return cut


def _folded(text: str, room: int) -> list[str]:
    from rich.cells import chop_cells

    return chop_cells(text, room) or [""]


def _cut(text: str, width: int, ellipsis: str) -> str:
    from rich.cells import set_cell_size

    return text if _width(text) <= width else set_cell_size(text, max(width - len(ellipsis), 0)).rstrip() + ellipsis


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _ellipsis(console: Console) -> str:
    try:
        "…".encode(console.encoding)
    except (LookupError, UnicodeEncodeError):
        return "..."
    return "…"
