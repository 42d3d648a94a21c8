"""Knows how an environment of its own is made, of what is pinned and nothing else, and how tests run in it."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PIPS = Path(__file__).with_name("pips")
_PINNED = re.compile(r"(?m)^([\w.-]+)==(\S+)")
_OURS = ("ETL_", "PYTEST_", "PYTHON", "COV_", "MAKE", "VIRTUAL_ENV")
"""What the variables begin with that speak of the session of tests in which we are."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment; its pip is one of those in `pips/`."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def pip(self, *arguments: str, newer: Path | None = None) -> str:
        """Run its pip, for which `newer` holds releases that are newer than what is pinned; return what it said."""
        return run([self.python, "-m", "pip", "--disable-pip-version-check", *arguments], variables=_finding(newer))

    def test(self, *paths: str, variables: Mapping[str, str]) -> None:
        """Run tests of ours in it, as many at once as there are cores."""
        said = run([self.python, "-m", "pytest", "-n", "auto", "--dist", "worksteal", "-q", *paths], variables=variables)
        print(said)  # noqa: T201 - shown if what follows fails
        assert re.search(r"(?m)^\d+ passed", said)


def with_pip(folder: Path, python: Path, pips: str) -> Environment:
    """Make an environment that holds nothing but the pip that the file of that name in `pips/` pins."""
    run([python, "-m", "venv", "--clear", folder])
    made = Environment(folder)
    made.pip("install", "--quiet", "--require-hashes", "--no-deps", "--upgrade", "-r", str(PIPS / f"{pips}.txt"))
    assert made.pip("--version").split()[1] == pinned((PIPS / f"{pips}.txt").read_text(encoding="utf-8"))["pip"]
    return made


def for_development(folder: Path, python: Path, pips: str, *, newer: Path) -> Environment:
    """Make the environment that `make` makes, by the Makefile's own steps, but with that pip."""
    made = with_pip(folder, python, pips)
    run(["make", f"VENV={folder}", f"PYTHON={python}", str(folder / ".installed")], variables=_finding(newer))
    return made


def pinned(text: str) -> dict[str, str]:
    """Return the packages that a lock file, or `pip freeze`, names, with their versions."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in _PINNED.findall(text)}


def newer_releases(folder: Path) -> Path:
    """Make a release of every pinned package that is newer than all others, in a folder that pip can find it in."""
    folder.mkdir()
    for name in pinned((ROOT / "requirements.lock").read_text(encoding="utf-8")):
        package, version = name.replace("-", "_"), "9999.0"
        about = f"{package}-{version}.dist-info"
        files = {
            f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items()) + f"{about}/RECORD,,\n"
        with zipfile.ZipFile(folder / f"{package}-{version}-py3-none-any.whl", "w") as wheel:
            for path, text in (files | {f"{about}/RECORD": record}).items():
                wheel.writestr(path, text)
    return folder


def run(command: list[str | Path], *, variables: Mapping[str, str] | None = None) -> str:
    """Run a program in the checkout and return what it said; where it fails, that is what the test fails with."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env=kept | dict(variables or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    assert ended.returncode == 0, f"{' '.join(map(str, command))} ended with {ended.returncode}:\n{ended.stdout[-20_000:]}"
    return ended.stdout


def _finding(newer: Path | None) -> dict[str, str]:
    """Have pip look into a folder too, besides wherever this machine lets it look."""
    if newer is None:
        return {}
    return {"PIP_FIND_LINKS": f"{os.environ.get('PIP_FIND_LINKS', '')} {newer}".strip()}


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
