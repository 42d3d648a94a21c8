"""The life of a worker process: it goes on where its database comes back, and ends where it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event

from etl.config import Settings
from etl.effects import Effects
from etl.errors import WarehouseError
from etl.log import Logger
from etl.system import steady_seconds
from etl.warehouse import jobs
from etl.warehouse.database import Database
from etl.wiring import open_warehouse, watch_of
from etl.worker.due import next_sync, period_of
from etl.worker.look import look
from etl.worker.queue import Rhythm
from etl.worker.service import DatabaseLost, Memory, Service
from etl.worker.watchdog import LOOK, Monotonic, Pulse, Watchdog
from etl.worker.web.server import served
from etl.worker.web.site import Next, Site

log = Logger(__name__)

GIVE_UP = timedelta(minutes=10)
"""A worker whose database has been away for so long ends, so that whoever runs it learns of it."""

WELL = timedelta(seconds=30)
"""A worker that has worked for so long has got over what had happened before."""

LONGEST_WAIT = timedelta(seconds=30)
"""The pause until the database is tried again is doubled each time, up to this."""

GRACE = timedelta(minutes=5)
"""A worker that was started just now, after a weekend say, is given this time to sync before it tells what is behind."""


@dataclass(kw_only=True)
class Process:
    """A worker process. `effects` gives what belongs to the machine, whose waits end when the event is set."""

    settings: Settings
    effects: Callable[[Event], Effects]
    stop: Event
    rhythm: Rhythm = field(default_factory=Rhythm)
    monotonic: Monotonic = steady_seconds
    memory: Memory = field(default_factory=Memory)
    pulse: Pulse = field(init=False)
    site: Site = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is begun."""
        self.pulse = Pulse(self.monotonic)
        self.site = Site(
            settings=self.settings,
            clock=self.effects(self.stop).clock,
            silence=lambda: self.pulse.overdue,
            next_due=self._next_due,
        )

    def work(self, *, once: bool) -> frozenset[int]:
        """
        Work until told to stop; with `once`, do what is due and return. Returns the exit codes that its jobs stand for.

        Raises UsageError, and WarehouseError if the warehouse cannot be used at the start, or at all for `GIVE_UP`.
        """
        settings = self.settings
        threads = self.effects(self.stop).threads
        watchdog = Watchdog(self.pulse, stop=self.stop, stop_after=settings.worker.stop_after, monotonic=self.monotonic)
        end = threads.repeat("watchdog", watchdog.look, every=LOOK)
        try:
            with served(self.site, None if once else settings.worker.listen, threads=threads):
                self._work(once=once)
        finally:
            end()
        return frozenset(self.memory.codes)

    def _work(self, *, once: bool) -> None:
        wait, worked_at = self.rhythm.again, None
        while True:
            since = None
            self.pulse.beat("stop")
            try:
                with self._serving(once=once) as service:
                    since = self.monotonic()
                    worked_at = since if worked_at is None else worked_at
                    (service.once if once else service.serve)()
                return
            except (WarehouseError, DatabaseLost) as error:
                lost, now = _told(error), self.monotonic()
                if worked_at is None or once:  # whoever started it is told at once
                    raise lost from error
                if since is not None and now - since > WELL.total_seconds():
                    worked_at, wait = now, self.rhythm.again
                if now - worked_at > GIVE_UP.total_seconds():
                    raise lost from error
                log.warning("worker.database_lost", code=lost.code, error=str(lost), next_try=f"{wait.total_seconds():.0f}s")
            if self._waited(wait):
                return
            wait = min(2 * wait, LONGEST_WAIT)

    @contextmanager
    def _serving(self, *, once: bool) -> Iterator[Service]:
        settings, halt = self.settings, Event()
        with open_warehouse(settings, writes=True, at_once=settings.worker.concurrency) as opened:
            opened.ensure_schema(settings)
            jobs.require(opened.database, to_use=True)
            watch = watch_of(settings, opened.database, due_after=self._due_after, grace=timedelta() if once else GRACE)
            log.info("worker.started", connections=len(settings.connections), concurrency=settings.worker.concurrency)
            with self.site.over(opened.database):
                yield Service(
                    settings=settings,
                    opened=opened,
                    effects=self.effects(halt),
                    stop=self.stop,
                    halt=halt,
                    rhythm=self.rhythm,
                    pulse=self.pulse,
                    memory=self.memory,
                    meters=self.site.meters,
                    after_tick=(lambda seen: watch.look(seen.now),),
                )

    def _due_after(self, name: str, at: datetime) -> datetime:
        return next_sync(name, self.settings.connections[name].schedule, self._zone, at)

    def _next_due(self, database: Database, names: Sequence[str]) -> dict[str, Next]:
        chosen = self.settings.connections
        known = [name for name in names if name in chosen]
        if not known:
            return {}
        seen = look(database, chosen, known, zone=self._zone, audits_tried={})
        return {
            name: Next(at=one.sync_at, period=period_of(chosen[name].schedule, self._zone, seen.now))
            for name, one in seen.connections.items()
        }

    @property
    def _zone(self) -> str:
        return self.settings.warehouse.reporting_timezone

    def _waited(self, wait: timedelta) -> bool:
        """Wait, showing that this is not being stuck; return whether it was told to stop meanwhile."""
        until = self.monotonic() + wait.total_seconds()
        while (left := until - self.monotonic()) > 0:
            self.pulse.beat("stop")
            if self.stop.wait(min(left, LOOK.total_seconds())):
                return True
        return self.stop.is_set()


def _told(error: Exception) -> WarehouseError:
    if isinstance(error, WarehouseError):
        return error
    return WarehouseError(
        "The database did not answer the worker any more.",
        safe="Everything up to the last page of each connection is committed.",
        hint="Once it is back, start the worker again: it continues where it was.",
    )
