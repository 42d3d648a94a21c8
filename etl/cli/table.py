"""How rows are shown: as a table of the terminal's width, or as plain lines elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from etl.cli.output import plain, say
from etl.printable import duration, instant_text, printable

if TYPE_CHECKING:
    from rich.console import Console

GUTTER = 2
NARROWEST = 16
"""The minimum width of a column with folded text. If the table is still too wide, its rows are shown one below the other."""


def show_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None, spare: Sequence[str] = ()
) -> None:
    """
    Print a table; without a terminal, lines of columns that are as wide as their widest value.

    On a terminal that is too narrow the columns named in `spare` are left out, one after the other; then long texts fold;
    and where that is not enough each row stands by itself, a line for each of its values.
    """
    cells = [[printable(shown(value)) for value in row] for row in rows]
    heads = [printable(column) for column in columns]
    if sys.stdout.isatty():
        _draw(heads, rows, cells, title=title, spare=spare)
        return
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    if title:
        say(title)
    for line in (heads, *cells):
        say("  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip())


def _draw(
    heads: Sequence[str], rows: Sequence[Sequence[object]], cells: list[list[str]], *, title: str | None, spare: Sequence[str]
) -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    widths = [max(map(cell_len, column)) for column in zip(heads, *cells, strict=True)]
    kept = list(range(len(heads)))
    for name in spare:
        if _total(widths, kept) > console.width and name in heads:
            kept.remove(heads.index(name))
    foldable = [at for at in kept if widths[at] > NARROWEST and any(isinstance(row[at], str | dict | list) for row in rows)]
    least = [min(width, NARROWEST) if at in foldable else width for at, width in enumerate(widths)]
    if rows and _total(least, kept) > console.width:
        _draw_rows(console, heads, cells, title=title)
        return
    table = Table(title=title, title_justify="left", title_style="italic", box=None, header_style="bold", pad_edge=False)
    for at in kept:
        numeric = bool(rows) and all(isinstance(row[at], int | Decimal | None) for row in rows)
        table.add_column(
            heads[at], justify="right" if numeric else "left", overflow="fold", no_wrap=at not in foldable, min_width=least[at]
        )
    for line in cells:
        table.add_row(*(Text(line[at]) for at in kept))
    console.print(table)
    if len(kept) < len(heads):
        say(f"(without {', '.join(head for at, head in enumerate(heads) if at not in kept)}: the terminal is too narrow)")


def _draw_rows(console: Console, heads: Sequence[str], cells: list[list[str]], *, title: str | None) -> None:
    """Show each row by itself, with one line per value, after its name."""
    from rich.table import Table
    from rich.text import Text

    if title:
        console.print(Text(title, style="italic"))
    for number, line in enumerate(cells):
        if number:
            console.print()
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold", no_wrap=True, max_width=console.width // 2)
        table.add_column(overflow="fold")
        for head, value in zip(heads, line, strict=True):
            table.add_row(Text(head), Text(value))
        console.print(table)


def _total(widths: Sequence[int], kept: Sequence[int]) -> int:
    return sum(widths[at] for at in kept) + GUTTER * (len(kept) - 1)


def shown(value: object) -> str:
    """Return a value as text for a table: instants in UTC by the second, durations by their largest units."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, timedelta):
        return duration(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, bytes | memoryview):
        return "\\x" + bytes(value).hex()  # as Postgres writes it
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=plain)
    return str(value)
