"""
Makes standard output and standard error streams that never stop the work.

They may be closed, full, a pipe that nobody reads, or of an encoding that cannot hold a name; a sync goes on all the same.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TextIO

_NOBODY_LISTENS = frozenset({errno.EPIPE, errno.EIO})
"""The reader has gone, as `head` does, or the terminal was closed: nothing that the user would want to hear of."""


class _Patient(io.FileIO):
    """A file that takes whatever is written: what cannot be kept is dropped, and `failed` says why."""

    failed: OSError | None = None

    def write(self, data: object) -> int:
        try:
            while (written := super().write(data)) is None:  # type: ignore[arg-type]  # a buffer, whatever its kind
                select.select([], [self], [])  # another program has made the terminal one that does not wait
        except OSError as error:
            self.failed = self.failed or error
            return memoryview(data).nbytes  # type: ignore[arg-type]  # a buffer, whatever its kind
        return written


def take_over() -> None:
    """Replace the streams of this process; those that a test has put in their place are left alone."""
    for number in range(3):  # a socket must not become "standard error" because that was closed
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _patient(1, sys.stdout)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _patient(2, sys.stderr)


def failure(stream: TextIO) -> OSError | None:
    """Return why something written to `stream` was lost; None where nothing was, or nobody listened."""
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    failed = raw.failed if isinstance(raw, _Patient) else None
    return None if failed is None or failed.errno in _NOBODY_LISTENS else failed


def _patient(number: int, before: TextIO | None) -> TextIO:
    raw = _Patient(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before is not None else "utf-8",
        errors="backslashreplace",  # what the encoding cannot hold is shown by its number
        line_buffering=number == 2 or raw.isatty(),
    )
