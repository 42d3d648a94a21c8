"""Knows how the page server is started for a lane and asked how many requests it has answered."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.answers import BASES
from benchmarks.dataset import Outline, make
from benchmarks.server import CONTROL

ROOT = Path(__file__).parents[1]
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """A running page server."""

    port: int
    pid: int

    def url(self, provider: str) -> str:
        """Return the base address of a provider."""
        return f"http://127.0.0.1:{self.port}/{provider}{BASES[provider]}"

    def requests(self) -> int:
        """Return how many requests it has answered."""
        with _DIRECT.open(f"http://127.0.0.1:{self.port}{CONTROL}") as answer:
            return sum(json.load(answer).values())


@contextmanager
def pages(*outlines: Outline, folder: Path) -> Iterator[Pages]:
    """Serve these calls for as long as the block lasts; their files are made where they are missing."""
    files = [str(make(outline, folder)) for outline in outlines]
    command = [sys.executable, "-m", "benchmarks.server", *files]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            yield Pages(port=int(line), pid=process.pid)
        finally:
            process.terminate()
