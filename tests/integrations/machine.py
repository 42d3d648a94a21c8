"""Knows what this machine offers: Pythons and PostgreSQL programs; and what it means that one of them is missing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from etl.embedded.binaries import find

OLDEST, BEYOND = (3, 11), (3, 15)
"""The supported versions of Python: from this one on, and before that one."""

# `ensurepip` is what an environment gets its first pip from; some distributions ship it apart.
_ASKED = "import ensurepip, sys, venv; print(sys.executable, *sys.version_info[:3])"


@dataclass(frozen=True, slots=True, order=True)
class Python:
    """An interpreter that can make environments."""

    version: tuple[int, ...]
    path: Path


def missing(what: str) -> NoReturn:
    """Say that a part is not on this machine: a failure in CI, where all of them have to be, and a skip elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}, which CI needs")
    pytest.skip(what)


def pythons() -> list[Python]:
    """Return the supported Pythons on the PATH and among pyenv's, the oldest first."""
    return sorted(found for path in _candidates() if (found := _asked(path)) and OLDEST <= found.version < BEYOND)


def wheel_postgres(major: int) -> Path:
    """Return the folder of the programs of one of the versions that the wheel carries."""
    return find(None, wanted=major).folder


def system_postgres() -> Path:
    """Return the folder of the newest programs that the system's packages have installed."""
    found = [folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if (folder / "initdb").exists()]
    if not found:
        missing("the system has no PostgreSQL server of its own (on Debian and Ubuntu: apt-get install postgresql)")
    return max(found, key=lambda folder: int(folder.parent.name))


def _candidates() -> Iterator[Path]:
    names = [f"python3.{minor}" for minor in range(OLDEST[1], BEYOND[1])]
    for folder in os.get_exec_path():
        yield from (Path(folder, name) for name in names)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from pyenv.glob("versions/*/bin/python")


def _asked(path: Path) -> Python | None:
    """Return what a path leads to; None where that is no Python, or none that can make environments."""
    try:
        told = subprocess.run([path, "-c", _ASKED], capture_output=True, text=True, check=False)
    except OSError:
        return None
    if told.returncode != 0:
        return None
    executable, *version = told.stdout.rsplit(maxsplit=3)
    return Python(version=tuple(map(int, version)), path=Path(executable))
