"""Whatever goes wrong with a connection, its name is said exactly once: by sync, status, audit, replay and check alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from etl.system import SystemThreads
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from tests.acceptance.cast import NAMES
from tests.acceptance.process import Program, hourly, rows
from tests.acceptance.stage import quiet_history


@pytest.fixture(params=["a", "list", "connection"])
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Call the connection by a letter or a word that many sentences hold anyway."""
    monkeypatch.setitem(NAMES, "krosai", request.param)
    return str(request.param)


@pytest.fixture
def program(name: str, database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program with this one connection, synced once."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=("krosai",))
        hourly(program, calls=3)
        assert program.run("sync").code == 0, name
        yield program


def test_a_credential_that_is_refused(program: Program, name: str) -> None:
    """Every command that asks the provider tells the same sentence, and so do the stored run and the status."""
    program.settings["krosai"]["token"] = "made-up-token-that-nobody-knows"
    said = f"Connection {name}: KrosAI does not accept the credential (HTTP 401: “Invalid API key [INVALID_API_KEY]”)."

    for command in (["sync"], ["audit"], ["audit", "--repair"], ["check"]):
        ended = program.run(*command)
        assert (ended.code, ended.lines[0], ended.err.count("Connection ")) == (1, said, 1), command
    for command in (["sync", "--json"], ["audit", "--json"], ["audit", "--repair", "--json"], ["check", "--json"]):
        assert program.run(*command).out.count(said) == 1, command
    stored = rows(program.url, "SELECT DISTINCT error_message FROM sync.runs WHERE error_message IS NOT NULL")
    assert [(text.split(" KrosAI")[0], text.count("Connection ")) for (text,) in stored] == [(f"Connection {name}:", 1)]
    assert [line for line in program.run("status").out.splitlines() if "credential" in line] == [stored[0][0]]


def test_another_run_at_work(program: Program, name: str) -> None:
    """Who comes second is told for which connection, whatever it wanted."""
    with Database(program.url) as database, Locks(database, SystemThreads()) as locks:
        assert locks.try_acquire(name)
        told = {command: program.run(*command.split()) for command in ("sync", "audit", "audit --repair", "replay")}
        locks.release(name)

    said = [f"Connection {name}: another run is working on it.", "Nothing was touched."]
    assert {command: (ended.code, ended.lines[:2]) for command, ended in told.items()} == dict.fromkeys(told, (3, said))


def test_a_connection_that_was_never_synced(program: Program, name: str) -> None:
    """An audit names it, though it asked nobody."""
    with Database(program.url) as database, database.begin() as session:
        session.exec_driver_sql("TRUNCATE sync.connections")

    ended = program.run("audit")

    assert (ended.code, ended.lines) == (
        2,
        [f"Connection {name}: it was never synced, so there is nothing to audit.", "Nothing was asked.", f"Run: etl sync {name}"],
    )
