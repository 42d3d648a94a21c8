"""Holds `etl prune` to what it says: what is old goes, what is still asked for stays, and it reads no more than it removes."""

from __future__ import annotations

from datetime import timedelta
from threading import Event

import psycopg
import pytest

from etl.errors import WarehouseError
from etl.warehouse.database import Database
from etl.warehouse.pruning import Removed, prune

YEAR = timedelta(days=365)
RELATIONS = ("runs", "audits", "rejected_records", "schema_drift", "allowances")
JOBS = "jobs.procrastinate_jobs"

LEFT = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'call-warehouse'"
READ = """
SELECT (SELECT sum(seq_tup_read) FROM pg_stat_all_tables WHERE schemaname = 'sync' AND relname = ANY(%(tables)s)),
       (SELECT sum(idx_tup_read) FROM pg_stat_all_indexes WHERE schemaname = 'sync' AND relname = ANY(%(tables)s))
"""


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    with database.begin() as session:
        return [tuple(row) for row in session.exec_driver_sql(query)]


def execute(database: Database, *statements: str) -> None:
    for statement in statements:
        with database.begin() as session:
            session.exec_driver_sql(statement)


def pruned(database: Database, *, batch: int = 1_000) -> dict[str, int]:
    """Prune what is older than a year, and return how many rows were removed of each relation."""
    removed = prune(database, runs_after=YEAR, audits_after=YEAR, jobs_after=YEAR, stop=Event(), batch=batch)
    return {one.relation.removeprefix("sync."): one.rows for one in removed}


def run(days: int, status: str = "failed", *, kind: str = "sync", error: str | None = None, connection: str = "voice") -> str:
    """Return the statement that records a run which began so many days ago."""
    code = "NULL" if error is None else f"'{error}'"
    return f"""
    INSERT INTO sync.runs (connection, trigger, kind, status, started_at, finished_at, error_code)
    VALUES ('{connection}', 'cli', '{kind}', '{status}', now() - interval '{days} days', now() - interval '{days} days', {code})
    """


def audit(days: int, stream: str = "calls", *, start: str = "-infinity") -> str:
    """Return the statement that records an audit of so many days ago."""
    return f"""
    INSERT INTO sync.audits (connection, stream, range_start, checked_at, range_end, verdict)
    VALUES ('voice', '{stream}', '{start}', date_trunc('day', now()) - interval '{days} days', now(), 'complete')
    """


@pytest.fixture
def voice(database: Database) -> Database:
    """Give a warehouse with one connection."""
    execute(database, "INSERT INTO sync.connections (connection, provider) VALUES ('voice', 'acme')")
    return database


def test_an_empty_warehouse(database: Database) -> None:
    """There is nothing to remove, and every relation is told, with the age in question; an account's limits are kept a week."""
    removed = prune(database, runs_after=timedelta(hours=1), audits_after=YEAR, jobs_after=timedelta(days=7), stop=Event())
    hour = timedelta(hours=1)
    ages = dict.fromkeys(RELATIONS, hour) | {"audits": YEAR, "allowances": timedelta(days=7)}
    assert removed == [
        *(Removed(relation=f"sync.{name}", older_than=ages[name], rows=0) for name in RELATIONS),
        Removed(relation=JOBS, older_than=timedelta(days=7), rows=0),
    ]


@pytest.mark.parametrize("batch", [1, 2, 1_000])
def test_old_runs_go_but_for_those_that_somebody_asks_for(voice: Database, batch: int) -> None:
    """The owner, one that still runs, the newest success and the newest error stay, however old, of every connection."""
    execute(
        voice,
        run(900, "succeeded"),  # 1: an older success
        run(800, "succeeded"),  # 2: the newest success of a sync
        run(790, "succeeded", kind="replay"),  # 3: no sync
        run(700, error="unavailable"),  # 4: an older error
        run(600, error="refused"),  # 5: the newest error
        run(500, "running"),  # 6
        run(450),  # 7: the owner
        run(440),  # 8
        run(364),  # 9: young
        run(900, "succeeded", connection="another"),  # 10: the newest of its connection
        "UPDATE sync.connections SET owner_run = 7",
        "INSERT INTO sync.connections (connection, provider, owner_run) VALUES ('another', 'acme', 10)",
    )
    assert pruned(voice, batch=batch)["runs"] == 4
    assert [run for (run,) in rows(voice, "SELECT id FROM sync.runs ORDER BY id")] == [2, 5, 6, 7, 9, 10]
    assert pruned(voice, batch=batch)["runs"] == 0


@pytest.mark.parametrize("batch", [1, 1_000])
def test_old_audits_go_but_for_the_newest_of_each_stream(voice: Database, batch: int) -> None:
    """All ranges of a stream's newest audit stay, also where its agent is read no more."""
    execute(
        voice,
        *(audit(days) for days in (800, 700, 3)),
        *(audit(days, "gone", start=start) for days in (900, 600) for start in ("-infinity", "2025-01-01")),
    )
    assert pruned(voice, batch=batch)["audits"] == 4
    left = "SELECT stream, range_start::text, date_trunc('day', now())::date - checked_at::date FROM sync.audits ORDER BY 3, 1, 2"
    assert rows(voice, left) == [
        ("calls", "-infinity", 3),
        ("gone", "-infinity", 600),
        ("gone", "2025-01-01 00:00:00+00", 600),
    ]


def test_open_rejects_stay_for_ever(voice: Database) -> None:
    """A resolved one goes by the age of its resolution."""
    execute(
        voice,
        """
        INSERT INTO sync.rejected_records (connection, stream, record_key, reason, raw_text, first_seen_at, last_seen_at,
                                           resolved_at)
        SELECT 'voice', 'calls', name, 'missing_id', '{}', at, at, resolved FROM (VALUES
            ('open', now() - interval '9 years', NULL),
            ('old', now() - interval '9 years', now() - interval '2 years'),
            ('new', now() - interval '9 years', now() - interval '2 days')) AS given (name, at, resolved)
        """,
    )
    assert pruned(voice)["rejected_records"] == 1
    assert rows(voice, "SELECT record_key FROM sync.rejected_records ORDER BY 1") == [("new",), ("open",)]


def test_departures_that_were_not_seen_again_and_accounts_that_are_not_used_go(voice: Database) -> None:
    """What was seen since, an account that was used since, and one that a provider has paused until later stay."""
    execute(
        voice,
        """
        INSERT INTO sync.schema_drift (connection, path, kind, first_seen_at, last_seen_at) VALUES
            ('voice', 'old', 'new_field', now() - interval '9 years', now() - interval '2 years'),
            ('voice', 'new', 'new_field', now() - interval '9 years', now() - interval '1 day')
        """,
        """
        INSERT INTO sync.allowances (account, written_at, paused_until, day) VALUES
            ('old', now() - interval '2 years', NULL, now() - interval '2 years'),
            ('paused', now() - interval '2 years', now() + interval '1 hour', NULL),
            ('used', now() - interval '1 day', NULL, now() - interval '1 day'),
            ('claimed', NULL, NULL, NULL)
        """,
    )
    removed = pruned(voice)
    assert (removed["schema_drift"], removed["allowances"]) == (1, 1)
    assert rows(voice, "SELECT path FROM sync.schema_drift") == [("new",)]
    assert rows(voice, "SELECT account FROM sync.allowances ORDER BY 1") == [("claimed",), ("paused",), ("used",)]


def test_jobs_that_ended_long_ago_go(voice: Database) -> None:
    """One that waits or is at work stays however old, and one that ended lately however early it was queued."""
    execute(
        voice,
        """
        SET LOCAL search_path TO jobs;
        INSERT INTO jobs.procrastinate_jobs (queue_name, task_name, status)
        VALUES ('calls', 'old', 'failed'), ('calls', 'new', 'failed'), ('calls', 'waits', 'todo'), ('calls', 'at work', 'doing')
        """,
        "UPDATE jobs.procrastinate_events SET at = now() - interval '2 years'",
        """
        INSERT INTO jobs.procrastinate_events (job_id, type, at)
        SELECT id, 'failed', now() - interval '1 day' FROM jobs.procrastinate_jobs WHERE task_name = 'new'
        """,
    )
    assert pruned(voice)[JOBS] == 1
    assert rows(voice, "SELECT task_name FROM jobs.procrastinate_jobs ORDER BY 1") == [("at work",), ("new",), ("waits",)]


def test_a_warehouse_without_a_queue_is_pruned_as_well(voice: Database) -> None:
    """Nobody has migrated it since the queue came."""
    execute(voice, "DROP SCHEMA jobs CASCADE", run(900, "succeeded"), run(800, "succeeded"))
    assert pruned(voice)["runs"] == 1


def test_what_somebody_holds_is_left_for_the_next_time(voice: Database, database_url: str) -> None:
    """A reject that a page is writing is not waited for, so that neither waits for the other."""
    execute(
        voice,
        """
        INSERT INTO sync.rejected_records (connection, stream, record_key, reason, raw_text, first_seen_at, last_seen_at,
                                           resolved_at)
        SELECT 'voice', 'calls', name, 'missing_id', '{}', at, at, at
        FROM (VALUES ('held', now() - interval '9 years'), ('free', now() - interval '9 years')) AS given (name, at)
        """,
    )
    with Database(database_url) as page, page.begin() as session:
        session.exec_driver_sql("SELECT 1 FROM sync.rejected_records WHERE record_key = 'held' FOR UPDATE")
        assert pruned(voice)["rejected_records"] == 1
    assert rows(voice, "SELECT record_key FROM sync.rejected_records") == [("held",)]
    assert pruned(voice)["rejected_records"] == 1


def test_a_table_that_is_locked_is_not_waited_for(voice: Database, database_url: str) -> None:
    """What was removed before stays removed, and the message says what to run again."""
    execute(voice, run(900, "succeeded"), *(run(800 - n) for n in range(3)), audit(900), audit(800))
    with Database(database_url) as other, other.begin() as session:
        session.exec_driver_sql("LOCK TABLE sync.audits IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(WarehouseError) as caught:
            pruned(voice)
    assert caught.value.safe == "What was removed before stays removed; everything else is as it was."
    assert caught.value.hint.endswith("Then run again: etl prune")
    assert rows(voice, "SELECT count(*) FROM sync.runs") == [(2,)]
    assert rows(voice, "SELECT count(*) FROM sync.audits") == [(2,)]


def test_it_stops_between_two_transactions(voice: Database) -> None:
    """Nothing is begun any more once it was asked to stop."""
    execute(voice, *(run(900 - n) for n in range(3)), audit(900), audit(800))
    stop = Event()
    stop.set()
    assert {one.rows for one in prune(voice, runs_after=YEAR, audits_after=YEAR, jobs_after=YEAR, stop=stop)} == {0}


def test_what_it_reads_depends_on_what_it_removes_alone(voice: Database, database_url: str) -> None:
    """Of half a million runs it reads what goes, and a batch of what stays; of the others too, and no table as a whole."""
    many, old = 500_000, 2_000
    execute(
        voice,
        "INSERT INTO sync.connections (connection, provider) VALUES ('other', 'acme')",
        f"""
        INSERT INTO sync.runs (connection, trigger, kind, status, started_at, finished_at)
        SELECT CASE n %% 2 WHEN 0 THEN 'voice' ELSE 'other' END, 'cli', 'sync', 'failed', at, at
        FROM (SELECT n, now() - interval '1 day' - ({many} - n) * interval '1 minute'
                     - CASE WHEN n <= {old} THEN interval '2 years' ELSE interval '0' END
              FROM generate_series(1, {many}) AS n) AS given (n, at)
        """,
        """
        INSERT INTO sync.audits (connection, stream, range_start, checked_at, range_end, verdict)
        SELECT 'voice', 'calls', '-infinity', started_at, now(), 'complete' FROM sync.runs WHERE id <= 100000
        """,
        """
        INSERT INTO sync.rejected_records (connection, stream, record_key, reason, raw_text, first_seen_at, last_seen_at,
                                           resolved_at)
        SELECT 'voice', 'calls', id, 'missing_id', '{}', started_at, started_at, started_at FROM sync.runs
        WHERE id <= 100000
        """,
        "ANALYZE sync.runs", "ANALYZE sync.audits", "ANALYZE sync.rejected_records",
    )  # fmt: skip

    before = read(voice, database_url)
    removed = pruned(voice)
    after = read(voice, database_url)
    assert removed == dict.fromkeys(RELATIONS, 0) | {"runs": old, "audits": old, "rejected_records": old, JOBS: 0}
    assert (after[0] - before[0], after[1] - before[1] < 5 * 3 * old) == (0, True), after[1] - before[1]


def read(database: Database, url: str) -> tuple[int, int]:
    """Return how many rows of the tables, and entries of their indexes, were read so far; a session tells when it ends."""
    database.close()
    with psycopg.connect(url, autocommit=True) as asking:
        while asking.execute(LEFT).fetchone() != (0,):
            asking.execute("SELECT pg_sleep(0.002)")
        table, index = asking.execute(READ, {"tables": ["runs", "audits", "rejected_records"]}).fetchone() or (0, 0)
    return int(table), int(index)
