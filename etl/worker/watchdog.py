"""Ends a worker that is stuck, or takes longer to stop than it may."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from threading import Event, Lock

from etl.log import Logger
from etl.system import steady_seconds

log = Logger(__name__)

STUCK = timedelta(seconds=60)
"""A worker one of whose loops has stood still for so long ends itself: its jobs are then taken for those of a killed one."""

LOOK = timedelta(seconds=1)
"""How often the watchdog looks."""

Monotonic = Callable[[], float]
"""Seconds of a clock that nobody sets."""


class Pulse:
    """When each loop of a worker was last seen to go on. Safe to use from several threads."""

    def __init__(self, monotonic: Monotonic = steady_seconds) -> None:
        """No loop goes yet."""
        self._monotonic = monotonic
        self._guard = Lock()
        self._allowed: dict[str, float] = {}  # until when each may stand still

    def beat(self, loop: str, *, within: timedelta = timedelta()) -> None:
        """Note that a loop goes on, and that it means to be seen again `within` this time."""
        with self._guard:
            self._allowed[loop] = self._monotonic() + within.total_seconds()

    def rest(self, loop: str) -> None:
        """Note that a loop has ended as it should."""
        with self._guard:
            self._allowed.pop(loop, None)

    @property
    def overdue(self) -> timedelta:
        """How long the loop that has stood still longest is late; nothing if none is."""
        now = self._monotonic()
        with self._guard:
            return timedelta(seconds=max((now - allowed for allowed in self._allowed.values() if allowed < now), default=0.0))


class Watchdog:
    """Ends the process at once where it is stuck, or takes longer to stop than it may. What is committed stays."""

    def __init__(
        self,
        pulse: Pulse,
        *,
        stop: Event,
        stop_after: timedelta,
        monotonic: Monotonic = steady_seconds,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._pulse = pulse
        self._stop = stop
        self._stop_after = stop_after
        self._monotonic = monotonic
        self._end = end
        self._told: float | None = None  # when it was told to stop

    def look(self) -> None:
        """End the process if it has to be."""
        if self._stop.is_set():
            self._told = self._monotonic() if self._told is None else self._told
            if self._monotonic() - self._told >= self._stop_after.total_seconds():
                log.warning("worker.cut_off", after=f"{self._stop_after.total_seconds():.0f}s")
                self._end(0)
        elif (overdue := self._pulse.overdue) >= STUCK:
            log.error("worker.stuck", seconds=round(overdue.total_seconds()))
            self._end(1)
