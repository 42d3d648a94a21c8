"""A process that is asked to stop, is stopped, or has nobody to talk to: nothing is lost, and a sentence says so."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Event

import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.process import PATIENCE, Hook, Program, content, execute, held_and_true, hourly, rows, wait_until
from tests.acceptance.stage import quiet_history

HOLDER = (
    "FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
IDLE = (
    "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' "
    "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


@pytest.fixture
def program(database_url: str, tmp_path: Path, hook: Hook) -> Iterator[Program]:
    """Give the program before Salpre with 30 calls on pages of five: the next page is fetched while one is loaded."""
    with Sandbox(quiet_history(), limits=NO_LIMITS, on_request=hook) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=("salpre",))
        hourly(program)
        yield program


def signalled(
    program: Program, hook: Hook, page: int, *signals: signal.Signals, release: Event | None = None
) -> subprocess.Popen[str]:
    """Start a sync, and send it signals when it waits for a page and has committed all before it."""
    started: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
    sent = Event()

    def send() -> None:
        process = started.get()
        if page > 1:
            wait_until(program.url, f"SELECT max(pages) = {page - 1} FROM sync.runs")
        wait_until(program.url, IDLE)
        for number in signals:
            process.send_signal(number)
        sent.set()
        if release is not None:
            release.wait()

    hook.arm(page, send)
    process = program.start("sync")
    started.put(process)
    assert sent.wait(PATIENCE)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sync_that_is_asked_to_stop_ends_after_the_page(program: Program, hook: Hook, number: signal.Signals) -> None:
    """Ctrl-C, or the SIGTERM of a scheduler: the page at hand is committed, a sentence says so, the next sync continues."""
    ended = program.wait(signalled(program, hook, 3, number))

    assert (ended.code, ended.lines) == (
        1,
        [
            "Connection devices: the sync was interrupted.",
            "Everything up to the last page is committed.",
            "The next sync continues there.",
        ],
    )
    assert rows(program.url, "SELECT status, error_code, pages FROM sync.runs") == [("partial", "interrupted", 3)]

    program.sandbox.clear_requests()
    again = program.run("sync")
    held, true = held_and_true(program)

    assert (again.code, again.lines, held) == (0, [], true)
    assert (
        len(program.sandbox.requests()) == 6
    )  # the newest page, one to land, three of the six that were left, and an empty one: the last is full


def test_a_second_ctrl_c_ends_at_once(program: Program, hook: Hook) -> None:
    """Also while the provider does not answer; the next sync notes the run as crashed and ends equal to the truth."""
    answer = Event()
    process = signalled(program, hook, 3, signal.SIGINT, release=answer)
    while process.poll() is None:  # two signals that come before the first is handled are one
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    ended = program.wait(process)
    answer.set()

    assert (ended.code, ended.lines) == (130, ["Interrupted. What was committed stays; the next sync continues there."])
    wait_until(program.url, f"SELECT count(*) = 0 {HOLDER}")
    again = program.run("sync")
    held, true = held_and_true(program)
    assert (again.code, again.lines, held) == (0, [], true)
    assert rows(program.url, "SELECT status FROM sync.runs ORDER BY id") == [("crashed",), ("succeeded",)]


def test_two_syncs_of_one_connection_at_once(program: Program, hook: Hook) -> None:
    """The first works on; the second says so at once, asks the provider nothing, writes nothing, and exits 3."""
    answer = Event()
    process = signalled(program, hook, 3, release=answer)
    before, requests = content(program.url), len(program.sandbox.requests())

    second = program.run("sync")

    assert (second.code, second.lines) == (
        3,
        [
            "Connection devices: another run is working on it.",
            "Nothing was touched.",
            "Wait for it to end (`etl runs` shows it).",
        ],
    )
    assert second.table[1][:3] == ["devices", "not", "run"]
    assert (content(program.url), len(program.sandbox.requests())) == (before, requests)
    answer.set()
    first = program.wait(process)
    held, true = held_and_true(program)
    assert (first.code, first.lines, held) == (0, [], true)


@pytest.mark.parametrize("page", [1, 3])
def test_a_stopped_process_that_was_taken_over_writes_nothing(program: Program, hook: Hook, page: int) -> None:
    """It loses its lock while it is stopped, another run takes over and ends, and it finds that out before it writes."""
    process = signalled(program, hook, page, signal.SIGSTOP)
    pid = rows(program.url, f"SELECT pid {HOLDER}")[0][0]
    execute(program.url, f"SELECT pg_terminate_backend({pid})")  # as `idle_session_timeout` does after a minute
    wait_until(program.url, f"SELECT count(*) = 0 {HOLDER}")
    successor = program.run("sync")
    held, true = held_and_true(program)
    before = content(program.url)

    process.send_signal(signal.SIGCONT)
    first = program.wait(process)

    assert (successor.code, held) == (0, true)
    assert (first.code, first.lines) == (
        3,
        [
            "Connection devices: another run has taken over.",
            "This run stopped writing; what it had committed stays, and the other run continues from there.",
            "Nothing needs to be done.",
        ],
    )
    assert content(program.url) == before
    assert rows(program.url, "SELECT status FROM sync.runs ORDER BY id") == [("crashed",), ("succeeded",)]
