"""Knows how results and errors look: tables on a terminal, plain lines otherwise, one JSON document on request."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from etl.errors import EtlError, UsageError, WarehouseError
from etl.model import JSON

UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def show_error(error: EtlError) -> None:
    """Tell on standard error what happened, what is safe, and what to do next."""
    show_errors([error])


def show_errors(errors: Iterable[EtlError]) -> None:
    """
    Tell the errors of several connections.

    What the database failed at is no connection's own: it names none, and is told once however many met it.
    """
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    told = ((error.happened if isinstance(error, WarehouseError) else error.headline, error.safe, error.hint) for error in errors)
    for first, *others in dict.fromkeys(told):
        console.print(f"[bold red]{escape(first)}[/]")
        for line in others:
            if line:
                console.print(escape(line))


def error_document(error: EtlError) -> dict[str, str]:
    """Return an error as every `--json` shows it."""
    return {"code": error.code, "happened": error.headline, "safe": error.safe, "hint": error.hint}


def worst_code(codes: Iterable[int]) -> int:
    """Return the exit code of several things that ended with these: of 2, 1, 3 and 0 the first that is there."""
    found = set(codes)
    return next((code for code in (2, 1, 3) if code in found), 0)


def show_json(document: JSON) -> None:
    """Print one JSON document."""
    say(json.dumps(document, indent=2, default=_plain, ensure_ascii=False))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> None:
    """Print a table; without a terminal, lines of columns that are as wide as their widest value."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
        for index, column in enumerate(columns):
            numeric = bool(rows) and all(isinstance(row[index], int | Decimal) for row in rows)
            table.add_column(column, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(shown(value)) for value in row))
        Console(highlight=False).print(table)
        return
    lines = [list(columns), *([shown(value) for value in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    if title:
        say(title)
    for line in lines:
        say("  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip())


def say(line: str = "") -> None:
    """
    Print a line for the user.

    Where whoever read our output has closed it, as `head` does, the work goes on unheard. Raises UsageError where it cannot
    be written otherwise.
    """
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer goes there at the end
        if not isinstance(error, BrokenPipeError):
            raise UsageError(
                f"Standard output cannot be written: {error.strerror}.",
                safe="What was committed stays.",
                hint="Lead the output to another place.",
            ) from error


def warn(line: str) -> None:
    """Print a line for the user on standard error."""
    sys.stderr.write(line + "\n")


def shown(value: object) -> str:
    """Return how a value reads in a table: instants in UTC by the second, durations by their largest units."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S") if value.microsecond == 0 else f"{value:%Y-%m-%d %H:%M:%S}.{value:%f}"[:23]
    if isinstance(value, timedelta):
        return duration(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    return str(value)


def duration(value: timedelta) -> str:
    """Return a duration by its two largest units: `3d 4h`, `12s`."""
    seconds = int(abs(value).total_seconds())
    parts = []
    for size, unit in UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return ("-" if value < timedelta() else "") + (" ".join(parts[:2]) or "0s")


def _plain(value: object) -> JSON:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return str(value)
