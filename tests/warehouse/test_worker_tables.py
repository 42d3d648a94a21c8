"""The queue's tables beside the warehouse's, and what decides whether a connection is due, however long its history is."""

from __future__ import annotations

import pytest

from etl.errors import WarehouseError
from etl.warehouse import jobs, schema
from etl.warehouse.database import Database
from etl.warehouse.reports.standing import NEWEST, Attempts, standing
from tests.warehouse.test_pruning import execute, read

NAMED = """
SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname <> 'jobs' AND relname LIKE 'procrastinate%%'
"""


def run(status: str, *, minutes: int, kind: str = "sync", connection: str = "voice") -> str:
    """Return the statement that records a run which began so many minutes before noon, and took one."""
    began = f"timestamptz '2026-03-01 12:00Z' - interval '{minutes} minutes'"
    finished = "NULL" if status == "running" else f"{began} + interval '1 minute'"
    return f"""
    INSERT INTO sync.runs (connection, trigger, kind, status, started_at, finished_at)
    VALUES ('{connection}', 'worker', '{kind}', '{status}', {began}, {finished})
    """


def stands(database: Database) -> tuple[str | None, str | None, str | None, int]:
    """Return began, ended and succeeded of the connection, as times of that day, and its failures in a row."""
    found = standing(database, ["voice"]).attempts["voice"]
    times = [at.strftime("%H:%M") if at else None for at in (found.began, found.ended, found.succeeded)]
    return times[0], times[1], times[2], found.failures


# ── The queue's tables ──────────────────────────────────────────────────────────────────────────────────────────────


def test_they_stand_in_a_schema_of_their_own(database: Database) -> None:
    """Nothing of the library's is elsewhere, and the program finds them as they have to be."""
    jobs.require(database, to_use=True)
    with database.begin() as session:
        assert session.exec_driver_sql(NAMED).all() == []


def test_a_warehouse_without_them(database: Database) -> None:
    """It says what to run, which makes them and changes nothing else."""
    execute(database, "DROP SCHEMA jobs CASCADE")
    with pytest.raises(WarehouseError) as caught:
        jobs.require(database)
    assert (str(caught.value.happened), caught.value.hint) == (
        "The warehouse has no tables for the workers' queue yet.",
        "Run: etl migrate",
    )
    before, after = schema.migrate(database)
    assert before == after
    jobs.require(database, to_use=True)


def test_tables_of_another_version_of_the_library(database: Database) -> None:
    """They are not touched; the message names both, and what to do."""
    execute(database, "COMMENT ON SCHEMA jobs IS 'Procrastinate 2.0'")
    with pytest.raises(WarehouseError) as caught:
        jobs.require(database)
    assert (
        caught.value.happened == f"The workers' queue in schema jobs was made for Procrastinate 2.0; installed is {jobs.STAMP}."
    )
    assert caught.value.hint == "Stop all workers, let its owner run DROP SCHEMA jobs CASCADE, then run: etl migrate"


# ── What was tried last ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_connection_that_was_never_synced(database: Database) -> None:
    """Other kinds of runs are none, and so are those of others."""
    execute(database, run("succeeded", minutes=5, kind="replay"), run("succeeded", minutes=5, connection="other"))
    assert standing(database, ["voice", "other"]).attempts["voice"] == Attempts()


def test_the_newest_syncs_count(database: Database) -> None:
    """A partial one got through; failed and crashed ones since then count, one at work does not."""
    execute(
        database,
        run("succeeded", minutes=600),
        run("partial", minutes=300),
        run("failed", minutes=200),
        run("crashed", minutes=100),
    )
    assert stands(database) == ("10:20", "10:21", "07:00", 2)
    execute(database, run("running", minutes=50), run("failed", minutes=10, kind="repair"))
    assert stands(database) == ("11:10", None, "07:00", 2)
    execute(database, "UPDATE sync.runs SET status = 'succeeded', finished_at = started_at WHERE status = 'running'")
    assert stands(database) == ("11:10", "11:10", "11:10", 0)


def test_failures_are_counted_up_to_a_bound(database: Database) -> None:
    """The success before them is found all the same."""
    execute(database, run("succeeded", minutes=700), *(run("failed", minutes=600 - n) for n in range(NEWEST + 5)))
    assert stands(database) == ("02:24", "02:25", "00:20", NEWEST)


def test_what_a_tick_reads_does_not_depend_on_how_many_runs_there_were(database: Database, database_url: str) -> None:
    """Of a connection that never succeeded, one that always did, and one that only audits: some dozens of rows each."""
    many = 50_000
    execute(
        database,
        f"""
        INSERT INTO sync.runs (connection, trigger, kind, status, started_at, finished_at)
        SELECT name, 'worker', 'sync', status, now() - make_interval(mins => n), now() - make_interval(mins => n)
        FROM generate_series({many}, 1, -1) AS n, (VALUES ('never', 'failed'), ('always', 'succeeded')) AS given (name, status)
        """,
        f"""
        INSERT INTO sync.audits (connection, stream, range_start, checked_at, range_end, verdict)
        SELECT 'always', 'calls', '-infinity', now() - make_interval(mins => n), now(), 'complete'
        FROM generate_series(1, {many}) AS n
        """,
        "ANALYZE sync.runs, sync.audits",
    )

    before = read(database, database_url)
    found = standing(database, ["never", "always", "new"]).attempts
    after = read(database, database_url)
    assert (found["never"].failures, found["always"].failures, found["new"]) == (NEWEST, 0, Attempts())
    assert (after[0] - before[0], after[1] - before[1] <= 300) == (0, True), after[1] - before[1]
