"""
Protocols for what the program takes from its machine: time, threads, randomness. `etl.system` implements them.

They are passed in where they are needed, so that a test or a simulation can replace them: by a clock of its own, threads that do
their work at once, seeded randomness.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Protocol


class Clock(Protocol):
    """The local clock."""

    def now(self) -> datetime:
        """Return the instant, aware, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait. Raises Interrupted if the program is asked to stop."""
        ...


class Threads(Protocol):
    """Runs work concurrently."""

    def pool(self, name: str, size: int) -> Executor:
        """Return an executor for up to `size` tasks at once; leaving its block waits until all have ended."""
        ...

    def repeat(self, name: str, action: Callable[[], object], *, every: timedelta) -> Callable[[], None]:
        """Repeat `action` until the returned function is called, which waits for an action in progress."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """All effects together."""

    clock: Clock
    threads: Threads
    random: Random
