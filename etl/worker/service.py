"""
One worker process at work: looks what is due, queues it, does what the queue hands out, and clears away what killed workers left.

Three loops run side by side in one thread, and jobs in a pool of threads. If the database goes away, all of it ends and is begun
again (`etl.worker.process`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event

import structlog
from procrastinate.exceptions import ConnectorException

from etl.config import Settings
from etl.effects import Effects
from etl.errors import WarehouseError
from etl.warehouse.reports.standing import standing
from etl.wiring import Opened
from etl.worker.due import Tried, audit_due, sync_due
from etl.worker.jobs import Jobs, jobs_of
from etl.worker.queue import Job, JobKind, Queue, Rhythm

log = structlog.get_logger(__name__)

LOOK_FOR_STOP = 0.2
"""Seconds within which a request to stop is noticed."""


class DatabaseLost(Exception):
    """The queue's library has ended its work because the database is gone; the warehouse may say more."""


@dataclass(kw_only=True)
class Service:
    """
    What one worker does with an open warehouse. `beat` is called again and again while its loops run.

    Setting `stop` makes it finish the pages at work, and end.
    """

    settings: Settings
    opened: Opened
    effects: Effects
    stop: Event
    rhythm: Rhythm
    beat: Callable[[], None]
    audits_tried: dict[str, datetime] = field(default_factory=dict)
    now: datetime = datetime.min  # by the database's clock, when it was last looked at

    def serve(self) -> None:
        """Work until told to stop. Raises DatabaseLost and WarehouseError."""
        self._run(self._serve)

    def once(self) -> None:
        """Do what is due, and what others left in the queue, and return. Raises DatabaseLost and WarehouseError."""
        self._run(self._once)

    def _run(self, work: Callable[[Jobs, Queue], Awaitable[None]]) -> None:
        concurrency = self.settings.worker.concurrency

        async def within() -> None:
            loop = asyncio.get_running_loop()

            async def do(kind: JobKind, connection: str) -> None:
                await loop.run_in_executor(threads, self._do, jobs, kind, connection)

            queue = Queue(self.opened.conninfo, work=do, rhythm=self.rhythm)
            try:
                async with queue.opened():
                    await work(jobs, queue)
            except ConnectorException as lost:
                raise DatabaseLost from lost

        with (
            jobs_of(self.settings, self.opened, effects=self.effects, stop=self.stop) as jobs,
            self.effects.threads.pool("job", concurrency) as threads,
        ):
            asyncio.run(within())

    async def _serve(self, jobs: Jobs, queue: Queue) -> None:
        worker = asyncio.create_task(self._work(queue, wait=True), name="jobs")
        loops = [
            asyncio.create_task(self._repeat(lambda: self._tick(jobs, queue), every=self.rhythm.tick), name="ticks"),
            asyncio.create_task(self._repeat(lambda: self._rescue(queue), every=self.rhythm.rescue), name="rescue"),
            asyncio.create_task(self._wait_for_stop(), name="stop"),
        ]
        try:
            await asyncio.wait([worker, *loops], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in loops:
                one.cancel()
            worker.cancel()
            ended = await asyncio.gather(worker, *loops, return_exceptions=True)
        if not self.stop.is_set():
            raise next((one for one in ended if isinstance(one, WarehouseError)), DatabaseLost())

    async def _once(self, jobs: Jobs, queue: Queue) -> None:
        self.beat()
        await self._rescue(queue)
        await self._tick(jobs, queue)
        await self._work(queue, wait=False)

    async def _work(self, queue: Queue, *, wait: bool) -> None:
        worker = self.settings.worker
        await queue.work(concurrency=worker.concurrency, stop_after=worker.stop_after, wait=wait)

    async def _tick(self, jobs: Jobs, queue: Queue) -> None:
        """Queue what is due."""
        for name, kinds in (await asyncio.to_thread(self._due, jobs, tuple(jobs.chosen))).items():
            for kind in kinds:
                await queue.put(Job(kind=kind, connection=name, lock=jobs.lock(name)))

    async def _rescue(self, queue: Queue) -> None:
        for job in await queue.rescue():
            log.warning("job.rescued", job=job.kind.value, connection=job.connection)

    def _do(self, jobs: Jobs, kind: JobKind, name: str) -> None:
        """Do a job, in a thread. It may have been done meanwhile, or belong to a worker that has another configuration."""
        try:
            if name not in jobs.chosen or kind not in self._due(jobs, (name,))[name]:
                log.info("job.left", job=kind.value, connection=name)
            elif kind is JobKind.AUDIT:
                self.audits_tried[name] = self.now
                jobs.audit(name)
            else:
                jobs.sync(name)
        except WarehouseError as error:
            log.warning("job.ended", job=kind.value, connection=name, code=error.code, error=str(error))
        except Exception:
            log.exception("job.fault", job=kind.value, connection=name)

    def _due(self, jobs: Jobs, names: Sequence[str]) -> dict[str, tuple[JobKind, ...]]:
        self.now, found = standing(self.opened.database, names)
        now, zone, due = self.now, self.settings.warehouse.reporting_timezone, {}
        for name, attempt in found.items():
            connection, tried = jobs.chosen[name], Tried(**attempt._asdict(), audit_tried=self.audits_tried.get(name))
            sync_at = sync_due(name, connection.schedule, zone, tried)
            audit_at = audit_due(name, connection.audit_schedule, zone, tried)
            syncs = (JobKind.SYNC,) if sync_at is None or sync_at <= now else ()
            due[name] = (*syncs, JobKind.AUDIT) if audit_at is not None and audit_at <= now else syncs
        return due

    async def _repeat(self, action: Callable[[], Awaitable[None]], *, every: timedelta) -> None:
        while True:
            await action()
            await asyncio.sleep(every.total_seconds())

    async def _wait_for_stop(self) -> None:
        while not self.stop.is_set():
            self.beat()
            await asyncio.sleep(LOOK_FOR_STOP)
