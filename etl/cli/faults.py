"""What a user reads when the program itself has a fault: a message, and a traceback only on request."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from etl import __version__
from etl.errors import EtlError
from etl.log import redacted
from etl.printable import printable

PACKAGE = Path(__file__).parents[1]


def show_fault(error: Exception, *, verbose: bool) -> None:
    """Report an unexpected error. Its text may contain a secret, so it is masked, and shown only together with the traceback."""
    from etl.cli.output import show_error

    again = "" if verbose else " To see where it comes from, run it again with --verbose: etl --verbose …"
    show_error(
        EtlError(
            f"The program has a fault: {type(error).__name__} in {_place(error)}.",
            safe="What was committed stays; nothing that is half done counts.",
            hint=f"Please report it, with this text and what you ran (call-warehouse {__version__}, Python "
            f"{sys.version.split()[0]}).{again}",
        )
    )
    if verbose:
        for line in _lines(error):
            sys.stderr.write(printable(line) + "\n")


def _place(error: Exception) -> str:
    """Return the innermost line of this package in the traceback."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(PACKAGE)]
    return f"etl/{Path(ours[-1].filename).relative_to(PACKAGE).as_posix()}, line {ours[-1].lineno}" if ours else "no line of ours"


def _lines(error: Exception) -> Iterator[str]:
    """Yield the traceback with its causes: source lines unchanged, and the errors' texts masked."""
    shown: BaseException | None = error
    while shown is not None:
        yield f"{type(shown).__name__}: {redacted(str(shown))}"
        for part in traceback.format_tb(shown.__traceback__):
            yield from part.rstrip("\n").split("\n")
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
