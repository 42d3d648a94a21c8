"""Counts the processes that use a server by file locks, which the kernel releases however a process ends."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etl.errors import WarehouseError

if sys.platform != "win32":  # where the launcher refuses to run anyway
    import fcntl

PATIENCE_SECONDS = 330.0
"""How long to wait while others start or stop the server."""

POLL_SECONDS = 0.02


class Users:
    """
    The users of one server. While the server is started or stopped, `alone` keeps all others out.

    Every user holds a shared lock; a user who can take it exclusively is the last one.
    """

    def __init__(self, folder: Path) -> None:
        self._gate = folder / "gate.lock"
        self._users = folder / "users.lock"
        self._mine: int | None = None

    @contextmanager
    def alone(self) -> Iterator[int]:
        """
        Keep all others out. A process that inherits the yielded file keeps them out until it ends, even after us.

        Raises WarehouseError if another process keeps us out for too long.
        """
        gate = open_lock(self._gate)
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not take(gate, alone=True):
                if time.monotonic() > deadline:
                    raise WarehouseError(
                        "Another process has been starting or stopping the embedded server for five minutes.",
                        safe="Nothing was touched.",
                        hint="See whether another etl hangs (ps aux | grep etl), end it (kill and its number), and try again.",
                    )
                time.sleep(POLL_SECONDS)
            yield gate
        finally:
            os.close(gate)

    def enter(self) -> None:
        """Become a user. Only call this within `alone`."""
        self._mine = open_lock(self._users)
        take(self._mine, alone=False)

    def leave(self) -> bool:
        """Stop being a user; return whether nobody is left. Only call this within `alone`."""
        if self._mine is not None:
            os.close(self._mine)
            self._mine = None
        users = open_lock(self._users)
        try:
            return take(users, alone=True)
        finally:
            os.close(users)


def open_lock(path: Path) -> int:
    """Open a file that serves as a lock, creating it if it is missing."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def take(file: int, *, alone: bool) -> bool:
    """Take a lock, alone or shared; return False if others hold it in a conflicting way."""
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
