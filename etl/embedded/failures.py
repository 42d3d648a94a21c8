"""What the end of a server's or a program's log means to the user."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from etl.errors import WarehouseError

LEAST_ROOM = 2**20
"""Bytes: with less room on its disk a server cannot even write into its log why it failed."""

_FULL = re.compile("No space left on device|Disk quota exceeded")
_TELLING = re.compile(r"\b(ERROR|FATAL|PANIC)\b|\berror:")
_REFUSING = re.compile(r"the database system is (starting up|shutting down|not (yet )?accepting connections|in recovery mode)")


def failed(what: str, said: str, *, home: Path, log: Path) -> WarehouseError:
    """Return the error that the server of `home` could not be made, started, reached or stopped (`what`), given what it said."""
    lines = said.strip().splitlines()
    # What ended it stands before what it says of its end; whoever asks whether it answers yet is refused meanwhile.
    telling = [line for line in lines if _TELLING.search(line) and not _REFUSING.search(line)]
    if _FULL.search(said) or (not telling and shutil.disk_usage(home).free < LEAST_ROOM):
        return no_space(home, f"The embedded server could not be {what}")
    words = (telling or lines)[-3:]
    return WarehouseError(
        f"The embedded server could not be {what}: " + (" / ".join(word.strip() for word in words) or "it said nothing."),
        safe="Data that was committed stays.",
        hint=f"Its log is {log}. A server of your own is used as soon as warehouse.url is set.",
    )


def no_space(home: Path, what: str) -> WarehouseError:
    """Return the error that something failed because the disk of the folder is full."""
    return WarehouseError(
        f"{what}: no space is left on the disk of {home} (No space left on device).",
        safe="Data that was committed stays.",
        hint=f"Make room on that disk (df {shlex.quote(str(home))} shows how much there is), but remove nothing of that folder. "
        "Then run it again.",
    )
