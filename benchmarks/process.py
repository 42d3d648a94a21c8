"""Knows how a process is run and what it costs: wall seconds, processor seconds, the most memory it held."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
SAMPLE_SECONDS = 0.05


_PATH = re.compile(r"(?<![\w:/])/?(?:[\w.@+-]+/){2,}")


class LaneFailed(Exception):
    """A process did not do its work; the text says what it said last, without the paths of this machine."""

    def __init__(self, text: str) -> None:
        super().__init__(_PATH.sub("…/", text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A process that ended well. `cpu` counts the processes that it waited for, `memory` (bytes) those that ran with it."""

    wall: float
    cpu: float
    memory: int
    out: str


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: Path | IO[bytes] | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> Ended:
    """
    Run a process to its end and return what it cost; `meanwhile` is called again and again while it runs.

    Raises LaneFailed unless it exits with 0.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        source = stdin.open("rb") if isinstance(stdin, Path) else stdin
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=env, cwd=cwd, stdin=source or subprocess.DEVNULL, stdout=out, stderr=err)
        watch = _Watch(process.pid, meanwhile)
        watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        watch.end()
        if isinstance(stdin, Path) and source is not None:
            source.close()
        out.seek(0)
        err.seek(0)
        said = out.read()
        if process.returncode != 0:
            last = " / ".join((err.read() + said).strip().splitlines()[-6:])
            raise LaneFailed(f"exit code {process.returncode}: {last[-600:]}")
    # Not ru_maxrss: a child takes over its parent's peak until it runs a program of its own.
    return Ended(wall=wall, cpu=usage.ru_utime + usage.ru_stime, memory=watch.most, out=said)


class _Watch(threading.Thread):
    """Looks at a process and those below it from time to time: the sum of what they hold, and the first one's peak."""

    def __init__(self, pid: int, meanwhile: Callable[[], object] | None) -> None:
        super().__init__(daemon=True)
        self.most = 0
        self._pid = pid
        self._meanwhile = meanwhile
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self.most = max(self.most, _status(self._pid, "VmHWM"), sum(_status(pid, "VmRSS") for pid in below(self._pid)))
            if self._meanwhile is not None:
                self._meanwhile()

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()
        self.join()


def below(pid: int) -> list[int]:
    """Return a process and all that descend from it; none where the system does not tell."""
    found, index = [pid], 0
    while index < len(found):
        try:
            children = (_PROC / str(found[index]) / "task" / str(found[index]) / "children").read_text().split()
        except OSError:
            children = []
        found += map(int, children)
        index += 1
    return found


def _status(pid: int, name: str) -> int:
    """Return a size out of a process's status, in bytes; 0 where it is gone."""
    try:
        text = (_PROC / str(pid) / "status").read_text()
    except OSError:
        return 0
    line = next((line for line in text.splitlines() if line.startswith(f"{name}:")), f"{name}: 0 kB")
    return int(line.split()[1]) * 1024


def cpu_seconds(pid: int) -> float:
    """Return the processor seconds of a process, of those that it waited for, and of its children that still run."""
    total = 0
    for index, one in enumerate(below(pid)):
        try:
            fields = (_PROC / str(one) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15] if index == 0 else fields[11:13]))
    return total / _TICKS


def memory_now(pid: int) -> int:
    """Return the bytes that a process holds now."""
    return _status(pid, "VmRSS")
