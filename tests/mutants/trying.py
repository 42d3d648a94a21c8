"""
Tries mutants: in a copy of the tree, so that nothing of a fault is left here whatever ends the command.

A mutant is caught where a test fails that it names or, after them, where the simulator breaks within its first 300 seeds.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.mutants.mutant import Mutant

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 300
LONGEST = 300.0
"""The most seconds that are spent on one mutant."""

_NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "build", "dist")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_BROKEN = re.compile(r"^seed (\d+) breaks", re.MULTILINE)


@contextmanager
def copied() -> Iterator[Path]:
    """Give a copy of the tree, as long as it is used."""
    with tempfile.TemporaryDirectory(prefix="etl-mutants-") as name:
        tree = Path(name) / "tree"
        shutil.copytree(ROOT, tree, ignore=_NOT_COPIED, symlinks=True)
        tree.chmod(0o755)
        yield tree


def apply(mutant: Mutant, tree: Path, *, turn: int) -> str:
    """Put the fault into the copy; return the text that it replaced. Raises DoesNotApply."""
    path = tree / mutant.file
    before = path.read_text(encoding="utf-8")
    _write(path, mutant.put_into(before), turn=turn)
    return before


def restore(mutant: Mutant, tree: Path, before: str, *, turn: int) -> None:
    """Take the fault back."""
    _write(tree / mutant.file, before, turn=turn)


def _write(path: Path, text: str, *, turn: int) -> None:
    """Write a file of the copy, each time with another date: else what was compiled of it before may be taken for it."""
    path.write_text(text, encoding="utf-8")
    date = time.time() + 10 * turn
    os.utime(path, (date, date))


def caught_by(mutant: Mutant, tree: Path) -> str | None:
    """Return what notices the fault that was put into the copy: a test, or the simulator; None if nothing does."""
    ends = time.monotonic() + LONGEST
    if mutant.tests and (found := failing(mutant.tests, tree, ends=ends)) is not None:
        return found
    return _broken(tree, ends=ends)


def failing(tests: Sequence[str], tree: Path, *, ends: float) -> str | None:
    """Run these tests in the copy; return the first that fails, None if none does. Raises TimeoutError."""
    # One test names all of its cases: a name may hold what no command line takes.
    status, said = _run(["pytest", "-q", "-x", "-n", "0", "-rfE", "--no-header", *tests], tree, ends=ends)
    if status == 0:
        return None
    found = _FAILED.search(said)
    return found[1].partition("[")[0] if found else "\n".join(said.splitlines()[-3:])


def _broken(tree: Path, *, ends: float) -> str | None:
    status, said = _run(["tests.simulation", str(SEEDS), "--jobs", "1", "--until-broken"], tree, ends=ends)
    if status == 0:
        return None
    found = _BROKEN.search(said)
    return f"the simulator, seed {found[1]}" if found else "the simulator, which the program fails in"


def _run(command: Sequence[str], tree: Path, *, ends: float) -> tuple[int, str]:
    """Run a Python module in the copy; return its exit code and what it said. Raises TimeoutError."""
    # What the tests start is to be the copy as well.
    environment = os.environ | {"PYTHONPATH": str(tree)}
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=max(ends - time.monotonic(), 0))
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{command[0]} was not done in time") from None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)  # with the database server that the tests started
            process.communicate()
    return process.returncode, said
