"""Knows how `make dashboards` is run in a test: a warehouse for it, its process, and the browser that looks."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboards.serve.environment import FITS
from etl.sandbox import NO_LIMITS, Sandbox, config, demo_history
from tests.integrations.environments import ROOT
from tests.integrations.machine import missing, pythons

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Shown:
    """A Superset that runs: its address, its folder, what it said, and its process."""

    url: str
    folder: Path
    said: str
    process: subprocess.Popen[str]

    @property
    def password(self) -> str:
        return (self.folder / "home" / "admin_password").read_text(encoding="utf-8").strip()

    def wait(self) -> None:
        """Wait for its end, and for that of all that writes where it writes."""
        assert self.process.stdout is not None
        self.process.stdout.read()
        self.process.wait()


def browser() -> Path:
    """Return the machine's own Chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        missing("there is no Chromium to look with (on Debian and Ubuntu: apt-get install chromium)")
    return Path(found)


def python_for_superset() -> Path:
    """Return a Python that Superset runs on."""
    found = [one.path for one in pythons() if one.version[:2] in FITS]
    if not found:
        missing("there is no Python that Superset runs on (3.11 or 3.12)")
    return found[0]


def warehouse(folder: Path) -> Path:
    """Sync the demonstration's calls into a warehouse below `folder`, prove them, and return its configuration."""
    with Sandbox(demo_history(), limits=NO_LIMITS) as sandbox:
        file = folder / "config.toml"
        file.write_text(f"[warehouse]\ndata_dir = {json.dumps(str(folder / 'warehouse'))}\n\n{config(sandbox)}", encoding="utf-8")
        for command in ("sync", "audit"):
            ended = _etl(file, command)
            assert ended.returncode == 0, ended.stderr
    return file


def _etl(file: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shutil.which("etl", path=os.fspath(Path(sys.executable).parent)) or "etl", "--config", str(file), command],
        env=_surroundings(),
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def make_dashboards(folder: Path, **variables: str) -> Iterator[Shown]:
    """Run `make dashboards` in a terminal's own group of processes until the block ends, or it has ended by itself."""
    venv = Path(sys.executable).parents[1]
    process = subprocess.Popen(
        ["make", "--no-print-directory", "dashboards", f"VENV={venv}", "PORT=0", *(f"{k}={v}" for k, v in variables.items())],
        cwd=ROOT,
        env=_surroundings() | {"SUPERSET_DIR": str(folder), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("It can be reached"):
                break
        else:
            raise AssertionError(f"make dashboards did not start Superset:\n{said}")
        found = re.search(r"Superset runs at (\S+)", said)
        assert found
        yield Shown(found[1], folder, said, process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        process.stdout.close()


def look(shown: Shown, environment: Path, pages: list[str], pictures: Path | None) -> dict[str, Any]:
    """Return what a person sees who signs in and opens the pages."""
    told = {
        "browser": str(browser()),
        "url": shown.url,
        "user": "admin",
        "password": shown.password,
        "pages": pages,
        "pictures": pictures and str(pictures),
    }
    ended = subprocess.run(
        [environment / "bin" / "python", HERE / "browse.py"],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    seen: dict[str, Any] = json.loads(ended.stdout)
    return seen


def environment_for_the_browser(folder: Path, python: Path) -> Path:
    """Make the environment of what drives the browser."""
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "--quiet", "--python", python, folder], check=True)
    sync = [uv, "pip", "sync", "--quiet", "--require-hashes", "--python", folder / "bin" / "python", HERE / "browser.lock"]
    subprocess.run(sync, check=True)
    return folder


def _surroundings() -> dict[str, str]:
    ours = re.compile(r"(?i)(etl_|pytest|cov_|make|mflags|python|superset|database$|config$|port$|.*_proxy$)")
    return {name: value for name, value in os.environ.items() if not ours.match(name)}
