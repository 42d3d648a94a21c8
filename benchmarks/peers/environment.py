"""Knows how a rival's environment is made and how one of its runs is measured; how it is called says `calling.py`."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.bench import Sample, Stage, surroundings
from benchmarks.peers.calling import CALLERS, Place
from benchmarks.postgres import Lane
from benchmarks.process import LaneFailed
from benchmarks.serving import Pages

NAMES = tuple(CALLERS)
WORK_MEM = "256MB"
"""
For the rivals: dlt asks for what is NOT IN a table of all participants. Where that does not fit into what Postgres gives an
operation by itself (4 MB), the table is read anew for each row, for hours.
"""

_HERE = Path(__file__).parent


class Peer:
    """One rival. Where it cannot be installed or run, every sample says why instead of a number."""

    def __init__(self, stage: Stage, served: Pages, name: str, calls: int) -> None:
        self.name = name
        self._stage, self._served, self._calls = stage, served, calls
        self._unfit: str | None = None
        try:
            self._home = _environment(name.partition("_")[0], stage.data / "peers")
        except (LaneFailed, OSError) as why:
            self._unfit = f"it cannot be installed here: {why}"

    def measure(self) -> Sample:
        """Load the calls once into an empty database."""
        if self._unfit:
            return {"unfit": self._unfit}
        scratch = self._stage.scratch / f"peer-{self.name}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            with self._stage.postgres.database(migrated=False) as lane:
                self._stage.postgres.execute(f"ALTER DATABASE {lane.name} SET work_mem = '{WORK_MEM}'")
                place = Place(
                    home=self._home, scratch=scratch, data=self._stage.data, lane=lane, pages=self._served, calls=self._calls
                )
                call = CALLERS[self.name](place)
                sample, _ = self._stage.measured(
                    call.command,
                    calls=self._calls,
                    pages=self._served if call.reads_api else None,
                    env=surroundings(self._stage.scratch, HOME=str(scratch), **call.env),
                    stdin=call.stdin,
                )
                return sample | {"rows": self._counted(lane, call.table)}
        except LaneFailed as why:
            self._unfit = f"it does not run here: {why}"
            return {"unfit": self._unfit}
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _counted(self, lane: Lane, table: str) -> int:
        rows = lane.number(f"SELECT count(*) FROM {table}")  # noqa: S608 - a name of ours
        if rows != self._calls:
            raise LaneFailed(f"it loaded {rows:,} of {self._calls:,} calls")
        return rows


def _environment(name: str, folder: Path) -> Path:
    """Return the environment with exactly the pinned versions; it is made where it is missing."""
    pinned = _HERE / f"{name}.txt"
    home = folder / f"{name}-{hashlib.sha256(pinned.read_bytes()).hexdigest()[:12]}"
    if not (home / "complete").exists():
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(home)],
            [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(pinned)],
        ):
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode != 0:
                raise LaneFailed((made.stderr.strip().splitlines() or ["no reason given"])[-1])
        (home / "complete").touch()
    return home
