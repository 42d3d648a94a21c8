"""
The life of a worker process: it goes on where its database comes back, ends where it does not, and ends itself where it is stuck.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event

import structlog

from etl.config import Settings
from etl.effects import Effects
from etl.errors import WarehouseError
from etl.warehouse import jobs
from etl.wiring import open_warehouse
from etl.worker.queue import Rhythm
from etl.worker.service import DatabaseLost, Service

log = structlog.get_logger(__name__)

GIVE_UP = timedelta(minutes=10)
"""A worker whose database has been away for so long ends, so that whoever runs it learns of it."""

WELL = timedelta(seconds=30)
"""A worker that has worked for so long has got over what had happened before."""

FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
"""Seconds until the database is tried again; doubled each time."""

STUCK = timedelta(seconds=60)
"""A worker whose loops have stood still for so long ends itself: its jobs are then taken for those of a killed one."""

LOOK = timedelta(seconds=1)
"""How often the watchdog looks."""


class Watchdog:
    """Ends the process at once where it is stuck, or takes longer to stop than it may. What is committed stays."""

    def __init__(self, *, stop: Event, stop_after: timedelta, end: Callable[[int], object] = os._exit) -> None:
        self._stop = stop
        self._stop_after = stop_after
        self._end = end
        self._beat = time.monotonic()
        self._told: float | None = None  # when it was told to stop

    def beat(self) -> None:
        """Note that the worker is not stuck."""
        self._beat = time.monotonic()

    def look(self) -> None:
        """End the process if it has to."""
        now = time.monotonic()
        if self._stop.is_set():
            self._told = now if self._told is None else self._told
            if now - self._told >= self._stop_after.total_seconds():
                log.warning("worker.cut_off", after=f"{self._stop_after.total_seconds():.0f}s")
                self._end(0)
        elif now - self._beat >= STUCK.total_seconds():
            log.critical("worker.stuck", seconds=round(now - self._beat))
            self._end(1)


def work(settings: Settings, *, effects: Effects, stop: Event, rhythm: Rhythm, once: bool) -> None:
    """
    Work until told to stop; with `once`, do what is due and return.

    Raises UsageError, and WarehouseError if the warehouse cannot be used at the start, or at all for `GIVE_UP`.
    """
    watchdog = Watchdog(stop=stop, stop_after=settings.worker.stop_after)
    end = effects.threads.repeat("watchdog", watchdog.look, every=LOOK)
    try:
        _begin(settings, effects=effects, stop=stop, rhythm=rhythm, watchdog=watchdog, once=once)
    finally:
        end()


def _begin(settings: Settings, *, effects: Effects, stop: Event, rhythm: Rhythm, watchdog: Watchdog, once: bool) -> None:
    wait, well, began = FIRST_WAIT, None, time.monotonic()
    while True:
        try:
            began = time.monotonic()
            with _serving(settings, effects=effects, stop=stop, rhythm=rhythm, beat=watchdog.beat) as service:
                well = well or began
                (service.once if once else service.serve)()
            return
        except (WarehouseError, DatabaseLost) as error:
            lost = _told(error)
            now = time.monotonic()
            if well is None or once:  # it never worked: whoever started it is told at once
                raise lost from error
            if now - began > WELL.total_seconds():
                well, wait = now, FIRST_WAIT
            if now - well > GIVE_UP.total_seconds():
                raise lost from error
            log.warning("worker.database_lost", code=lost.code, error=str(lost), next_try=f"{wait:.0f}s")
        if _waited(wait, stop=stop, beat=watchdog.beat):
            return
        wait = min(2 * wait, LONGEST_WAIT)


@contextmanager
def _serving(settings: Settings, *, effects: Effects, stop: Event, rhythm: Rhythm, beat: Callable[[], None]) -> Iterator[Service]:
    with open_warehouse(settings, writes=True) as opened:
        opened.ensure_schema(settings)
        jobs.require(opened.database)
        log.info("worker.started", connections=len(settings.connections), concurrency=settings.worker.concurrency)
        yield Service(settings=settings, opened=opened, effects=effects, stop=stop, rhythm=rhythm, beat=beat)


def _waited(seconds: float, *, stop: Event, beat: Callable[[], None]) -> bool:
    """Wait, showing that this is not being stuck; return whether it was told to stop meanwhile."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        beat()
        if stop.wait(min(left, LOOK.total_seconds())):
            return True
    return False


def _told(error: Exception) -> WarehouseError:
    if isinstance(error, WarehouseError):
        return error
    return WarehouseError(
        "The database did not answer the worker any more.",
        safe="Everything up to the last page of each connection is committed.",
        hint="Once it is back, start the worker again: it continues where it was.",
    )
