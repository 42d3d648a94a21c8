"""How lines, errors and JSON documents reach the user (tables: `etl.cli.table`)."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import TextIO

from etl.errors import EtlError, UsageError, WarehouseError
from etl.model import JSON
from etl.printable import json_safe, printable, printable_lines


def show_error(error: EtlError) -> None:
    """Print on standard error what happened, what is safe, and what to do next."""
    show_errors([error])


def show_errors(errors: Iterable[EtlError]) -> None:
    """
    Print the errors of several connections on standard error.

    A failure of the database concerns no single connection: it is shown without a name, and once even if several connections met
    it.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for first, *others in dict.fromkeys(map(_sentences, errors)):
        console.print(Text(_fitted(first, sys.stderr), style="bold red"))
        for line in others:
            if line:
                console.print(Text(_fitted(line, sys.stderr)))


def _sentences(error: EtlError) -> tuple[str, ...]:
    fit = printable_lines if isinstance(error, UsageError) else printable  # other errors quote providers and databases
    first = error.happened if isinstance(error, WarehouseError) else error.headline
    return tuple(map(fit, (first, error.safe, error.hint)))


def error_document(error: EtlError) -> dict[str, str]:
    """Return an error as every `--json` shows it."""
    return {"code": error.code, "happened": error.headline, "safe": error.safe, "hint": error.hint}


def worst_code(codes: Iterable[int]) -> int:
    """Return the most serious of several exit codes: the first of 2, 1, 3 and 0 that occurs."""
    found = set(codes)
    return next((code for code in (2, 1, 3) if code in found), 0)


def show_json(document: JSON) -> None:
    """Print one JSON document."""
    utf = (sys.stdout.encoding or "").lower().startswith("utf")
    say_lines(json_safe(json.dumps(document, indent=2, default=plain, ensure_ascii=not utf)))


def say(line: str = "") -> None:
    """Print one line for the user, line ends escaped; on a terminal that is too narrow it goes on below, indented."""
    say_lines(_fitted(printable(line), sys.stdout))


def say_lines(text: str) -> None:
    """Print a text of several lines whose line ends are our own."""
    sys.stdout.write(printable_lines(text) + "\n")
    sys.stdout.flush()


def warn(line: str) -> None:
    """Print a line for the user on standard error, as `say` does."""
    sys.stderr.write(_fitted(printable(line), sys.stderr) + "\n")


def _fitted(text: str, stream: TextIO) -> str:
    """Return lines that a terminal need not fold in the middle of a word; a word that is longer, such as a path, stays whole."""
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    fold = textwrap.TextWrapper(width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False).fill
    return "\n".join(fold(line) if len(line) > width else line for line in text.split("\n"))


def plain(value: object) -> JSON:
    """Return the JSON form of a value that JSON has no type for."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return str(value)
