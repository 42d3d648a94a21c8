"""What else `etl sync` can be asked for: a rehearsal, one range again, everything again; and what comes after that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.cast import USUAL
from tests.acceptance.process import Program, content, execute, held_and_true, hourly, rows
from tests.acceptance.stage import quiet_history


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program before four providers with 12 calls each, over an empty warehouse."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path)
        hourly(program, calls=12)
        yield program


def test_a_dry_run_writes_nothing(program: Program) -> None:
    """It reads and compares: what is new is counted, and no row of any table differs afterwards, but that its requests count."""
    assert program.run("sync").code == 0
    for provider in program.providers:
        program.sandbox.history.add(provider, number=2)
    before = content(program.url)
    asked = dict(rows(program.url, "SELECT account, day_requests FROM sync.allowances"))

    ended = program.run("sync", "--dry-run")

    assert (ended.code, ended.lines) == (0, [])
    assert [(line[0], line[2]) for line in ended.table[1:5]] == [(name, "2") for name in USUAL.values()]
    assert ended.out.endswith("A dry run: nothing was written.\n")
    after = content(program.url)
    assert {table for table in after if after[table] != before[table]} == {"sync.allowances"}
    now_asked = dict(rows(program.url, "SELECT account, day_requests FROM sync.allowances"))
    assert sorted(now_asked[one] - asked[one] for one in asked) == sorted(int(line[6]) for line in ended.table[1:5])


def test_a_range_read_again(program: Program) -> None:
    """`--since` and `--until` read what lies between them: a call that was lost there comes back, one elsewhere does not."""
    assert program.run("sync").code == 0
    execute(program.url, "DELETE FROM calls WHERE cursor_at < '2026-03-01T05:30:00Z'")

    ended = program.run("sync", "--since", "2026-03-01T03:00:00Z", "--until", "2026-03-01T06:00:00Z", "pairing")

    assert (ended.code, ended.lines) == (0, [])
    lost = {call.id for call in program.sandbox.history.living("tuple")} - held_and_true(program)[0]["pairing"]
    assert len(lost) == 3  # those of the first three hours


@pytest.mark.parametrize("range_first", [["--since", "2026-03-01T09:00:00Z"], ["--until", "2026-02-28T12:00:00Z"]])
def test_everything_after_a_range(program: Program, range_first: list[str]) -> None:
    """A range that was read first does not stand in the way of the rest, however many pages lie before or after it."""
    hourly(program, calls=40)
    assert program.run("sync", *range_first).code == 0

    ended = program.run("sync")
    held, true = held_and_true(program)

    assert (ended.code, ended.lines, held) == (0, [], true)


def test_a_start_date_that_is_set_back(program: Program) -> None:
    """What lies between the new and the old one is read, and nothing else is read again."""
    hourly(program, calls=40)
    for provider in program.providers:
        program.settings[provider]["start_date"] = "2026-03-01"
    assert program.run("sync").code == 0
    for provider in program.providers:
        program.settings[provider]["start_date"] = "2026-02-01"

    ended = program.run("sync")
    held, true = held_and_true(program)

    assert (ended.code, ended.lines, held) == (0, [], true)


def test_everything_read_again_rewrites_nothing(program: Program) -> None:
    """`--full` reads every page, and writes no call that is as it was: not even a new version of its row."""
    assert program.run("sync").code == 0
    tuples = "SELECT connection, call_id, ctid::text, xmin::text FROM calls ORDER BY 1, 2"
    before = rows(program.url, tuples)

    ended = program.run("sync", "--full")

    assert (ended.code, ended.lines) == (0, [])
    assert [line[2:4] for line in ended.table[1:]] == [["0", "0"]] * 4
    assert rows(program.url, tuples) == before
    assert rows(program.url, "SELECT connection, records_seen >= 12 FROM sync.runs ORDER BY id DESC LIMIT 4") == [
        (name, True) for name, _ in rows(program.url, "SELECT connection, id FROM sync.runs ORDER BY id DESC LIMIT 4")
    ]
