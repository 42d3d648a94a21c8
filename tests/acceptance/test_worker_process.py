"""A worker as a process that is killed, told to stop, loses its database, or finds none; nothing is lost, and nothing stuck."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import httpx
import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from etl.warehouse import schema
from etl.warehouse.database import Database
from tests.acceptance.forks import PATIENCE
from tests.acceptance.process import Hook, Program, execute, held_and_true, hourly, rows, wait_until
from tests.acceptance.server import OwnServer
from tests.acceptance.stage import quiet_history
from tests.acceptance.workers import worker
from tests.acceptance.working import DIED
from tests.postgres import Server

RUNS = "SELECT kind, trigger, status FROM sync.runs ORDER BY id"
QUEUED = "EXISTS (SELECT FROM jobs.procrastinate_jobs WHERE task_name = 'sync' AND status = 'todo')"
LATER = "UPDATE sync.runs SET started_at = started_at - interval '17 minutes'"
ALL_GOOD = "SELECT count(*) = 1 FROM sync.runs WHERE status = 'succeeded'"


@pytest.fixture
def program(database_url: str, tmp_path: Path, hook: Hook) -> Iterator[Program]:
    """Give the program before Salpre with 30 calls on pages of five."""
    with Sandbox(quiet_history(), limits=NO_LIMITS, on_request=hook) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=("salpre",))
        hourly(program)
        yield program


def test_a_killed_worker_whose_next_tick_is_queued(program: Program, hook: Hook) -> None:
    """`kill -9` in the middle of a page, with the next sync waiting: another worker frees it and goes on; nothing comes twice."""
    killed, answer = Event(), Event()

    def kill() -> None:
        wait_until(program.url, f"SELECT {QUEUED}")
        first.process.kill()
        killed.set()
        answer.wait(PATIENCE)

    hook.arm(3, kill)
    with worker(program) as first:
        assert killed.wait(PATIENCE)
        first.process.wait(PATIENCE)
    answer.set()
    execute(program.url, DIED)

    with worker(program) as second:
        wait_until(program.url, ALL_GOOD)
        wait_until(program.url, "SELECT count(*) = 0 FROM jobs.procrastinate_jobs WHERE status IN ('todo', 'doing')")
        listed = program.run("queue", "--json")
        second.signal(signal.SIGTERM)
        ended = second.ended()

    held, true = held_and_true(program)
    assert (ended.code, ended.lines, held) == (0, [], true)
    assert rows(program.url, RUNS) == [("sync", "worker", "crashed"), ("sync", "worker", "succeeded")]
    assert ("devices", "sync", "rescued") in [(one["connection"], one["job"], one["state"]) for one in listed.json["jobs"]]
    assert [one["alive"] for one in listed.json["workers"]] == [True]
    assert '"event": "job.rescued"' in ended.err


def test_a_worker_that_is_told_to_stop_finishes_its_page(program: Program, hook: Hook) -> None:
    """SIGTERM while a page is on its way: the page is committed, the run ends partial, the exit code is 0; the next goes on."""
    told = Event()

    def tell() -> None:
        wait_until(program.url, "SELECT max(pages) = 2 FROM sync.runs")
        first.signal(signal.SIGTERM)
        first.event("worker.stopping")
        told.set()

    hook.arm(3, tell)
    with worker(program) as first:
        assert told.wait(PATIENCE)
        ended = first.ended()

    assert (ended.code, ended.lines) == (0, [])
    assert rows(program.url, "SELECT status, error_code, pages FROM sync.runs") == [("partial", "interrupted", 3)]
    assert rows(program.url, "SELECT count(*) FROM jobs.procrastinate_workers") == [(0,)]

    execute(program.url, LATER)
    again = program.run("worker", "--once")
    held, true = held_and_true(program)
    assert (again.code, held) == (0, true)


def test_a_database_that_is_restarted_under_a_worker(
    postgres_server: Server, tmp_path: Path, program: Program, hook: Hook
) -> None:
    """In the middle of a page: the worker waits for it, goes on where it was, and does what is due later."""
    with OwnServer(postgres_server.programs) as server:
        program.url = server.url("warehouse")
        execute(server.url(), "CREATE DATABASE warehouse")
        with Database(program.url) as database:
            schema.migrate(database)
        restarted = Event()

        def restart() -> None:
            wait_until(program.url, "SELECT max(pages) = 2 FROM sync.runs")
            server.kill()
            server.start()
            restarted.set()

        hook.arm(3, restart)
        with worker(program) as survivor:
            assert restarted.wait(PATIENCE)
            server.wait_until_ready()
            execute(program.url, DIED)
            execute(program.url, LATER)  # a server that is back very soon may have been told that the run failed
            wait_until(program.url, ALL_GOOD)
            execute(program.url, LATER)
            wait_until(program.url, ALL_GOOD.replace("= 1", "= 2"))
            survivor.signal(signal.SIGTERM)
            ended = survivor.ended()

        held, true = held_and_true(program)
        assert (ended.code, held) == (0, true)
        assert rows(program.url, "SELECT count(*) FROM sync.runs WHERE status = 'running'") == [(0,)]


def test_no_database_at_the_start(program: Program, tmp_path: Path) -> None:
    """It is said at once, with what to do, and the exit code is 1: whoever started the worker is still looking."""
    program.url = f"postgresql://postgres@/warehouse?host={tmp_path}"

    for arguments in (("worker",), ("worker", "--once")):
        ended = program.run(*arguments)
        assert (ended.code, ended.out) == (1, "")
        assert ended.lines == [
            "No server answers at postgresql+psycopg://postgres@/warehouse.",
            "What was committed before stays.",
            "Start the server, or correct host and port in warehouse.url.",
        ]


def test_its_pages_are_served_beside_the_work(program: Program, hook: Hook) -> None:
    """While a page is on its way they answer: the worker is alive and ready, its run is counted; a free port is found."""
    answers: dict[str, tuple[int, str]] = {}
    asked = Event()

    def ask() -> None:
        address = serving.event("web.listening")["address"]
        with httpx.Client(base_url=address, trust_env=False, timeout=PATIENCE) as client:
            for path in ("/healthz", "/readyz", "/metrics", "/"):
                answer = client.get(path)
                answers[path] = (answer.status_code, answer.text)
        asked.set()

    hook.arm(3, ask)
    with worker(program, listen="127.0.0.1:0") as serving:
        assert asked.wait(PATIENCE)
        wait_until(program.url, ALL_GOOD)
        serving.signal(signal.SIGTERM)
        assert serving.ended().code == 0

    assert {path: code for path, (code, _) in answers.items()} == dict.fromkeys(answers, 200)
    assert "etl_queue_waiting" in answers["/metrics"][1]
    assert "devices" in answers["/"][1]


def test_once_ends_as_its_jobs_did(program: Program, empty_database_url: str) -> None:
    """It makes the schema of an empty warehouse; 0 where all is well, 1 where a connection failed."""
    program.url = empty_database_url
    good = program.run("worker", "--once")
    program.settings["salpre"]["token"] = "made-up-token-that-nobody-knows"
    execute(program.url, LATER)
    bad = program.run("worker", "--once")

    assert (good.code, good.lines, bad.code, bad.lines) == (0, [], 1, [])
    assert rows(program.url, RUNS) == [("sync", "worker", "succeeded"), ("sync", "worker", "failed")]
    assert rows(program.url, "SELECT verdict FROM sync.audits") == [("unverifiable",)]
    assert '"code": "authentication"' in bad.err


def test_the_queue_of_a_warehouse_with_no_worker(program: Program) -> None:
    """In words, and as a document."""
    told, document = program.run("queue"), program.run("queue", "--json")
    assert (told.code, told.out, told.err) == (0, "Workers alive: 0.\nNothing waits, nothing is at work.\n", "")
    assert (document.code, document.json) == (0, {"workers": [], "jobs": []})
