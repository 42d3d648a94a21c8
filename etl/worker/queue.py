"""
The queue of jobs in the warehouse: one job is one attempt at one connection, and no job is ever tried again by the queue.

Jobs of one account run one after the other, on whichever machine, and of one connection no job waits twice. Whatever goes wrong
in a job is in `sync.runs` or in the log; the next tick is the retry.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import Job as Deferred
from procrastinate.jobs import Status

from etl.warehouse.queue_sessions import pool, set_up

SESSIONS = 4
"""The maximum number of the queue's own sessions; one more listens."""

QUEUE = "calls"


class JobKind(StrEnum):
    """What a job does for a connection."""

    SYNC = "sync"
    AUDIT = "audit"


PRIORITY = {JobKind.SYNC: 0, JobKind.AUDIT: -1}
"""What is taken first: fresh calls before proofs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be done, and for which connection. Of the jobs that have one `lock` in common, one at a time is at work."""

    kind: JobKind
    connection: str
    lock: str

    @property
    def queueing_lock(self) -> str:
        """What tells waiting jobs apart: of one connection, one of a kind waits."""
        return f"{self.kind} {self.connection}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """
    How often a worker shows that it is alive, and after how long it is taken for dead; how often it looks for jobs and what is
    due; and the first pause before a database that went away is tried again.
    """

    heartbeat: timedelta = timedelta(seconds=5)
    dead_after: timedelta = timedelta(seconds=15)
    rescue: timedelta = timedelta(seconds=15)
    poll: timedelta = timedelta(seconds=5)
    tick: timedelta = timedelta(seconds=15)
    again: timedelta = timedelta(seconds=1)


Work = Callable[[JobKind, str], Awaitable[None]]


class Queue:
    """The queue as one worker process sees it. What it cannot do raises ConnectorException, which is the library's."""

    def __init__(self, conninfo: str, *, work: Work, rhythm: Rhythm) -> None:
        """`work` does a job; it must not raise. Nothing is connected yet."""
        self._rhythm = rhythm
        self._app = App(
            connector=PsycopgConnector(
                conninfo=conninfo,
                min_size=1,
                max_size=SESSIONS,
                configure=set_up,
                reconnect_timeout=30,
                name="etl worker queue",
                pool_factory=pool,
            )
        )
        for kind in JobKind:
            self._app.task(name=kind.value, queue=QUEUE, pass_context=True)(self._task(kind, work))
        self._over: set[int] = set()  # jobs that were done since the last rescue, and …
        self._over_before: set[int] = set()  # … between the last two: the library has long said so, or it could not

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect for the block."""
        try:
            await self._app.open_async()
        except Exception as error:  # a pool that gets no session says so in words of its own
            raise ConnectorException from error
        try:
            yield
        finally:
            await self._app.close_async()

    async def put(self, jobs: Sequence[Job]) -> None:
        """Let jobs wait to be done, but for those that wait already."""
        if not jobs:
            return
        deferred = [self._deferred(job) for job in jobs]
        try:
            await self._app.job_manager.batch_defer_jobs_async(deferred)
        except AlreadyEnqueued:  # another worker was quicker with one of them, and so none was put there
            for one in deferred:
                with suppress(AlreadyEnqueued):
                    await self._app.job_manager.defer_job_async(one)

    def _deferred(self, job: Job) -> Deferred:
        task = self._app.configure_task(
            job.kind.value,
            queue=QUEUE,
            lock=job.lock,
            queueing_lock=job.queueing_lock,
            priority=PRIORITY[job.kind],
        )
        return task.make_new_job(connection=job.connection)

    async def work(self, *, concurrency: int, stop_after: timedelta, wait: bool) -> None:
        """
        Take jobs and do them, so many at once, until cancelled; without `wait` until none is left.

        Cancelled, it takes no more jobs, and waits as long as it may for those at work.
        """
        rhythm = self._rhythm
        await self._app.run_worker_async(
            queues=[QUEUE],
            name="etl",
            concurrency=concurrency,
            wait=wait,
            fetch_job_polling_interval=rhythm.poll.total_seconds(),
            shutdown_graceful_timeout=stop_after.total_seconds(),
            update_heartbeat_interval=rhythm.heartbeat.total_seconds(),
            stalled_worker_timeout=rhythm.dead_after.total_seconds(),
            delete_jobs="successful",  # what came of them stands in sync.runs
            install_signal_handlers=False,
        )

    async def rescue(self) -> list[Job]:
        """
        Finish jobs that would block their connections, as failed, and return them: those of workers that show no sign of life,
        and own ones that are over, though the library, whose session was lost just then, could not say so.

        They are not put back: the next tick knows better whether they are due, and it may have queued them already.
        """
        manager, dead_after = self._app.job_manager, self._rhythm.dead_after.total_seconds()
        await manager.prune_stalled_workers(dead_after)
        rescued = []
        for stalled in [*await manager.get_stalled_jobs(seconds_since_heartbeat=dead_after), *await self._unfinished()]:
            if stalled.id is None:
                continue
            with suppress(ConnectorException):  # another worker was quicker, or its own one is alive after all
                await manager.finish_job_by_id_async(stalled.id, Status.FAILED, delete_job=False)
                name = str(stalled.task_kwargs.get("connection", ""))
                rescued.append(Job(kind=JobKind(stalled.task_name), connection=name, lock=stalled.lock or ""))
        return rescued

    async def _unfinished(self) -> list[Deferred]:
        over, self._over_before, self._over = self._over_before, self._over, set()
        if not over:
            return []
        doing = await self._app.job_manager.list_jobs_async(queue=QUEUE, status=Status.DOING.value)
        return [job for job in doing if job.id in over]

    def _task(self, kind: JobKind, work: Work) -> Callable[..., Awaitable[None]]:
        async def run(context: JobContext, connection: str) -> None:
            try:
                await work(kind, connection)
            finally:
                if context.job.id is not None:
                    self._over.add(context.job.id)

        return run
