"""Upgrades with calls held: from what 0.1.0 left behind to now, and an older program beside a schema that only grew."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from etl.runs.terms import RunStatus
from etl.sandbox import NO_LIMITS, Sandbox
from etl.warehouse import schema
from etl.warehouse.database import Database
from tests.acceptance.expected import differences, expected_calls, held_calls
from tests.acceptance.process import Program, execute, hourly, rows
from tests.acceptance.stage import Stage, quiet_history
from tests.warehouse.upgrading import newer_program, program_of

KEPT_BEFORE = """
INSERT INTO call_history (connection, call_id, version, status, raw, valid_from, valid_to, deleted, stream, cursor_at,
                          observed_at, content_hash, first_seen_at)
SELECT connection, call_id, 1, status, raw, first_seen_at - interval '1 h', first_seen_at, false, stream, cursor_at,
       observed_at, '', first_seen_at
FROM calls WHERE connection = 'devices'
"""
"""A version of each call of Salpre, as a program before 0.2.0 kept it."""

UNFILLED = """
SELECT count(*) FROM call_history h JOIN calls c USING (connection, call_id)
WHERE (h.occurred_at, h.direction, h.agent_id, h.duration_seconds, h.cost, h.currency) IS DISTINCT FROM
      (c.occurred_at, c.direction, c.agent_id, c.duration_seconds, c.cost, c.currency)
"""
HELD = "SELECT connection, count(*) FROM calls GROUP BY 1 ORDER BY 1"
COUNTED = "SELECT connection, sum(calls) FROM {} GROUP BY 1 ORDER BY 1"
STORED = ("sync.calls_daily", "sync.agent_daily", "sync.calls_hourly", "calls_daily", "agent_daily", "calls_hourly")
DERIVED = (
    "SELECT connection, call_id, to_jsonb(c) - '{changed_at,last_run_id,observed_at,detail_observed_at}'::text[] FROM calls c"
)


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program with 12 calls of Tuple and 12 of Salpre, loaded and audited."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=("tuple", "salpre"))
        hourly(program, calls=12)
        for command in ("sync", "audit"):
            assert program.run(command).code == 0
        yield program


@pytest.mark.parametrize("before", ["0003", "0006"])
def test_from_0_1_0_to_now(program: Program, database_url: str, before: str) -> None:
    """Stop, migrate, start: nothing happens before, the sync goes on where it was, replay fills in, roll-ups equal the calls."""
    held = {tuple(key): row for *key, row in rows(database_url, DERIVED)}
    with Database(database_url) as database:
        schema.downgrade(database, before)
    execute(database_url, KEPT_BEFORE)
    newest = schema.head()

    # Not migrated yet: every command says what to run, and nothing is changed.
    for command in (["sync"], ["status"], ["prune"]):
        refused = program.run(*command)
        assert (refused.code, refused.lines[-1]) == (1, "Run: etl migrate")
        assert f"has version {before}; this program works on {newest}" in refused.err
    look = program.run("migrate", "--check")
    assert (look.code, look.out.startswith(f"The schema has version {before}; {newest} is due, by way of ")) == (1, True)
    assert rows(database_url, "SELECT version_num FROM sync.alembic_version") == [(before,)]

    assert program.run("migrate").out == f"The schema went from {before} to {newest}.\n"
    assert program.run("migrate", "--check").code == 0
    # Right at once, before anything was made again.
    for relation in STORED[3:]:
        assert rows(database_url, COUNTED.format(relation)) == [("devices", 12), ("pairing", 12)]

    for provider in program.providers:
        for minutes in (1, 2, 3):
            program.sandbox.history.add(provider, at=program.sandbox.history.now - timedelta(minutes=minutes))
    synced = program.run("sync", "--json")
    assert synced.code == 0
    brought = {one["connection"]: (one["inserted"], one["updated"], one["deleted"]) for one in synced.json["connections"]}
    assert brought == {"pairing": (3, 0, 0), "devices": (3, 0, 0)}
    assert rows(database_url, HELD) == [("devices", 15), ("pairing", 15)]

    assert rows(database_url, UNFILLED) == [(12,)]
    assert "To fill them in: etl replay" in program.run("status").out
    assert program.run("replay").code == 0
    assert rows(database_url, UNFILLED) == [(0,)]
    assert "etl replay" not in program.run("status").out

    for relation in STORED:
        assert rows(database_url, COUNTED.format(relation)) == [("devices", 15), ("pairing", 15)]
    assert rows(database_url, "SELECT count(*) FROM sync.touched_days") == [(0,)]
    assert program.run("audit").code == 0
    now = {tuple(key): row for *key, row in rows(database_url, DERIVED)}
    assert {key: now[key] for key in held} == held


GROWN = (
    "ALTER TABLE calls ADD COLUMN mood text",
    "ALTER TABLE calls ADD COLUMN weight int NOT NULL DEFAULT 1",
    "ALTER TABLE sync.runs ADD COLUMN note text NOT NULL DEFAULT ''",
    "CREATE TABLE sync.letters (connection text PRIMARY KEY, body text NOT NULL)",
)


def test_an_older_program_syncs_into_a_schema_that_only_grew(stage: Stage, tmp_path: Path) -> None:
    """New calls, changed calls and runs are written as ever; what the newer program added has its defaults."""
    for hours in range(1, 8):
        stage.history.add("salpre", at=stage.history.now - timedelta(hours=hours))
    assert stage.sync("salpre").status is RunStatus.SUCCEEDED
    with newer_program(tmp_path / "newer", ("9001", GROWN)):
        schema.migrate(stage.database)
    (changed, *_) = sorted(stage.truth_ids("salpre"))
    stage.history.change("salpre", changed, {"duration_sec": 77})
    held = stage.truth_ids("salpre")
    stage.history.add("salpre", at=stage.history.now)
    (added,) = stage.truth_ids("salpre") - held

    with program_of("0.2.0"):
        schema.require_newest(stage.database)
        outcome = stage.sync("salpre")

    assert (outcome.status, outcome.error, outcome.counters.inserted) == (RunStatus.SUCCEEDED, None, 1)
    assert differences(expected_calls(stage, "salpre"), held_calls(stage, "salpre")) == {}
    (row,) = stage.rows("SELECT mood, weight FROM calls WHERE call_id = %(id)s", {"id": added})
    assert row == {"mood": None, "weight": 1}
    assert stage.run_row(outcome)["note"] == ""
