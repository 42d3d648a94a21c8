"""Others hold locks on the warehouse: nothing waits for them unseen or for ever, and nobody waits long behind us."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from etl.warehouse import schema
from etl.warehouse.database import Database
from tests.acceptance.process import Ended, Program, hourly, rows, wait_until
from tests.acceptance.stage import quiet_history

WAITS = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'call-warehouse'
    AND wait_event_type = 'Lock')
"""
GONE = """
SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'call-warehouse')
"""


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program before Salpre with 12 calls, on a warehouse of the newest version."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=("salpre",))
        hourly(program, calls=12)
        yield program


@pytest.fixture
def older(program: Program) -> Program:
    """Give the program on a warehouse of the first version."""
    with Database(program.url) as database:
        schema.downgrade(database, "0001")
    return program


@pytest.fixture
def idle(program: Program) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Give a dashboard's session, which is in a transaction and does nothing."""
    session = psycopg.connect(program.url, application_name="a dashboard")
    yield session
    session.close()


def instants_left_out(ended: Ended) -> list[str]:
    """Return what a user reads, without the time of day."""
    return [re.sub(r"since [-0-9]+ [:0-9]+ UTC", "since THEN UTC", line) for line in ended.lines]


def version(url: str) -> object:
    """Return the version of the schema."""
    return rows(url, "SELECT version_num FROM sync.alembic_version")[0][0]


def test_migrate_behind_an_idle_reader(older: Program, idle: psycopg.Connection[tuple[object, ...]]) -> None:
    """It gives up after some tries and names who is in its way; meanwhile another reader is served. Then all goes well."""
    idle.execute("SELECT FROM data_freshness")
    waiting = older.start("migrate")
    wait_until(older.url, WAITS)
    assert rows(older.url, "SELECT count(*) FROM data_freshness") == [(0,)]  # the lock that is waited for is in its way

    ended = older.wait(waiting)

    pid = idle.info.backend_pid
    who = f"process {pid} of the user postgres (a dashboard), idle in transaction, in its transaction since THEN UTC"
    name = idle.info.dbname
    assert (ended.code, ended.out, instants_left_out(ended)) == (
        1,
        "",
        [
            f"The database at postgresql+psycopg://postgres@/{name} is held up by {who}.",
            "Nothing was changed.",
            (
                f"Wait until it is done, or end it as an administrator: SELECT pg_terminate_backend({pid}); "
                "Then run again: etl migrate"
            ),
        ],
    )
    assert version(older.url) == "0001"
    (statement,) = re.findall(r"SELECT .*;", ended.lines[2])
    rows(older.url, statement)
    assert (older.run("migrate").code, version(older.url)) == (0, schema.head())


def test_a_reader_that_goes_in_time(older: Program, idle: psycopg.Connection[tuple[object, ...]]) -> None:
    """Migrate waits for a while, says for whom, and then does its work."""
    idle.execute("SELECT FROM data_freshness")
    waiting = older.start("migrate", stderr=None)
    wait_until(older.url, WAITS)
    idle.rollback()

    assert (older.wait(waiting).code, version(older.url)) == (0, schema.head())


def test_a_killed_migrate_leaves_the_queue(older: Program, idle: psycopg.Connection[tuple[object, ...]]) -> None:
    """The server ends what it did for the process that is gone, while the reader stays as it was."""
    idle.execute("SELECT FROM data_freshness")
    waiting = older.start("migrate")
    wait_until(older.url, WAITS)
    waiting.kill()
    older.wait(waiting)

    wait_until(older.url, GONE)
    assert idle.execute("SELECT count(*) FROM data_freshness").fetchone() == (0,)


def test_a_killed_sync_leaves_the_queue(program: Program, idle: psycopg.Connection[tuple[object, ...]]) -> None:
    """Its sessions would wait for minutes; the server looks every few seconds whether their client is still there."""
    idle.execute("LOCK TABLE calls")
    waiting = program.start("sync")
    wait_until(program.url, WAITS)
    waiting.kill()
    program.wait(waiting)

    wait_until(program.url, GONE)


@pytest.mark.parametrize("command", [["sync"], ["audit"], ["replay"], ["status"]], ids=lambda command: str(command[0]))
def test_a_wait_is_seen(program: Program, idle: psycopg.Connection[tuple[object, ...]], command: list[str]) -> None:
    """Every command says for whom it waits, while it waits, and ends well when the other one is done."""
    assert program.run("sync").code == 0
    idle.execute("LOCK TABLE calls")
    waiting = program.start(*command)
    assert waiting.stderr is not None
    said = next(line for line in waiting.stderr if "lock.waited_for" in line)  # while the lock is held
    idle.rollback()

    event = json.loads(said)
    (who,) = event["held_by"]
    assert (event["event"], event["level"]) == ("lock.waited_for", "warning")
    assert who.startswith(f"process {idle.info.backend_pid} of the user postgres (a dashboard), idle in transaction, in its ")
    assert program.wait(waiting).code == 0
