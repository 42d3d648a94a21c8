"""Where the output cannot go, and what it may not do: closed and full streams, other encodings, terminals that obey."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.process import Ended, Program, held_and_true, hourly, rows
from tests.acceptance.stage import quiet_history
from tests.acceptance.test_process_output import on_a_terminal

FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
EVIL = "evil\x1b[2J\x9b31m\u202e\rforged"


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program before four providers with 12 calls each."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path)
        hourly(program, calls=12)
        yield program


def in_a_shell(program: Program, streams: str, *arguments: str) -> Ended:
    """Run a command in a shell that leads its streams elsewhere."""
    program.configure()
    line = f"exec {shlex.join(program.command(*arguments))} {streams}"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(["/bin/sh", "-c", line], env=program.surroundings(), text=True, encoding="utf-8", **pipes)  # type: ignore[call-overload]
    return program.wait(process)


@pytest.mark.parametrize(
    "streams",
    [
        pytest.param("2>/dev/full", marks=FULL),
        "2>&-",
        ">&-",
        ">&- 2>&-",
        "<&- >&- 2>&-",
        pytest.param(">/dev/full 2>/dev/full", marks=FULL),
        pytest.param(">&- 2>/dev/full", marks=FULL),
    ],
)
def test_streams_that_take_nothing(program: Program, streams: str) -> None:
    """Nothing that cannot be written ends or changes a sync, however much the log has to say."""
    program.sandbox.faults.add("status_500", provider="tuple", times=1)  # so that the log has something to say

    ended = in_a_shell(program, streams, "--verbose", "sync")

    assert ended.code == (2 if ">/dev/full 2" in streams else 0)
    held, true = held_and_true(program)
    assert held == true
    assert rows(program.url, "SELECT status, count(*) FROM sync.runs GROUP BY status") == [("succeeded", 4)]


def test_nobody_reads_the_log(program: Program) -> None:
    """A pipe that is closed behind standard error, as a `2>&1 | head` leaves it, changes nothing either."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = program.run("--verbose", "sync", stdout=writing, stderr=writing)
    finally:
        os.close(writing)

    assert ended.code == 0
    held, true = held_and_true(program)
    assert held == true


@pytest.mark.parametrize("encoding", ["ascii", "ascii:strict"])
def test_an_encoding_that_cannot_hold_a_name(program: Program, encoding: str) -> None:
    """What cannot be shown is escaped, in a table and in a document, and no command ends by it."""
    program.environment["PYTHONIOENCODING"] = encoding
    query = "SELECT 'Zoë 日本 😀' AS name"

    plain, document, wrong = program.run("sql", query), program.run("sql", "--json", query), program.run("sync", "Zoë日")

    assert (plain.code, wrong.code) == (0, 2)
    assert r"\u65e5\u672c \U0001f600" in plain.out
    assert document.json["rows"] == [["Zoë 日本 😀"]]
    assert r"\u65e5" in wrong.err


def test_what_a_provider_sent_is_shown_and_not_obeyed(program: Program) -> None:
    """An id, a reason, an error and a sample with control sequences: no command hands them to a terminal as they are."""
    assert program.run("sync").code == 0
    for statement in SPOILING:
        spoil(program, statement)

    for command in (
        ["status"],
        ["runs"],
        ["rejects", "--raw"],
        ["audit", "pairing"],
        ["sql", "SELECT call_id, end_reason FROM calls WHERE connection = 'pairing'"],
        ["sql", "SELECT call_id::int FROM calls WHERE connection = 'pairing'"],
        ["sync", EVIL],
        ["status", "--json"],
        ["audit", "pairing", "--json"],
    ):
        _, drawn = on_a_terminal(program, *command)
        assert not {"\x9b", "\u202e"} & set(drawn), command
        assert "\x1b[2J" not in drawn, command
        assert "\rforged" not in drawn, command
        assert "evil" in drawn or command == ["runs"], command


SPOILING = (
    """UPDATE calls SET call_id = %(evil)s, end_reason = %(evil)s
        WHERE connection = 'pairing' AND call_id = (SELECT min(call_id) FROM calls WHERE connection = 'pairing')""",
    "UPDATE sync.runs SET error_code = 'x', error_message = %(evil)s",
    """INSERT INTO sync.rejected_records
        (connection, stream, record_key, call_id, reason, raw_text, first_seen_at, last_seen_at, sightings)
        VALUES ('pairing', %(evil)s, %(evil)s, %(evil)s, 'missing_id', %(evil)s, now(), now(), 1)""",
    """INSERT INTO sync.schema_drift (connection, path, kind, sample, count, first_seen_at, last_seen_at)
        VALUES ('pairing', %(evil)s, 'new_field', %(evil)s, 1, now(), now())""",
)


def spoil(program: Program, statement: str) -> None:
    """Write something into the warehouse that a terminal would obey."""
    with psycopg.connect(program.url) as session:
        session.execute(statement.encode(), {"evil": EVIL})
