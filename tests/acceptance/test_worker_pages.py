"""`etl worker` serves its pages for as long as it lives: over its warehouse, whatever befalls that, and beside other workers."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from pathlib import Path

import httpx
import pytest

from etl.errors import AccountBusy
from etl.sandbox import NO_LIMITS, Sandbox
from etl.worker.jobs import Ended, Jobs
from tests.acceptance.pages import pages_over, parsed
from tests.acceptance.process import Program, execute, hourly, wait_until
from tests.acceptance.stage import Stage, quiet_history
from tests.acceptance.workers import WorkerProcess, worker
from tests.acceptance.working import DIED, service

FREE_PORT = "127.0.0.1:0"
ALL_PROVEN = "SELECT count(DISTINCT connection) = 2 FROM sync.audits"


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program before two providers with 10 calls each."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=("salpre", "krosai"))
        hourly(program, calls=10)
        yield program


@contextmanager
def working(program: Program) -> Iterator[tuple[WorkerProcess, httpx.Client]]:
    """Start a worker, and give it with a client of its pages."""
    with worker(program, listen=FREE_PORT) as process:
        address = process.event("web.listening")["address"]
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
            yield process, client


def test_a_worker_shows_what_it_does_until_it_is_told_to_stop(program: Program) -> None:
    """Health, metrics and page, of every connection that it synced and proved; then it ends as without pages."""
    with working(program) as (process, client):
        wait_until(str(program.url), ALL_PROVEN)
        alive, ready = client.get("/healthz"), client.get("/readyz")
        found = parsed(client.get("/metrics").text)
        page = client.get("/").text
        process.signal(signal.SIGTERM)
        ended = process.ended()

    assert (alive.status_code, alive.text) == (200, "The worker is alive.\n")
    assert (ready.status_code, ready.text.partition(":")[0]) == (200, "The worker works")
    both = {("devices",), ("telephony",)}
    assert {name: number for name, number in found["etl_runs"].items() if number} == {
        (name, "", "succeeded"): 1 for (name,) in both
    }
    assert found["etl_jobs_stalled"] == dict.fromkeys(both, 0)
    assert {name for name, *_ in found["etl_last_proof_timestamp_seconds"]} == {"devices", "telephony"}
    assert found["etl_throttled_seconds"].keys() == both
    assert "8 of 8 calls, " in page  # what is older than the lookback
    assert page.count("<dt>Next sync</dt><dd>in ") == 2
    assert ended.code == 0
    assert [event for event in process.events() if event["level"] == "error"] == []


def test_pages_outlive_the_warehouse(program: Program) -> None:
    """While it refuses everybody the worker is alive and not ready, and says why; afterwards it is again."""
    name = str(program.url).rpartition("/")[2].partition("?")[0]
    with working(program) as (_, client):
        wait_until(str(program.url), ALL_PROVEN)
        wait_until(str(program.url), "SELECT count(*) > 0 FROM jobs.procrastinate_workers")
        elsewhere = str(program.url).replace(f"/{name}", "/postgres", 1)
        execute(elsewhere, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        execute(elsewhere, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        answers = {path: client.get(path) for path in ("/healthz", "/readyz", "/metrics", "/")}
        execute(elsewhere, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        while (again := client.get("/readyz")).status_code != 200:
            assert again.text
        page = client.get("/")

    assert {path: answer.status_code for path, answer in answers.items()} == {
        "/healthz": 200,
        "/readyz": 503,
        "/metrics": 503,
        "/": 503,
    }
    assert "<h1>The warehouse cannot be read</h1>" in answers["/"].text
    assert page.status_code == 200


def test_a_second_worker_at_the_same_address_works_without_pages(program: Program) -> None:
    """It warns once, and what is due is done."""
    with working(program) as (_, client):
        program.environment["ETL_WORKER__LISTEN"] = f"127.0.0.1:{client.base_url.port}"
        ended = program.run("worker", "--once")
        assert (ended.code, "web." in ended.err) == (0, False)  # nobody has time to look at one that ends
        with worker(program, listen=f"127.0.0.1:{client.base_url.port}") as second:
            second.event("worker.started")
            second.signal(signal.SIGTERM)
            assert second.ended().code == 0

    events = [(one["level"], one["event"]) for one in islice(second.events(), 2)]
    assert events == [("warning", "web.not_listening"), ("info", "worker.started")]


def test_the_embedded_server_has_pages_too(program: Program) -> None:
    """They join it for each answer, and it ends with the worker."""
    program.url = None
    with tempfile.TemporaryDirectory(prefix="etl-") as name:
        Path(name).chmod(0o755)  # root's tests run the server under another account
        program.environment["ETL_WAREHOUSE__DATA_DIR"] = os.fspath(Path(name, "warehouse"))
        with working(program) as (process, client):
            while "8 of 8 calls, " not in (page := client.get("/")).text:
                assert page.status_code in (200, 503)
            process.signal(signal.SIGTERM)
            assert process.ended().code == 0

        assert not list(Path(name).rglob("postmaster.pid"))


def test_the_queue_is_measured(stage: Stage) -> None:
    """What waits, and what is held by a worker that shows no sign of life, by connection."""
    jobs = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args)
    VALUES ('calls', 'sync', 'a', 'sync pairing', '{"connection": "pairing"}'),
           ('calls', 'audit', 'a', 'audit pairing', '{"connection": "pairing"}'),
           ('calls', 'sync', 'b', 'sync voice', '{"connection": "voice"}'),
           ('calls', 'sync', 'c', 'sync devices', '{"connection": "devices"}')
    """
    with stage.database.begin() as session:
        session.exec_driver_sql("SET LOCAL search_path TO jobs")
        session.exec_driver_sql(jobs)
        for name in ("voice", "devices"):
            session.exec_driver_sql(
                "WITH w AS (INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id) UPDATE procrastinate_jobs "
                "SET status = 'doing', worker_id = (SELECT id FROM w) WHERE args ->> 'connection' = %(name)s",
                {"name": name},
            )
        session.exec_driver_sql(
            f"{DIED} WHERE id = (SELECT worker_id FROM procrastinate_jobs WHERE args ->> 'connection' = 'voice')"
        )
    with pages_over(stage.database, stage.configured(), clock=stage.clock) as pages:
        found, ready = pages.families(), pages.get("/readyz")
        with stage.database.begin() as session:
            session.exec_driver_sql(DIED)
        gone = pages.get("/readyz")

    none = {("devices",): 0, ("telephony",): 0}
    assert found["etl_queue_waiting"] == {**none, ("pairing",): 2, ("voice",): 0}
    assert found["etl_jobs_stalled"] == {**none, ("pairing",): 0, ("voice",): 1}
    assert ready.status_code == 200
    assert (gone.status_code, gone.text.partition(" for ")[0]) == (503, "No worker has shown a sign of life in the queue")


def test_what_a_worker_holds_back_and_does_not_begin_is_counted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds by the limiter's own account; runs that another process kept from being begun."""
    stage.settings = {"krosai": {"rate_limit": "1/min"}}
    stage.history.add("krosai", number=3, at=stage.history.now - timedelta(hours=3))
    sync = Jobs.sync

    def busy(jobs: Jobs, name: str) -> Ended:
        return Ended(code=3, error=AccountBusy("it is busy.")) if name == "pairing" else sync(jobs, name)

    monkeypatch.setattr(Jobs, "sync", busy)
    worker = service(stage)

    worker.once()
    meters = worker.meters

    assert meters.runs_not_begun()["pairing", "account_busy"] >= 1
    assert meters.throttled().keys() == {"telephony"}
    assert meters.throttled()["telephony"] > 60
