"""
Knows what the program takes from the machine it runs on: the time, threads, chance. Forms only: `etl.system` fills them in.

Whoever needs one of these is handed it, so that a test or a simulation can replace it: with a clock of its own, with threads that
do their work at once, with chance from a seed.
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
        """Wait. Raises Interrupted where the program is asked to stop."""
        ...


class Threads(Protocol):
    """Where work is done that does not wait for its turn."""

    def pool(self, name: str, size: int) -> Executor:
        """Return an executor for up to `size` pieces of work at once; leaving its block waits until all of them have ended."""
        ...

    def repeat(self, name: str, action: Callable[[], object], *, every: timedelta) -> Callable[[], None]:
        """Do `action` again and again, until the function that is returned is called; that waits for an action under way."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """All of it together."""

    clock: Clock
    threads: Threads
    random: Random
