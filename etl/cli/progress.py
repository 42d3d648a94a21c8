"""The progress of a sync on a terminal: one bar per stream, with a total if the provider gives one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from etl.printable import printable
from etl.runs.port import Watcher
from etl.runs.watching import Silence

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bars:
    """Shows a bar for each running stream. Finished ones are removed, so that a thousand agents do not fill the screen."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = Lock()
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._totals: dict[tuple[str, str], int] = {}

    def stream_started(self, connection: str, stream: str) -> None:
        """Add a bar."""
        name = connection if stream == "calls" else printable(f"{connection} {stream}")  # an agent's id comes from the provider
        with self._lock:
            self._tasks[connection, stream] = self._progress.add_task(name, total=None)

    def page_loaded(self, connection: str, stream: str, *, records: int, total: int | None) -> None:
        """Advance the bar. Its total is the first one given: later totals of a walk count only what is left."""
        with self._lock:
            if total is not None:
                self._totals.setdefault((connection, stream), total)
            self._progress.update(self._tasks[connection, stream], advance=records, total=self._totals.get((connection, stream)))

    def stream_finished(self, connection: str, stream: str) -> None:
        """Remove the bar."""
        with self._lock:
            self._progress.remove_task(self._tasks.pop((connection, stream)))


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watcher]:
    """Show bars on standard error if it is a terminal, else nothing."""
    if quiet or not sys.stderr.isatty():
        yield Silence()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    spinner = SpinnerColumn("dots" if console.encoding.startswith("utf") else "line")
    columns = (spinner, TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bars(progress)
