"""The environment that Superset runs in: its own, of pinned and hashed packages, on a Python that it runs on."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from etl.cli.output import say
from etl.errors import UsageError, WarehouseError

LOCK = Path(__file__).with_name("superset.lock")
FITS = ((3, 11), (3, 12))
"""The versions of Python that Superset 6.1 and the lock file are for."""


def environment(folder: Path, *, wanted: str | None) -> Path:
    """
    Return the Python of the environment in `folder`, which is made if it is missing or of another lock file.

    `wanted` names the Python to make it with. Raises UsageError if that or none here fits, WarehouseError if it cannot be made.
    """
    made = folder / "environment"
    marker = made / ".installed"
    lock = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if marker.exists() and marker.read_text(encoding="utf-8") == lock and _version(made / "bin" / "python") in FITS:
        return made / "bin" / "python"
    base = _fitting(wanted)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    shutil.rmtree(made, ignore_errors=True)
    say(f"Setting up Superset's environment in {made} (once) …")
    uv = Path(sys.executable).with_name("uv")
    commands: tuple[list[str | Path], ...] = (
        [uv, "venv", "--quiet", "--no-config", "--python", base, made],
        [uv, "pip", "sync", "--quiet", "--no-config", "--require-hashes", "--python", made / "bin" / "python", LOCK],
    )
    for command in commands:
        answer = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603 - our own uv
        if answer.returncode != 0:
            raise WarehouseError(
                "Superset's environment could not be made.",
                safe="The warehouse was not touched.",
                hint="uv said: " + (" / ".join(line.strip() for line in answer.stderr.strip().splitlines()[-3:]) or "nothing"),
            )
    marker.write_text(lock, encoding="utf-8")
    return made / "bin" / "python"


def _fitting(wanted: str | None) -> Path:
    asked = [wanted] if wanted else _candidates()
    found = {path: _version(path) for path in map(Path, asked)}
    for path, version in found.items():
        if version in FITS:
            return path
    supported = " and ".join(".".join(map(str, one)) for one in FITS)
    here = ", ".join(sorted({".".join(map(str, version)) for version in found.values() if version})) or "none"
    raise UsageError(
        f"Superset 6.1 runs on Python {supported} only; "
        + (f"{wanted} is {here if here != 'none' else 'no Python that starts'}." if wanted else f"here is {here}."),
        safe="Nothing was installed or started.",
        hint="Install one of them beside yours and name it: make dashboards SUPERSET_PYTHON=/path/to/python3.12. "
        "Or import the dashboards into a Superset that runs elsewhere: etl dashboards.",
    )


def _candidates() -> Iterator[str]:
    yield sys._base_executable  # type: ignore[attr-defined]  # noqa: SLF001 - what this environment itself was made with
    for name in ("python3.12", "python3.11", "python3"):
        if found := shutil.which(name):
            yield found


def _version(python: Path) -> tuple[int, int] | None:
    """Return the version of a Python; None where there is none, or it does not start."""
    asked = "import ensurepip, sys, venv; print(*sys.version_info[:2])"
    try:
        told = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=False)  # noqa: S603 - asks a Python
        major, minor = told.stdout.split() if told.returncode == 0 else ("", "")
        return int(major), int(minor)
    except (OSError, ValueError):
        return None
