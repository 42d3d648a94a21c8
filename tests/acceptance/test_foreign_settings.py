"""The database is not ours alone: whatever it or the role sets, and whoever gets in a page's way, every command works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.process import Program, held_and_true, hourly, rows
from tests.acceptance.stage import START, Stage, quiet_history

SETTINGS = {
    "datestyle": "'SQL, DMY'",
    "intervalstyle": "iso_8601",
    "timezone": "'Asia/Kathmandu'",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "search_path": "sync",
    "standard_conforming_strings": "off",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "lock_timeout": "'1ms'",
    "row_security": "on",
    "client_encoding": "latin1",
    "jit_above_cost": "0",
    "idle_in_transaction_session_timeout": "'1ms'",
}


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program before four providers with 12 calls each."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path)
        hourly(program, calls=12)
        yield program


def test_settings_of_the_database(program: Program) -> None:
    """Every command works with settings of others, and says the same."""
    assert program.run("sync").code == 0
    before = {command: program.run(*command.split(), "--json").json for command in ("runs", "rejects")}
    (name,) = rows(program.url, "SELECT current_database()")[0]
    with psycopg.connect(program.url, autocommit=True) as session:
        for setting, value in SETTINGS.items():
            session.execute(f'ALTER DATABASE "{name}" SET {setting} = {value}'.encode())

    commands = (
        ["status"],
        ["audit"],
        ["replay"],
        ["sync", "--full"],
        ["check"],
        ["sql", "SELECT now(), interval '1 day', 1.5::float8"],
    )
    ended = {command[0]: program.run(*command) for command in commands}

    assert {command: (one.code, one.lines if command != "sql" else []) for command, one in ended.items()} == dict.fromkeys(
        ended, (0, [])
    )
    assert program.run("rejects", "--json").json == before["rejects"]
    assert program.run("runs", "--json").json["runs"][-4:] == before["runs"]["runs"]
    with psycopg.connect(program.url, autocommit=True) as session:
        session.execute(f'ALTER DATABASE "{name}" RESET ALL'.encode())
    held, true = held_and_true(program)
    assert held == true


TROUBLE = """
CREATE SEQUENCE trouble_met;
CREATE FUNCTION make_trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('trouble_met') BETWEEN {first} AND {last} THEN
        RAISE EXCEPTION 'made up' USING ERRCODE = '{code}';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER trouble AFTER INSERT ON calls DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION make_trouble();
"""
"""Transactions that fail on commit, after everything in them went well."""


def spoil_commits(stage: Stage, *, code: str, first: int, last: int) -> None:
    """Let the transactions that insert the `first` to the `last` call fail on commit."""
    with psycopg.connect(stage.url, autocommit=True) as session:
        session.execute(TROUBLE.format(code=code, first=first, last=last).encode())


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_a_page_that_collides_on_commit_is_written_again(stage: Stage, code: str) -> None:
    """The whole page is done again, and is counted once."""
    stage.history.add("krosai", number=30, at=START)
    spoil_commits(stage, code=code, first=1, last=3)

    outcome = stage.sync("krosai")

    assert (outcome.error, outcome.counters.inserted, outcome.counters.records_seen) == (None, 30, 30)
    assert stage.rows("SELECT status, inserted, records_seen, pages FROM sync.runs") == [
        {"status": "succeeded", "inserted": 30, "records_seen": 30, "pages": outcome.counters.pages}
    ]
    assert stage.rows("SELECT count(*) AS held FROM calls") == [{"held": 30}]


def test_what_was_not_committed_is_not_counted(stage: Stage) -> None:
    """Pages are committed until one fails for good on its commit: the run has counted those that are held."""
    stage.settings["krosai"] = {"per_page": 10}
    stage.history.add("krosai", number=30, at=START)
    spoil_commits(stage, code="P0001", first=21, last=100)

    outcome = stage.sync("krosai")

    assert outcome.error is not None
    (held,) = stage.rows("SELECT count(*) AS held FROM calls")
    assert 0 < held["held"] < 30
    assert stage.rows("SELECT status, inserted AS held FROM sync.runs") == [{"status": "failed", **held}]
