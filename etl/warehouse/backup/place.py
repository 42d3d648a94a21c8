"""Writes a file that only its owner can read, beside its place, and puts it there when it is whole and on the disk."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from etl.errors import BackupFailed, UsageError

if sys.platform != "win32":
    import fcntl

UNFINISHED = ".unfinished"
"""How the names of files end that are being written, or whose writer was killed."""


@contextmanager
def beside(path: Path) -> Iterator[IO[bytes]]:
    """
    Give a new file, with mode 0600, that takes the place of `path` at the end of the block; if the block fails, it is removed.

    What stood at `path` stays until then. Raises UsageError if no file can be made there, BackupFailed if it cannot be written.
    """
    path = path.resolve()  # the file that a link leads to is replaced, not the link
    prefix = f".{path.name}-"
    try:
        _remove_left_ones(path.parent, prefix)
        number, name = tempfile.mkstemp(prefix=prefix, suffix=UNFINISHED, dir=path.parent)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.",
            safe="Nothing was started.",
            hint="Name a file in a folder that exists and that this account may write: etl backup FILE",
        ) from error
    unfinished = Path(name)
    try:
        with os.fdopen(number, "w+b") as file:
            if sys.platform != "win32":
                fcntl.flock(file, fcntl.LOCK_EX)  # for as long as it is open: somebody lives who writes it
            yield file
            file.flush()
            os.fsync(file.fileno())
            if sys.platform != "win32":  # which cannot rename an open file
                unfinished.replace(path)
        if sys.platform == "win32":
            unfinished.replace(path)
        else:
            _sync(path.parent)
    except OSError as error:
        raise BackupFailed(
            f"The backup {path} cannot be written: {error.strerror or error}.",
            safe="The warehouse was only read. What was begun is removed; an earlier backup of that name is as it was.",
            hint="Make room there, or name a file on another disk, and run it again.",
        ) from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _remove_left_ones(folder: Path, prefix: str) -> None:
    """Remove what killed processes left, but nothing that a living one is writing."""
    for left in folder.iterdir():
        if left.name.startswith(prefix) and left.name.endswith(UNFINISHED):
            with suppress(OSError), left.open("rb") as file:
                if sys.platform != "win32":
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
