"""`etl rollups rebuild` and `etl grant` as their users meet them: what is said before, what is done, the exit codes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from etl.system import SystemThreads
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from tests.acceptance.process import Program, execute, rows
from tests.acceptance.stage import quiet_history

BERLIN = {"ETL_WAREHOUSE__REPORTING_TIMEZONE": "Europe/Berlin"}


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program with calls of Salpre around midnight in Berlin, loaded in UTC."""
    history = quiet_history()
    for hours in range(30):
        history.add("salpre", at=history.now - timedelta(hours=hours))
    with Sandbox(history, limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=("salpre",))
        assert program.run("sync").code == 0
        yield program


def test_a_new_time_zone_is_pending_until_it_is_taken_on(program: Program, database_url: str) -> None:
    """`check` and `status` say so, syncs go on in the old one; a busy connection changes nothing; then all days move."""
    program.environment.update(BERLIN)
    pending = "warehouse.reporting_timezone says Europe/Berlin, which is taken on by: etl rollups rebuild"
    assert pending in program.run("check").out
    assert pending in program.run("status").out
    assert program.run("sync").code == 0
    assert rows(database_url, "SELECT reporting_timezone()") == [("UTC",)]

    with Database(database_url) as other, Locks(other, SystemThreads()) as locks:
        assert locks.try_acquire("devices")
        busy = program.run("rollups", "rebuild")
    assert (busy.code, rows(database_url, "SELECT reporting_timezone()")) == (3, [("UTC",)])
    assert "devices" in busy.err and "Nothing was changed, in no connection" in busy.err

    moved = rows(database_url, "SELECT count(*) FROM calls WHERE day <> (occurred_at AT TIME ZONE 'Europe/Berlin')::date")
    done = program.run("rollups", "rebuild")
    assert done.code == 0
    assert f"{moved[0][0]:,} calls move to another day" in done.out
    assert rows(database_url, "SELECT reporting_timezone()") == [("Europe/Berlin",)]
    assert rows(database_url, "SELECT count(*) FROM calls WHERE day <> (occurred_at AT TIME ZONE 'Europe/Berlin')::date") == [
        (0,)
    ]
    assert pending not in program.run("status").out

    again = program.run("rollups", "rebuild", "--json")
    (connection,) = again.json["connections"]
    assert (again.json["moved"], again.json["calls"], connection["status"]) == (0, 30, "succeeded")
    kinds = rows(database_url, "SELECT kind, count(*) FROM sync.runs WHERE kind = 'rebuild' GROUP BY 1")
    assert kinds == [("rebuild", 2)]


def test_versions_kept_before_are_filled_in_by_a_replay(program: Program, database_url: str) -> None:
    """`status` says what is missing and what to do; a replay derives it from the records that were kept."""
    execute(
        database_url,
        "DELETE FROM call_history; "
        "INSERT INTO call_history (connection, call_id, version, status, raw, valid_from, valid_to, deleted, stream, cursor_at, "
        "observed_at, content_hash, first_seen_at) SELECT connection, call_id, 1, status, "
        "CASE WHEN call_id = (SELECT min(call_id) FROM calls) THEN '{}'::jsonb ELSE raw END, "
        "first_seen_at - interval '1 h', first_seen_at, false, stream, cursor_at, observed_at, '', first_seen_at FROM calls",
    )
    assert "To fill them in: etl replay" in program.run("status").out
    assert program.run("replay").code == 0
    unlike = (
        "SELECT h.call_id = (SELECT min(call_id) FROM calls), h.occurred_at = c.cursor_at FROM call_history h "
        "JOIN calls c USING (connection, call_id) "
        "WHERE (h.occurred_at, h.direction, h.agent_id, h.duration_seconds, h.cost, h.currency) IS DISTINCT FROM "
        "(c.occurred_at, c.direction, c.agent_id, c.duration_seconds, c.cost, c.currency)"
    )
    assert rows(database_url, unlike) == [(True, True)]  # damaged: placed by its cursor, and nothing else is known
    assert rows(database_url, "SELECT count(*) FROM call_history WHERE changed_at > first_seen_at") == [(30,)]
    assert "etl replay" not in program.run("status").out


def test_a_role_is_given_what_it_may_read(program: Program, database_url: str) -> None:
    """It is told what it has; a role that cannot be limited is refused with exit code 2."""
    role = f"told_{os.getpid()}"
    execute(database_url, f"CREATE ROLE {role}")
    try:
        given = program.run("grant", role, "--masked", "--editor")
        assert (given.code, given.out.splitlines()[0]) == (
            0,
            f"{role} may read the schema masked, what later versions add included.",
        )
        asked = (
            f"SELECT has_table_privilege('{role}', 'masked.calls', 'SELECT'), has_table_privilege('{role}', 'calls', 'SELECT')"
        )
        assert rows(database_url, asked) == [(True, False)]
        assert program.run("grant", role, "--revoke", "--masked").code == 2
        assert program.run("grant", role, "--revoke").code == 0
        assert rows(database_url, asked) == [(False, False)]
        assert program.run("grant", "nobody_at_all").code == program.run("grant", "postgres").code == 2
    finally:
        execute(database_url, f"DROP OWNED BY {role}; DROP ROLE {role}")
