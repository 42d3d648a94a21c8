"""Knows what every lane gets (the stage) and how one measured process becomes one sample, whatever the process is."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from benchmarks.postgres import Lane, Postgres, postgres
from benchmarks.process import Ended, cpu_seconds, run
from benchmarks.serving import ROOT, Pages

Sample = dict[str, Any]
"""What was measured of one process, by name; seconds and bytes."""

Found = defaultdict[str, list[Sample]]
"""The samples of each lane; lanes add to it, so that what was measured stays when one fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What lanes play on: the database server, a folder for what lasts (`data`) and one for this run's own files (`scratch`)."""

    postgres: Postgres
    data: Path
    scratch: Path
    repeat: int
    say: Callable[[str], object]

    def measured(
        self,
        command: Sequence[str],
        *,
        calls: int,
        pages: Pages | None = None,
        env: Mapping[str, str] | None = None,
        stdin: Path | IO[bytes] | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> tuple[Sample, Ended]:
        """Run a process that handles so many calls, after a checkpoint; return what it cost, and what it said."""
        self.postgres.checkpoint()
        wal, database = self.postgres.wal_bytes(), self.postgres.cpu()
        requests, serving = (pages.requests(), cpu_seconds(pages.pid)) if pages else (0, 0.0)
        ended = run(command, env=env or surroundings(self.scratch), cwd=ROOT, stdin=stdin, meanwhile=meanwhile)
        sample: Sample = {
            "calls": calls,
            "wall": ended.wall,
            "cpu": ended.cpu,
            "memory": ended.memory,
            "database_cpu": self.postgres.cpu() - database,
            "wal": self.postgres.wal_bytes() - wal,
        }
        if calls:
            sample |= {"rate": calls / ended.wall, "wal_per_100k": sample["wal"] * 100_000 / calls}
        if pages:
            sample |= {"requests": pages.requests() - requests, "pages_cpu": cpu_seconds(pages.pid) - serving}
        return sample, ended


def surroundings(scratch: Path, **more: str) -> dict[str, str]:
    """Return the environment of a process: ours without the program's settings and without proxies."""
    kept = {name: value for name, value in os.environ.items() if not re.match(r"(?i)etl_|.*_proxy$|pg[a-z]+$", name)}
    return {**kept, "ETL_SECRETS_DIR": str(scratch), "PYTHONDONTWRITEBYTECODE": "", **more}


def configure(
    scratch: Path,
    lane: Lane,
    pages: Pages,
    connections: Mapping[str, Mapping[str, Any]],
    *,
    name: str = "config",
    warehouse: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Write a configuration for connections that are given by provider, token and further keys."""
    sections: dict[str, Mapping[str, Any]] = {"warehouse": {"url": lane.url, **warehouse}}
    for connection, keys in connections.items():
        sections[f"connections.{connection}"] = {"base_url": pages.url(keys["provider"]), **keys}
    lines = []
    for section, keys in sections.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items()), ""]
    file = scratch / f"{name}.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def etl(config: Path, *arguments: str) -> list[str]:
    """Return the command line of the program itself."""
    return [sys.executable, "-m", "etl", "--config", str(config), *arguments]


@contextmanager
def stage(*, data: Path, repeat: int, say: Callable[[str], object]) -> Iterator[Stage]:
    """Set everything up for the lanes, and clear it away after them; the database is on the disk of `data`."""
    data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=data, ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        scratch.chmod(0o755)  # the embedded server runs under an account of its own where we are root
        with postgres(scratch) as server:
            yield Stage(postgres=server, data=data, scratch=scratch, repeat=repeat, say=say)
