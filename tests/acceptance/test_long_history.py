"""However many runs, audits and rejects there were: the start of a run, and what operators look at, reads a few rows of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.process import Program, execute, hourly, rows, wait_until
from tests.acceptance.stage import quiet_history

RUNS = 50_000
HISTORY = f"""
INSERT INTO sync.runs (connection, trigger, kind, status, started_at, finished_at, requests, pages, late, max_lateness)
SELECT CASE n % 2 WHEN 0 THEN 'devices' ELSE 'other' END, 'cli', 'sync', (ARRAY['failed', 'partial', 'crashed'])[n % 3 + 1],
       now() - n * interval '1 hour', now() - n * interval '1 hour', 1, 0, 0, NULL
FROM generate_series(1, {RUNS}) n;
INSERT INTO sync.audits (connection, stream, range_start, checked_at, range_end, verdict)
SELECT 'devices', 'calls', '-infinity', now() - n * interval '1 hour', now(), 'complete' FROM generate_series(1, {RUNS}) n;
INSERT INTO sync.rejected_records (connection, stream, record_key, reason, raw_text, first_seen_at, last_seen_at, resolved_at)
SELECT 'devices', 'calls', n, 'missing_id', '{{}}', now(), now(), now() FROM generate_series(1, {RUNS}) n;
"""
TABLES = "'runs', 'audits', 'rejected_records'"
READ = f"""
SELECT (SELECT sum(seq_tup_read) FROM pg_stat_all_tables WHERE schemaname = 'sync' AND relname IN ({TABLES})),
       (SELECT sum(idx_tup_read) FROM pg_stat_all_indexes WHERE schemaname = 'sync' AND relname IN ({TABLES}))
"""
ENDED = """
SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'call-warehouse')
"""
"""A session tells what it read when it ends."""


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program before Salpre with 12 calls, and a long history in which no sync succeeded."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=("salpre",))
        hourly(program, calls=12)
        execute(program.url, HISTORY)
        execute(program.url, "ANALYZE")
        yield program


def read_by(program: Program, *command: str) -> tuple[int, int]:
    """Return how many rows of the history's tables, and entries of their indexes, a command reads."""
    before = rows(program.url, READ)[0]
    assert program.run(*command).code == 0
    wait_until(program.url, ENDED)
    after = rows(program.url, READ)[0]
    return after[0] - before[0], after[1] - before[1]


def test_what_commands_read_of_the_history(program: Program) -> None:
    """No table is read through, and of its indexes a few entries, the same with fifty thousand rows as with none."""
    assert program.run("sync").code == 0
    # Not even the newest sync succeeded or read a page.
    execute(program.url, f"UPDATE sync.runs SET pages = 0, status = 'failed' WHERE id > {RUNS}")
    wait_until(program.url, ENDED)
    commands = (["sync"], ["status"], ["runs"], ["runs", "devices"], ["rejects"], ["audit"], ["replay"])

    read = {" ".join(command): read_by(program, *command) for command in commands}

    assert {command: (table, index < 500) for command, (table, index) in read.items()} == dict.fromkeys(read, (0, True))


def test_a_view_of_freshness_without_any_success(program: Program) -> None:
    """Looking for the latest sync that succeeded does not go through those that did not."""
    assert program.run("sync").code == 0
    execute(program.url, "UPDATE sync.runs SET status = 'failed'")
    execute(program.url, "VACUUM ANALYZE sync.runs")
    before = rows(program.url, READ)[0]

    assert rows(program.url, "SELECT connection, last_success FROM data_freshness") == [("devices", None)]

    wait_until(program.url, ENDED)
    after = rows(program.url, READ)[0]
    assert (after[0] - before[0], after[1] - before[1] < 100) == (0, True)
