"""Knows how an environment is made in which an orchestrator runs an example: what its lock file names, and our wheel."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.integrations.environments import Environment, run, with_pip


def with_the_wheel(folder: Path, lock: Path) -> Environment:
    """Make an environment as a user's: the orchestrator, what we depend on, and the wheel in place of the checkout."""
    run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder / "wheel")])
    (wheel,) = (folder / "wheel").glob("*.whl")
    made = with_pip(folder / "environment", Path(sys.executable), "newest")
    # Most of it is never imported, so nothing is compiled ahead.
    made.pip("install", "--quiet", "--no-compile", "--require-hashes", "--no-deps", "-r", str(lock))
    made.pip("install", "--quiet", "--no-deps", "--no-index", str(wheel))
    made.pip("check")
    return made
