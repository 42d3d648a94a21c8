"""
Replaces standard output and standard error by streams whose failures never stop the work.

They may be closed, full, a pipe that nobody reads, or have an encoding that lacks a character. A sync must go on nevertheless.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TextIO

_NOBODY_LISTENS = frozenset({errno.EPIPE, errno.EIO})
"""The reader has ended, as `head` does, or the terminal was closed. Neither is worth an error message."""


class _Patient(io.FileIO):
    """A file that accepts everything: what cannot be written is dropped, and `failed` holds the first reason."""

    failed: OSError | None = None

    def write(self, data: object) -> int:
        try:
            while (written := super().write(data)) is None:  # type: ignore[arg-type]  # a buffer of any type
                select.select([], [self], [])  # another program has made the terminal non-blocking
        except OSError as error:
            self.failed = self.failed or error
            return memoryview(data).nbytes  # type: ignore[arg-type]  # a buffer of any type
        return written


def take_over() -> None:
    """Replace the streams of this process; streams that a test has substituted are left alone."""
    for number in range(3):  # a socket opened later must not get the number of a closed stream
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _patient(1, sys.stdout)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _patient(2, sys.stderr)


def failure(stream: TextIO) -> OSError | None:
    """Return why output to `stream` was lost; None if nothing was lost, or if the reader had ended."""
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    failed = raw.failed if isinstance(raw, _Patient) else None
    return None if failed is None or failed.errno in _NOBODY_LISTENS else failed


def _patient(number: int, before: TextIO | None) -> TextIO:
    raw = _Patient(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before is not None else "utf-8",
        errors="backslashreplace",  # characters that the encoding lacks are shown as escapes
        line_buffering=number == 2 or raw.isatty(),
    )
