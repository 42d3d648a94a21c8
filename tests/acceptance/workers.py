"""Knows a worker as a process of the quick rhythm, whose log goes to a file: a pipe that nobody reads meanwhile would stop it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from tests.acceptance.forks import PATIENCE
from tests.acceptance.process import Ended, Program

_NUMBERS = count(1)


class WorkerProcess:
    """A worker of the quick rhythm that was started; `listen` is where it serves its pages."""

    def __init__(self, program: Program, *, listen: str = "off") -> None:
        program.configure()
        self._program = program
        self._log = Path(program.folder, f"worker-{next(_NUMBERS)}.log")
        command = [sys.executable, "-m", "tests.acceptance.working", "--config", str(program.config), "worker"]
        self._out = self._log.with_suffix(".out")
        with self._log.open("wb") as log, self._out.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                env=program.surroundings() | {"ETL_WORKER__LISTEN": listen},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
            )

    def event(self, name: str) -> dict[str, Any]:
        """Wait until the log tells an event, and return it. Raises TimeoutError."""
        until = monotonic() + PATIENCE
        while monotonic() < until:
            for event in self.events():
                if event["event"] == name:
                    return event
            assert self.process.poll() is None, f"the worker has ended with {self.process.returncode}, and never told {name}"
            sleep(0.01)
        raise TimeoutError(f"The worker did not tell {name} within {PATIENCE:.0f} seconds.")

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield what the log tells so far."""
        for line in self._log.read_text().splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                yield json.loads(line)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def ended(self) -> Ended:
        """Wait for its end; what it said holds no traceback, no secret and no personal data."""
        self.process.wait(timeout=PATIENCE)
        return self._program.heard(self.process.returncode, self._out.read_text(), self._log.read_text())


@contextmanager
def worker(program: Program, *, listen: str = "off") -> Iterator[WorkerProcess]:
    """Start a worker, and kill it in the end if it still lives."""
    started = WorkerProcess(program, listen=listen)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()
