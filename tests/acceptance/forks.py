"""Knows how a test starts the program cheaply: by the process of `tests.acceptance.nursery`, one child at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Self

from tests.acceptance.process import PATIENCE, Ended, Program


class Nursery:
    """Starts the program by forking a process that has imported it; one child at a time. A context manager."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=program.surroundings(),
            text=True,
            bufsize=1,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        with self._parent:
            assert self._parent.stdin is not None
            self._parent.stdin.close()
            self._parent.wait(timeout=PATIENCE)

    def start(self, *arguments: str) -> int:
        """Start a command and return its process id; `end` must follow."""
        program = self._program
        program.configure()
        out, err = program.folder / "out", program.folder / "err"
        order = {"arguments": ["--config", str(program.config), *arguments], "out": str(out), "err": str(err)}
        assert self._parent.stdin is not None
        self._parent.stdin.write(json.dumps(order) + "\n")
        return self._number()

    def end(self) -> Ended:
        """Wait for the end of the command that was started."""
        code = self._number()
        said = [(self._program.folder / name).read_text(encoding="utf-8") for name in ("out", "err")]
        return self._program.heard(code, *said)

    def run(self, *arguments: str) -> Ended:
        """Run a command to its end."""
        self.start(*arguments)
        return self.end()

    def _number(self) -> int:
        assert self._parent.stdout is not None
        return int(self._parent.stdout.readline())
