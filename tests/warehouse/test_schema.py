"""Holds the migrations to their promises: they lead to the tables the program knows, and back, and touch nothing else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import make_url, text

from etl.errors import WarehouseError
from etl.warehouse import schema
from etl.warehouse.database import Database
from etl.warehouse.tables import METADATA

ROOT = Path(__file__).parents[2]

ONE_ROW_EACH = """
INSERT INTO calls (connection, call_id, provider, occurred_at, status, is_test, raw, first_seen_at, last_changed_at, stream,
                   cursor_at, observed_at, content_hash, last_run_id)
VALUES ('pairing', 'c1', 'acme', now(), 'completed', false, '{}', now(), now(), 'calls', now(), now(), '', 1);
INSERT INTO call_participants (connection, call_id, participant_id) VALUES ('pairing', 'c1', 'p1');
INSERT INTO call_messages (connection, call_id, message_id, position) VALUES ('pairing', 'c1', 'm1', 1);
INSERT INTO call_events (connection, call_id, event_id, position, data) VALUES ('pairing', 'c1', 'e1', 1, '{}');
INSERT INTO call_history (connection, call_id, version, status, raw, valid_from, valid_to, deleted, stream, cursor_at,
                          observed_at, content_hash, first_seen_at)
VALUES ('pairing', 'c2', 1, 'completed', '{}', now() - interval '1 day', now(), true, 'calls', now(), now(), '', now());
INSERT INTO provider_daily_totals (connection, day, calls, observed_at) VALUES ('pairing', '2026-05-01', 2, now());
INSERT INTO agents (connection, agent_id, first_seen_at, last_seen_at) VALUES ('pairing', 'a1', now(), now());
INSERT INTO sync.connections (connection, provider) VALUES ('pairing', 'acme');
INSERT INTO sync.allowances (account) VALUES ('0123');
INSERT INTO sync.erasure_key (proof) VALUES ('\\x01');
INSERT INTO sync.erasures (hash, kind, erased_at) VALUES ('\\x02', 'phone', now());
INSERT INTO sync.erased_calls (connection, call_id, erased_at) VALUES ('pairing', '1', now());
INSERT INTO sync.erasure_receipts (receipt, asked, asked_at) VALUES ('r', 'phone', now());
INSERT INTO sync.alerts (connection, kind, state, since, number, looked_at)
VALUES ('pairing', 'behind', 'open', now(), 1, now());
INSERT INTO sync.state (connection, stream, updated_at) VALUES ('pairing', 'calls', now());
INSERT INTO sync.runs (connection, trigger, status, started_at) VALUES ('pairing', 'cli', 'running', now());
INSERT INTO sync.rejected_records (connection, stream, record_key, reason, raw_text, first_seen_at, last_seen_at)
VALUES ('pairing', 'calls', 'k1', 'missing_id', '{}', now(), now());
INSERT INTO sync.schema_drift (connection, path, kind, first_seen_at, last_seen_at)
VALUES ('pairing', 'a.b', 'new_field', now(), now());
INSERT INTO people (email) VALUES ('ada@example.com');
INSERT INTO numbers (number) VALUES ('+14155550100');
INSERT INTO sync.touched_days (connection, day) VALUES ('pairing', '2026-05-01');
INSERT INTO sync.calls_daily VALUES ('pairing', '2026-05-01', '', false, '', 'acme', 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5,
                                     5, 0, 0, 0, NULL);
INSERT INTO sync.agent_daily VALUES ('pairing', '2026-05-01', '', '', false, '', 'acme', 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                     5, 5, 0, 0, 0, NULL, 'key');
INSERT INTO sync.calls_hourly VALUES ('pairing', '2026-05-01', '2026-05-01 10:00Z', '', false, 1, 1, 0, 0, 5, 0, 0, 0, 1, 0.1);
INSERT INTO sync.lines_hourly VALUES ('pairing', '2026-05-01', '2026-05-01 10:00Z', 1, 0.1);
INSERT INTO sync.talk_time_daily VALUES ('pairing', '2026-05-01', '', false, 5, 1);
INSERT INTO sync.talk_time_monthly VALUES ('pairing', '2026-05-01', '', false, 5, 1);
INSERT INTO sync.person_daily VALUES ('pairing', '2026-05-01', 'ada@example.com', 1, 5, 0, 5, NULL, NULL, 'key');
INSERT INTO sync.pair_weekly VALUES ('pairing', '2026-04-27', 'ada@example.com', 'bea@example.com', 1, 0, 'key', 'yek');
INSERT INTO sync.audits (connection, stream, range_start, checked_at, range_end, verdict)
VALUES ('pairing', 'calls', '-infinity', now(), now(), 'unverifiable');
"""

ROLLUPS = ("calls_daily", "agent_daily", "calls_hourly", "lines_hourly", "talk_time_daily", "talk_time_monthly", "person_daily",
           "pair_weekly")  # fmt: skip

CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace IN ('public'::regnamespace, 'sync'::regnamespace) AND conrelid <> 0 AND contype <> 'n' ORDER BY 1, 2
"""
RELATIONS = """
SELECT oid::regclass::text FROM pg_class
WHERE relnamespace IN ('public'::regnamespace, 'sync'::regnamespace) AND relkind IN ('r', 'v')
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname IN ('public', 'sync') ORDER BY 1"
COLUMNS = """
SELECT attrelid::regclass::text, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attgenerated, attidentity,
       pg_get_expr(adbin, adrelid), col_description(attrelid, attnum), obj_description(attrelid, 'pg_class')
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
WHERE relnamespace IN ('public'::regnamespace, 'sync'::regnamespace) AND relkind = 'r' AND attnum > 0 ORDER BY 1, 2
"""


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    with database.begin() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def held(database: Database) -> dict[str, int]:
    """Count the rows of every table of ours."""
    names = [f"{table.schema or 'public'}.{table.name}" for table in METADATA.sorted_tables]
    return {name: int(str(rows(database, f"SELECT count(*) FROM {name}")[0][0])) for name in names}


@pytest.fixture
def powerless(database_url: str, server_url: str, empty_database_url: str) -> Iterator[str]:
    """Give the address of an empty database for a user who may only connect."""
    role = f"powerless_{os.getpid()}"
    with Database(server_url) as server, server.autocommit() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN")
        yield make_url(empty_database_url).set(username=role).render_as_string(hide_password=False)
        connection.exec_driver_sql(f"DROP ROLE {role}")


def test_a_migrated_warehouse_equals_what_the_program_knows(database: Database) -> None:
    """`alembic check` finds no difference, in both schemas."""
    assert schema.differences(database) == []


def test_what_alembic_does_not_compare_is_equal_too(database: Database, empty_database: Database) -> None:
    """Order of columns, rules, indexes with their predicates, defaults and comments: as `METADATA` itself would create them."""
    functions = rows(
        database, "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'sync'::regnamespace ORDER BY proname DESC"
    )
    with empty_database.begin() as connection:
        schema.prepare(connection)
        for (definition,) in functions:
            connection.exec_driver_sql(str(definition).replace("%", "%%"))
        METADATA.create_all(connection)
    with database.begin() as connection:
        connection.exec_driver_sql("DROP TABLE sync.alembic_version")
    for query in (CONSTRAINTS, INDEXES, COLUMNS):
        assert rows(empty_database, query) == rows(database, query)


def test_the_difference_that_somebody_makes_by_hand_is_found(database: Database) -> None:
    """The comparison can fail: a dropped column is named."""
    with database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE agents DROP COLUMN closed_at CASCADE")
    (found,) = schema.differences(database)
    assert "add_column" in found
    assert "closed_at" in found


def test_up_down_and_up_again_with_data(empty_database: Database) -> None:
    """Downgrading with rows in every table leaves nothing of ours; upgrading again gives a warehouse with nothing but its key."""
    assert schema.migrate(empty_database) == (None, schema.head())
    with empty_database.begin() as connection:
        connection.exec_driver_sql(ONE_ROW_EACH)
    assert set(held(empty_database).values()) == {1}

    schema.downgrade(empty_database, "base")
    assert schema.is_empty(empty_database)
    left = "SELECT relname FROM pg_class WHERE relnamespace::regnamespace::text IN ('public', 'sync') AND relkind IN ('r', 'v')"
    assert rows(empty_database, left) == [("alembic_version",)]
    assert rows(empty_database, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'sync'::regnamespace") == [(0,)]

    assert schema.migrate(empty_database) == (None, schema.head())
    kept = {name: number for name, number in held(empty_database).items() if number}
    assert kept == {"sync.account_key": 1, "sync.salt": 1}


def test_one_version_down_and_up_again_with_data(database: Database) -> None:
    """Each version can be undone alone: what it brought goes, what was there before stays with its rows."""
    with database.begin() as connection:
        connection.exec_driver_sql(ONE_ROW_EACH)
    schema.downgrade(database, "0001")
    left = {name for (name,) in rows(database, RELATIONS)}
    assert left == {
        "agents", "call_participants", "calls", "data_freshness", "sync.alembic_version", "sync.connections",
        "sync.rejected_records", "sync.runs", "sync.schema_drift", "sync.state",
    }  # fmt: skip
    assert {rows(database, f"SELECT count(*) FROM {name}")[0] for name in left} == {(1,)}

    assert schema.migrate(database) == ("0001", schema.head())
    assert schema.differences(database) == []
    brought = {"call_events", "call_history", "call_messages", "provider_daily_totals", "sync.allowances", "sync.audits"}
    brought |= {"people", "numbers", "sync.alerts", *(f"sync.{name}" for name in ROLLUPS)}
    brought |= {"sync.erasure_key", "sync.erasures", "sync.erased_calls", "sync.erasure_receipts"}
    found = {name.removeprefix("public."): number for name, number in held(database).items()}
    assert {name for name, number in found.items() if number == 0} == brought
    assert {number for name, number in found.items() if name not in brought} == {1}  # the day of the call that stayed is touched


def test_migrating_again_changes_nothing(database: Database) -> None:
    """A warehouse of the newest version is left as it is, rows included."""
    with database.begin() as connection:
        connection.exec_driver_sql(ONE_ROW_EACH)
    assert schema.migrate(database) == (schema.head(), schema.head())
    assert set(held(database).values()) == {1}


def test_two_processes_migrate_at_once(empty_database_url: str) -> None:
    """One does the work, the other waits and finds it done; neither fails."""
    together = Barrier(2)

    def migrate(_: int) -> tuple[str | None, str]:
        with Database(empty_database_url) as database:
            together.wait()
            return schema.migrate(database)

    with ThreadPoolExecutor(2) as pool:
        ended = set(pool.map(migrate, range(2)))
    assert ended == {(None, schema.head()), (schema.head(), schema.head())} or ended == {(None, schema.head())}
    with Database(empty_database_url) as database:
        assert schema.differences(database) == []


def test_tables_of_somebody_else_stay_and_do_not_count(empty_database: Database) -> None:
    """A foreign table in `public` is no difference, and survives upgrade and downgrade with its rows."""
    with empty_database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE invoices (id int PRIMARY KEY); INSERT INTO invoices VALUES (1)")
    schema.migrate(empty_database)
    assert schema.differences(empty_database) == []
    schema.downgrade(empty_database, "base")
    assert rows(empty_database, "SELECT id FROM invoices") == [(1,)]


def test_a_foreign_table_named_like_ours_stops_the_migration(empty_database: Database) -> None:
    """Nothing of the migration stays, the foreign table least of all changed; the message advises a database of its own."""
    with empty_database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE calls (id int)")
    with pytest.raises(WarehouseError) as caught:
        schema.migrate(empty_database)
    assert 'relation "calls" already exists' in caught.value.happened
    assert "CREATE DATABASE" in caught.value.hint
    assert schema.is_empty(empty_database)
    assert rows(empty_database, "SELECT to_regnamespace('sync') IS NULL") == [(True,)]


def test_a_user_without_rights_is_told_what_to_grant(powerless: str) -> None:
    """Creating a schema is refused; the message says what an administrator runs."""
    with Database(powerless) as database, pytest.raises(WarehouseError) as caught:
        schema.migrate(database)
    assert "permission denied" in caught.value.happened
    assert f"GRANT CREATE ON DATABASE {database.url.partition('@/')[2].partition('?')[0]} TO powerless_" in caught.value.hint


def test_a_newer_database_is_refused(database: Database) -> None:
    """A version that this program does not know, and that is not compatible, is left alone, and said to be newer."""
    with database.begin() as connection:
        connection.exec_driver_sql("DROP FUNCTION sync.compatible_from()")
        connection.exec_driver_sql("UPDATE sync.alembic_version SET version_num = '9999'")
    for attempt in (schema.migrate, schema.require_newest):
        with pytest.raises(WarehouseError) as caught:
            attempt(database)
        assert "version 9999" in caught.value.happened
        assert "Upgrade call-warehouse" in caught.value.hint


@pytest.mark.parametrize(("oldest", "accepted"), [("0.0.9", True), ("0.1.0", True), ("0.1.1", False), ("0.10", False)])
def test_a_newer_database_is_worked_on_if_it_says_that_it_may_be(
    database: Database, monkeypatch: pytest.MonkeyPatch, oldest: str, accepted: bool
) -> None:
    """A later program raises `compatible_from` only where its schema needs something of every writer."""
    monkeypatch.setattr(schema, "__version__", "0.1.0")
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE sync.alembic_version SET version_num = '9999'")
        connection.exec_driver_sql(
            f"CREATE OR REPLACE FUNCTION sync.compatible_from() RETURNS text LANGUAGE sql IMMUTABLE RETURN '{oldest}'::text"
        )
    if accepted:
        schema.require_newest(database)
        assert schema.migrate(database) == ("9999", "9999")
    else:
        with pytest.raises(WarehouseError, match="version 9999"):
            schema.require_newest(database)


def test_an_empty_database_is_no_warehouse(empty_database: Database) -> None:
    """It has no version, and whoever needs one is sent to `etl migrate`."""
    assert schema.current(empty_database) is None
    assert schema.is_empty(empty_database)
    with pytest.raises(WarehouseError) as caught:
        schema.require_newest(empty_database)
    assert caught.value.hint == (
        "Run: etl sync, which makes it. If calls were synced before, this is another database: check warehouse.url and "
        "warehouse.data_dir."
    )


def test_the_newest_version_suits(database: Database) -> None:
    """A migrated warehouse passes without a word."""
    schema.require_newest(database)
    assert schema.current(database) == schema.head()


def test_versions_are_what_alembic_finds() -> None:
    """Reading the version files as text gives the head that Alembic computes."""
    scripts = ScriptDirectory(str(ROOT / "migrations"))
    assert scripts.get_heads() == [schema.head()]


def test_developers_check_by_the_command_line(database: Database) -> None:
    """`alembic -x url=… check` works on a warehouse and says that nothing differs."""
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "-x", f"url={database.url}", "check"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "No new upgrade operations detected."), done.stderr


def test_the_view_answers_without_any_right_on_the_machine(database: Database, server_url: str) -> None:
    """An analyst who may read `public` alone can select from every table and view of it."""
    role = f"analyst_{os.getpid()}"
    with Database(server_url) as server, server.autocommit() as admin:
        admin.exec_driver_sql(f"CREATE ROLE {role} LOGIN")
        try:
            with database.begin() as connection:
                connection.exec_driver_sql(ONE_ROW_EACH)
                connection.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
            with Database(make_url(database.url).set(username=role).render_as_string(hide_password=False)) as analyst:
                names = [table.name for table in METADATA.sorted_tables if table.schema is None]
                # The day of the call is now; that of the roll-ups' stored rows is touched, and has no call.
                for name in (*names, "data_freshness", "deleted_calls", "call_facts"):
                    with analyst.begin() as connection:
                        assert connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() == 1, name
                for name in ("call_versions", "call_changes"):
                    with analyst.begin() as connection:
                        assert connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() == 2
                for name in ROLLUPS:
                    with analyst.begin() as connection:
                        assert connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() == 0
                with analyst.begin() as connection:
                    assert connection.execute(text("SELECT reporting_timezone(), reporting_today() > '2020-01-01'")).one() == (
                        "UTC",
                        True,
                    )
        finally:
            with database.begin() as connection:
                connection.exec_driver_sql(f"DROP OWNED BY {role}")
            admin.exec_driver_sql(f"DROP ROLE {role}")
