"""A worker's work: what is due is done, and nothing else; on a real queue, against real providers over HTTP."""

from __future__ import annotations

import threading
from datetime import timedelta
from threading import Event, Thread
from typing import Any

import pytest
from procrastinate.exceptions import ConnectorException
from procrastinate.manager import JobManager

from etl.errors import WarehouseError
from etl.worker.look import Look
from etl.worker.service import Memory, Service
from tests.acceptance.cast import USUAL
from tests.acceptance.process import PATIENCE, wait_until
from tests.acceptance.stage import START, Stage
from tests.acceptance.working import age, audited, runs, service

QUARTER = timedelta(minutes=17)
"""A quarter of an hour, and the longest part of it by which a connection may be moved."""


def begun(worker: Service) -> Thread:
    """Let a worker serve in a thread."""
    thread = Thread(target=worker.serve)
    thread.start()
    return thread


def ended(thread: Thread, stop: Event) -> None:
    """Tell a worker to stop, and wait for it."""
    stop.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def waiting(stage: Stage) -> list[tuple[Any, ...]]:
    """Return what stands in the queue."""
    rows = stage.rows("SELECT args ->> 'connection' AS name, task_name, status::text FROM jobs.procrastinate_jobs ORDER BY id")
    return [tuple(row.values()) for row in rows]


def put(stage: Stage, connection: str, task: str = "sync") -> None:
    """Queue a job as another worker would."""
    job = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args)
    VALUES ('calls', %(task)s, %(lock)s, %(queueing)s, jsonb_build_object('connection', %(name)s::text))
    """
    with stage.database.begin() as session:
        session.exec_driver_sql("SET LOCAL search_path TO jobs")
        given = {"task": task, "lock": connection, "queueing": f"{task} {connection}", "name": connection}
        session.exec_driver_sql(job, given)


# ── What is due ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_everything_is_due_at_first_and_nothing_afterwards(stage: Stage) -> None:
    """Each connection is synced and then audited; a second worker asks no provider for anything."""
    for provider in ("tuple", "salpre", "krosai"):
        stage.history.add(provider, number=5, at=START - timedelta(days=2))
    stage.history.advance(timedelta(minutes=50))

    service(stage).once()

    assert sorted(runs(stage)) == sorted((name, "sync", "worker", "succeeded") for name in USUAL.values())
    assert (audited(stage), waiting(stage)) == (sorted(USUAL.values()), [])

    age(stage, by=timedelta())
    stage.sandbox.clear_requests()
    service(stage).once()
    assert (len(runs(stage)), stage.sandbox.requests()) == (len(USUAL), [])


def test_each_connection_goes_by_its_own_schedule(stage: Stage) -> None:
    """Every quarter of an hour three are synced, every hour the fourth."""
    stage.settings["krosai"] = {"schedule": "0 0 1 1 *"}
    memory = Memory()
    service(stage, memory=memory).once()
    for _ in range(3):
        age(stage, by=QUARTER)
        service(stage, memory=memory).once()

    synced = [name for name, kind, _, status in runs(stage) if (kind, status) == ("sync", "succeeded")]
    assert {name: synced.count(name) for name in USUAL.values()} == {"pairing": 4, "voice": 4, "devices": 4, "telephony": 1}


def test_a_failing_connection_backs_off_and_starves_nobody(stage: Stage) -> None:
    """In three hours of ticks it is tried less and less, and the others every time; mended, it is on time again."""
    stage.settings["tuple"] = {"token": "made-up-token-that-nobody-knows"}
    memory = Memory()
    tried = []
    for _ in range(13):
        before = len(runs(stage))
        service(stage, memory=memory).once()
        new = runs(stage)[before:]
        tried.append(("pairing", "sync", "worker", "failed") in new)

        assert sorted(name for name, _, _, status in new if status == "succeeded") == ["devices", "telephony", "voice"]
        age(stage, by=QUARTER)
    assert tried[:2] == [True, True]
    assert sum(tried) in range(4, 8)  # by when the quarters fall
    assert audited(stage) == ["devices", "telephony", "voice"]
    assert memory.codes == {0, 1}

    del stage.settings["tuple"]
    age(stage, by=timedelta(hours=7))
    for _ in range(2):
        service(stage, memory=memory).once()
        age(stage, by=QUARTER)
    assert [status for name, _, _, status in runs(stage) if name == "pairing"][-2:] == ["succeeded", "succeeded"]


def test_what_was_queued_and_is_not_due_any_more_is_not_done(stage: Stage) -> None:
    """By a worker that looked at the same time, or has another configuration; nothing is left of it."""
    service(stage).once()
    age(stage, by=timedelta())
    stage.sandbox.clear_requests()
    for name in (*USUAL.values(), "nobody_knows"):
        put(stage, name)
        put(stage, name, "audit")

    service(stage).once()
    assert (len(runs(stage)), stage.sandbox.requests(), waiting(stage)) == (4, [], [])


def test_the_connections_of_one_account_are_worked_on_one_after_the_other(stage: Stage) -> None:
    """Two of four have one token: while one waits for its provider the other waits in the queue, and it is known that it does."""
    stage.settings["krosai"] = {"provider": "tuple", "token": stage.sandbox.tokens["tuple"]}
    stage.settings["krosai"]["base_url"] = stage.sandbox.url("tuple")
    held, answer, stop = Event(), Event(), Event()

    def hold(entry: Any) -> None:
        if entry.provider == "tuple" and not held.is_set():
            held.set()
            answer.wait(PATIENCE)

    stage.sandbox.on_request = hold
    thread = begun(service(stage, stop=stop))
    assert held.wait(PATIENCE)
    wait_until(stage.url, "SELECT count(*) = 2 FROM sync.runs WHERE status = 'succeeded'")
    assert [row["status"] for row in stage.rows("SELECT status FROM sync.runs WHERE connection IN ('pairing', 'telephony')")] == [
        "running"
    ]
    wait_until(stage.url, "SELECT count(DISTINCT args) = 2 FROM jobs.procrastinate_jobs WHERE task_name = 'sync'")
    wait_until(stage.url, "SELECT count(*) = 1 FROM sync.allowances WHERE wanted_at IS NOT NULL")
    answer.set()
    wait_until(stage.url, "SELECT count(*) = 4 FROM sync.runs WHERE status = 'succeeded'")
    ended(thread, stop)
    assert {error for (error,) in ((row["error_code"],) for row in stage.rows("SELECT error_code FROM sync.runs"))} == {None}


# ── What goes on beside ─────────────────────────────────────────────────────────────────────────────────────────────


def test_old_records_are_removed_once_a_day(stage: Stage) -> None:
    """At the first tick of a process, and then after a day by the database's clock; not at every tick."""
    memory = Memory()
    old = """
    INSERT INTO sync.runs (connection, trigger, kind, status, started_at)
    VALUES ('gone', 'cli', 'replay', 'failed', '2020-01-01') RETURNING id
    """
    stage.rows("INSERT INTO sync.connections (connection, provider) VALUES ('gone', 'acme') RETURNING 1 AS one")
    left = "SELECT count(*) AS left FROM sync.runs WHERE connection = 'gone'"
    for _ in range(2):
        stage.rows(old)
    service(stage, memory=memory).once()
    assert stage.rows(left) == [{"left": 1}]  # a connection's newest run stays

    for _ in range(2):
        stage.rows(old)
    service(stage, memory=memory).once()
    assert stage.rows(left) == [{"left": 3}]

    assert memory.pruned is not None
    memory.pruned -= timedelta(days=1)
    service(stage, memory=memory).once()
    assert stage.rows(left) == [{"left": 1}]  # a connection's newest run stays


def test_what_is_called_after_a_tick_sees_how_everything_stands(stage: Stage) -> None:
    """Each in its turn, once everything that was due is done; one that fails ends nothing, and its secrets stay secret."""
    seen: list[Look] = []

    def fails(_look: Look) -> None:
        raise ValueError("a fault")

    def refuses(_look: Look) -> None:
        raise WarehouseError("it could not be asked.", safe="Nothing.", hint="Nothing.")

    def looks(look: Look) -> None:
        seen.append(look)

    service(stage, after_tick=(fails, refuses, looks)).once()

    (look,) = seen
    assert sorted(look.connections) == sorted(USUAL.values())
    tried = [one.tried for one in look.connections.values()]
    assert [(one.failures, one.succeeded == one.began) for one in tried] == [(0, True)] * 4
    assert all(one.sync_at is not None and one.sync_at > look.now for one in look.connections.values())


def test_a_job_whose_end_could_not_be_told_blocks_its_connection_no_longer_than_a_moment(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is lost that was to say so, and the worker lives on: it finds its own job, and the next one is done."""
    stage.providers = ("salpre",)
    finish, lost = JobManager.finish_job, []

    async def finish_job(manager: JobManager, job: Any, **given: Any) -> None:
        if not lost:
            lost.append(job.task_name)
            raise ConnectorException
        await finish(manager, job, **given)

    monkeypatch.setattr(JobManager, "finish_job", finish_job)
    stop = Event()
    thread = begun(service(stage, stop=stop))
    wait_until(stage.url, "SELECT count(*) = 1 FROM sync.runs WHERE status = 'succeeded'")
    age(stage, by=QUARTER)
    wait_until(stage.url, "SELECT count(*) = 2 FROM sync.runs WHERE status = 'succeeded'")
    ended(thread, stop)

    assert lost == ["sync"]
    assert ("devices", "sync", "failed") in waiting(stage)


def test_a_worker_that_serves_leaves_no_thread_and_no_session(stage: Stage) -> None:
    """And its loops show that they go on, as long as it serves."""
    sessions = "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND application_name ~ 'etl worker'"
    before = {thread.name for thread in threading.enumerate()}
    stop = Event()
    worker = service(stage, stop=stop)
    thread = begun(worker)
    wait_until(stage.url, "SELECT count(*) = 4 FROM sync.runs WHERE status = 'succeeded'")
    assert worker.pulse.overdue < timedelta(seconds=60)
    ended(thread, stop)

    assert {thread.name for thread in threading.enumerate()} - before == set()
    wait_until(stage.url, sessions)  # a server ends them after their client
    assert stage.rows("SELECT count(*) AS n FROM jobs.procrastinate_workers") == [{"n": 0}]
