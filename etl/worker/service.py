"""
One worker process at work: looks what is due, queues it, does what the queue hands out, and clears away what killed workers left.

Its loops run side by side in one thread, and jobs in a pool of threads. If the database goes away, all of it ends and is begun
again (`etl.worker.process`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from threading import Event
from typing import Any

from procrastinate.exceptions import ConnectorException

from etl.config import Settings
from etl.effects import Effects
from etl.errors import AccountBusy, AlreadyRunning, EtlError, WarehouseError
from etl.log import Logger
from etl.warehouse.privacy.erasures import known_connections
from etl.warehouse.pruning import prune
from etl.warehouse.reports.queue import held_up, waiting
from etl.wiring import Opened
from etl.worker.jobs import Jobs, jobs_of
from etl.worker.look import AfterTick, Look, look
from etl.worker.queue import Job, JobKind, Queue, Rhythm
from etl.worker.watchdog import Pulse
from etl.worker.web.meters import Meters

log = Logger(__name__)

LOOK_FOR_STOP = timedelta(seconds=0.2)
"""Within this time a request to stop is noticed."""

PRUNE_EVERY = timedelta(days=1)

ERASE_EVERY = timedelta(hours=1)
"""How often it is looked what is to be erased: a connection that was busy has its turn then."""

ROUNDS = 2
"""How often `--once` looks what is due: a first audit is due once the first sync got through."""

Loop = Coroutine[Any, Any, None]


class DatabaseLost(Exception):
    """The queue's library has ended its work because the database is gone; the warehouse may say more."""


@dataclass(slots=True, kw_only=True)
class Memory:
    """
    What a worker process remembers, also while its database is away; if it is lost, something is tried once more.

    `audits_tried`: when an audit of a connection was begun last. `pruned`: when old records were removed last; both by the
    database's clock. `told`: the code of a connection's last error, which is logged once. `codes`: the exit codes of jobs.
    """

    audits_tried: dict[str, datetime] = field(default_factory=dict)
    pruned: datetime | None = None
    told: dict[str, str] = field(default_factory=dict)
    codes: set[int] = field(default_factory=set)


@dataclass(kw_only=True)
class Service:
    """
    What one worker does with an open warehouse, until `stop` is set: then it finishes the pages at work.

    `halt` is set by the service when its jobs have to end, and ends the waits of its `effects`. `pulse` is told that its loops
    go on; `after_tick` is what else is to be done after every tick, in this order.
    """

    settings: Settings
    opened: Opened
    effects: Effects
    stop: Event
    halt: Event
    rhythm: Rhythm
    pulse: Pulse
    memory: Memory
    meters: Meters
    after_tick: Sequence[AfterTick] = ()
    done: int = 0

    def serve(self) -> None:
        """Work until told to stop. Raises DatabaseLost and WarehouseError."""

        def loops(jobs: Jobs, queue: Queue) -> list[Loop]:
            return [
                self._work(queue, wait=True),
                self._repeat("ticks", lambda: self._tick(jobs, queue), every=self.rhythm.tick),
                self._repeat("rescue", lambda: self._rescue(queue), every=self.rhythm.rescue),
                self._repeat(
                    "erase", lambda: asyncio.to_thread(self._safely, "erase", lambda: self._erase(jobs)), every=ERASE_EVERY
                ),
            ]

        self._run(loops)
        if not self.stop.is_set():
            raise DatabaseLost

    def once(self) -> None:
        """Do what is due, and what others left in the queue, and return. Raises DatabaseLost and WarehouseError."""
        self._run(lambda jobs, queue: [self._once(jobs, queue)])

    # ── Loops ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self, loops: Callable[[Jobs, Queue], list[Loop]]) -> None:
        """Run loops side by side until one of them ends, or this worker is told to stop; then end all of them, and the jobs."""
        with (
            jobs_of(self.settings, self.opened, effects=self.effects, stop=self.halt, waited=self.meters.waited) as jobs,
            self.effects.threads.pool("job", self.settings.worker.concurrency) as threads,
            asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner,  # psycopg does not work with Windows's default
        ):
            runner.run(self._side_by_side(loops, jobs, threads))

    async def _side_by_side(self, loops: Callable[[Jobs, Queue], list[Loop]], jobs: Jobs, threads: Executor) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_unheard)

        async def do(kind: JobKind, connection: str) -> None:
            await loop.run_in_executor(threads, self._do, jobs, kind, connection)

        queue = Queue(self.opened.conninfo, work=do, rhythm=self.rhythm)
        try:
            async with queue.opened():
                tasks = [asyncio.create_task(one) for one in (self._wait_for_stop(), *loops(jobs, queue))]
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    self.halt.set()
                    if self.stop.is_set():
                        log.info("worker.stopping")
                    self.pulse.beat("stop", within=self.settings.worker.stop_after)
                    for task in tasks:
                        task.cancel()
                    ended = await asyncio.gather(*tasks, return_exceptions=True)
            failures = [one for one in ended if isinstance(one, Exception)]
            if failures and not self.stop.is_set():
                raise next((one for one in failures if isinstance(one, WarehouseError)), failures[0])
        except ConnectorException as lost:
            raise DatabaseLost from lost

    async def _once(self, jobs: Jobs, queue: Queue) -> None:
        await self._rescue(queue)
        for _ in range(ROUNDS):
            await self._look_and_queue(jobs, queue)
            before = -1
            while before != self.done and not self.stop.is_set():  # of one account a round does one job
                before = self.done
                await self._work(queue, wait=False)
        if not self.stop.is_set():
            await asyncio.to_thread(self._finally, jobs)

    async def _work(self, queue: Queue, *, wait: bool) -> None:
        worker = self.settings.worker
        await queue.work(concurrency=worker.concurrency, stop_after=worker.stop_after, wait=wait)

    async def _repeat(self, name: str, action: Callable[[], Awaitable[None]], *, every: timedelta) -> None:
        try:
            while True:
                self.pulse.beat(name, within=every)
                await action()
                self.pulse.beat(name, within=every)
                await asyncio.sleep(every.total_seconds())
        finally:
            self.pulse.rest(name)

    async def _wait_for_stop(self) -> None:
        while not self.stop.is_set():
            self.pulse.beat("stop")
            await asyncio.sleep(LOOK_FOR_STOP.total_seconds())

    # ── What the loops do ───────────────────────────────────────────────────────────────────────────────────────────

    async def _look_and_queue(self, jobs: Jobs, queue: Queue) -> Look:
        """Queue what is due and does not wait already."""
        seen, queued = await asyncio.to_thread(self._look_around, jobs)
        due = (
            Job(kind=kind, connection=name, lock=jobs.lock(name))
            for name, standing in seen.connections.items()
            for kind in standing.due(seen.now)
        )
        await queue.put([job for job in due if job.queueing_lock not in queued])
        return seen

    async def _tick(self, jobs: Jobs, queue: Queue) -> None:
        seen = await self._look_and_queue(jobs, queue)
        await asyncio.to_thread(self._afterwards, seen)

    def _look_around(self, jobs: Jobs) -> tuple[Look, frozenset[str]]:
        for lock in held_up(self.opened.database):
            jobs.want(lock)
        return self._look(jobs, tuple(jobs.chosen)), waiting(self.opened.database)

    def _look(self, jobs: Jobs, names: Sequence[str]) -> Look:
        return look(
            self.opened.database,
            jobs.chosen,
            names,
            zone=self.settings.warehouse.reporting_timezone,
            audits_tried=self.memory.audits_tried,
        )

    def _afterwards(self, seen: Look) -> None:
        if self.memory.pruned is None or seen.now - self.memory.pruned >= PRUNE_EVERY:
            self.memory.pruned = seen.now
            self._safely("prune", self._prune)
        for one in self.after_tick:
            self._safely("after_tick", lambda: one(seen))  # noqa: B023 - called at once

    def _finally(self, jobs: Jobs) -> None:
        self._safely("erase", lambda: self._erase(jobs))
        self._afterwards(self._look(jobs, tuple(jobs.chosen)))

    def _prune(self) -> None:
        kept = self.settings.retention
        removed = prune(
            self.opened.database, runs_after=kept.runs, audits_after=kept.audits, jobs_after=kept.jobs, stop=self.halt
        )
        if any(one.rows for one in removed):
            log.info("worker.pruned", **{one.relation: one.rows for one in removed if one.rows})

    async def _erase_beside(self, jobs: Jobs) -> None:
        self.pulse.beat("erase", within=PRUNE_EVERY)  # a connection with many calls may take hours
        await asyncio.to_thread(self._safely, "erase", lambda: self._erase(jobs))

    def _erase(self, jobs: Jobs) -> None:
        """Cut what has become too old, and what an `etl forget` could not go through; a busy connection has its turn later."""

        def one(name: str, provider: str) -> None:
            ended = jobs.erase(name, provider)
            if ended.error is not None and not isinstance(ended.error, AlreadyRunning):
                raise ended.error
            if any(ended.cutting):
                log.info("worker.erased", connection=name, **ended.cutting._asdict())

        for known in known_connections(self.opened.database):
            if not self.halt.is_set():
                self._safely("erase", partial(one, known.connection, known.provider), connection=known.connection)

    async def _rescue(self, queue: Queue) -> None:
        for job in await queue.rescue():
            log.warning("job.rescued", job=job.kind.value, connection=job.connection)

    def _do(self, jobs: Jobs, kind: JobKind, name: str) -> None:
        """Do a job, in a thread. It may have been done meanwhile, or belong to a worker that has another configuration."""
        self.done += 1
        if name in jobs.chosen and not self.halt.is_set():
            self._safely(kind.value, lambda: self._attempt(jobs, kind, name), connection=name)

    def _attempt(self, jobs: Jobs, kind: JobKind, name: str) -> None:
        seen = self._look(jobs, (name,))
        if kind not in seen.connections[name].due(seen.now):
            return
        if kind is JobKind.AUDIT:
            self.memory.audits_tried[name] = seen.now
        ended = (jobs.audit if kind is JobKind.AUDIT else jobs.sync)(name)
        self.memory.codes.add(ended.code)
        if isinstance(ended.error, AlreadyRunning | AccountBusy):
            self.meters.not_begun(name, ended.error.code)
        self._tell(kind, name, ended.error)

    def _tell(self, kind: JobKind, name: str, error: EtlError | None) -> None:
        """Log an error in the words of the command line, once as long as it stays the same."""
        if error is None:
            self.memory.told.pop(name, None)
        elif self.memory.told.get(name) != error.code:
            self.memory.told[name] = error.code
            log.warning("job.ended", job=kind.value, connection=name, code=error.code, error=str(error))

    def _safely(self, what: str, action: Callable[[], None], **of: str) -> None:
        """Do what must not end the worker: what goes wrong is logged."""
        try:
            action()
        except EtlError as error:
            self.memory.codes.add(error.exit_code)
            log.warning("job.ended", job=what, code=error.code, error=str(error), **of)
        except Exception:  # noqa: BLE001 - one connection must not end the others
            self.memory.codes.add(1)
            log.fault("job.fault", job=what, **of)


def _unheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what a task of the queue's library ended with: where a session was lost, what it was about is seen to by `rescue`."""
    if isinstance(context.get("exception"), ConnectorException):
        log.warning("queue.session_lost")
    else:
        loop.default_exception_handler(context)
