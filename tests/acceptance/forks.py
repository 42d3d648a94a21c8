"""Knows how a test process starts the program cheaply: by one process of `tests.acceptance.nursery`, one child at a time."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

PATIENCE = 300.0
"""Seconds after which a process that does not end is a failure of the test; nothing is ever timed by it."""


class Busy(Exception):
    """Another child is at work; the program is to be started in the common way."""


class Forks:
    """The process that has imported the program and forks it; used by several threads, of which one starts a child at a time."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="etl-forks-", ignore_cleanup_errors=True)
        self._out, self._err = Path(self._folder.name, "out"), Path(self._folder.name, "err")
        self._one = threading.Lock()
        self._child = 0
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.nursery"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], *, terminal: str | None = None) -> int:
        """
        Start a command in the folder that is current and return its process id; `end` must follow. Raises Busy.

        Its streams are a terminal, where one is named, and else files.
        """
        if not self._one.acquire(blocking=False):
            raise Busy
        order = {
            "arguments": arguments,
            "environment": dict(environment),
            "folder": os.getcwd(),  # noqa: PTH109 - where the program would be started
            "in": terminal or os.devnull,
            "out": terminal or str(self._out),
            "err": terminal or str(self._err),
        }
        for file in (self._out, self._err):
            file.write_bytes(b"")
        assert self._parent.stdin is not None
        self._parent.stdin.write(json.dumps(order).encode() + b"\n")
        self._child = self._number()
        return self._child

    def end(self) -> tuple[int, str, str]:
        """Wait for the end of the command that was started; return its code (negative: the signal), and what it said."""
        try:
            code = self._ended()
            return code, self._out.read_text(encoding="utf-8"), self._err.read_text(encoding="utf-8")
        finally:
            self._one.release()

    def close(self) -> None:
        """End the process."""
        with self._parent:
            assert self._parent.stdin is not None
            self._parent.stdin.close()
            self._parent.wait(timeout=PATIENCE)
        self._folder.cleanup()

    def _number(self) -> int:
        assert self._parent.stdout is not None
        return int(self._parent.stdout.readline())

    def _ended(self) -> int:
        if select.select([self._parent.stdout], [], [], PATIENCE)[0]:
            return self._number()
        os.kill(self._child, signal.SIGKILL)
        self._number()  # what comes next is of the next child
        raise TimeoutError(f"The program did not end within {PATIENCE:.0f} seconds.")


@cache
def forks() -> Forks:
    """Return the one that this process uses, for as long as it lives."""
    made = Forks()
    atexit.register(made.close)
    return made


def may_fork(environment: Mapping[str, str]) -> bool:
    """Whether a fork is as good as a start: what a starting interpreter reads is as it was."""
    return hasattr(os, "fork") and _of_python(environment) == _of_python(os.environ)


def _of_python(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(("PYTHON", "COVERAGE"))}
