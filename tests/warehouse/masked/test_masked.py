"""Tries to get at a personal datum as a role that may read the schema `masked` alone, in every way that SQL has; in vain."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Event
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from etl import providers
from etl.model import CallRow, Derived, EventRow, MessageRow, ParticipantRow
from etl.runs.account import Account
from etl.runs.terms import RunKind, Trigger
from etl.system import SystemThreads
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from etl.warehouse.postgres import PostgresWarehouse

START = datetime(2026, 5, 1, 10, tzinfo=UTC)
PERSONAL = (
    "4155550100", "4155550101", "zoe", "kim", "example.com", "hush", "Lovelace", "secret", "recordings",
)  # fmt: skip
"""Parts of what is personal in the calls of these tests; nothing that may be read holds any of them."""

RELATIONS = (
    "agent_daily", "agents", "call_changes", "call_events", "call_facts", "call_history", "call_messages", "call_participants",
    "call_versions", "calls", "calls_daily", "calls_hourly", "data_freshness", "deleted_calls", "lines_hourly", "numbers",
    "pair_weekly", "people", "person_daily", "provider_daily_totals", "talk_time_daily", "talk_time_monthly",
)  # fmt: skip


def call(number: int, *, status: str = "completed") -> Derived:
    """A call that holds something personal wherever a call can."""
    at = START + timedelta(hours=number)
    end = at + timedelta(minutes=5)
    row = CallRow(
        *("voice", f"c{number}", "acme", at, status, status, "inbound", "+14155550100", "+14155550101", "agent-zoe"),
        *(at, at, at, at, end, 300, False, "hush: ended", "hush: failed", 7, Decimal("0.05"), "USD"),
        *("https://example.com/recordings/secret", "hush, hush", '{"note": "secret"}', '{"from": "+14155550100"}'),
        *('{"email": "zoe@example.com"}', at, at, "calls", at, at, at, None, b"", 1),
    )
    return Derived(
        row,
        tuple(
            ParticipantRow("voice", f"c{number}", f"p{who[0]}", f"{who}@example.com", at, end, 300) for who in ("1zoe", "2kim")
        ),
        (),
        (MessageRow("voice", f"c{number}", "m1", 1, "user", "hush", "text", at),),
        (EventRow("voice", f"c{number}", "e1", 1, "ended", at, '{"to": "+14155550101"}'),),
    )


@pytest.fixture(params=[True, False], ids=["people", "machines"])
def held(request: pytest.FixtureRequest, database: Database) -> Database:
    """Give a warehouse that holds calls, some of whose roll-ups are stored and some computed; changed, deleted, named."""
    account = Account(connection="voice", provider=providers.get("krosai"), lookback=timedelta(hours=1))
    with Locks(database, SystemThreads()) as locks:
        warehouse = PostgresWarehouse(database, locks)
        run_id = warehouse.open_run(account, kind=RunKind.SYNC, trigger=Trigger.CLI)
        with warehouse.page(account, run_id=run_id) as page:
            page.insert([call(number) for number in range(3)])
        warehouse.remake(account, run_id=run_id, stop=Event())
        with warehouse.page(account, run_id=run_id) as page:
            page.insert([call(30)])
            page.update([call(1, status="failed")])
            page.bury(["c2"], gone_at=START + timedelta(days=1))
    with database.begin() as session:
        session.exec_driver_sql(f"UPDATE sync.connections SET agents_are_people = {request.param}")
        session.exec_driver_sql("INSERT INTO people VALUES ('1zoe@example.com', 'Zoe Lovelace', 'engines')")
        session.exec_driver_sql("INSERT INTO numbers VALUES ('+14155550101', 'Zoe''s line', 'engines', 'Europe/London')")
        session.exec_driver_sql("INSERT INTO provider_daily_totals VALUES ('voice', '2026-05-01', 3, now())")
        if request.param:
            session.exec_driver_sql("UPDATE agents SET display_name = 'Zoe Lovelace', name = 'zoe'")
        session.exec_driver_sql("ANALYZE")
    return database


@pytest.fixture
def masked(held: Database, server_url: str) -> Iterator[psycopg.Connection[Any]]:
    """Give a session of a role that may read the schema `masked` and nothing else."""
    role = f"masked_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN")
        with held.begin() as session:
            session.exec_driver_sql(f"GRANT USAGE ON SCHEMA masked TO {role}")
            session.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA masked TO {role}")
            session.exec_driver_sql(f"REVOKE TEMPORARY ON DATABASE {held.url.rsplit('/', 1)[-1].split('?')[0]} FROM PUBLIC")
        url = make_url(held.url).set(username=role, drivername="postgresql").render_as_string(hide_password=False)
        try:
            with psycopg.connect(url, autocommit=True) as session:
                yield session
        finally:
            with held.begin() as owner:
                owner.exec_driver_sql(f"DROP OWNED BY {role}")
            admin.execute(f"DROP ROLE {role}")


def shown(session: psycopg.Connection[Any], statement: str) -> str:
    """Return all that a statement shows, also by its error."""
    with session.cursor() as cursor:
        notices: list[str] = []
        session.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
        try:
            cursor.execute(statement.encode())
            found = repr(cursor.fetchall()) if cursor.description else ""
        except psycopg.Error as error:
            found = str(error)
        return found + " ".join(notices)


def harmless(text: str, *, people: bool) -> bool:
    """Whether nothing personal is in it; the ids of agents that are machines are none."""
    text = text if people else text.replace("agent-zoe", "")
    return not any(part in text for part in PERSONAL)


EVERY_ROW = [f"SELECT * FROM masked.{name}" for name in RELATIONS]
WHOLE = [f"SELECT r, r::text, to_jsonb(r), row_to_json(r) FROM masked.{name} r" for name in RELATIONS]
OTHERS = [
    *[f"SELECT * FROM public.{name}" for name in RELATIONS],
    *[
        f"SELECT * FROM sync.{name}"
        for name in ("salt", "person_daily", "pair_weekly", "agent_daily", "rejected_records", "runs")
    ],
    "TABLE masked.calls",
    "SELECT from_address FROM masked.calls",
    "SELECT calls.raw FROM masked.calls",
    "SELECT email FROM masked.call_participants",
    "SELECT person FROM masked.person_daily",
    "SELECT our_number FROM masked.call_facts",
    "SELECT string_agg(c::text, ' ') FROM masked.calls c",
    "SELECT array_agg(c) FROM masked.call_facts c",
    "SELECT min(from_key), max(to_key) FROM masked.calls",
    "SELECT call_id FROM masked.calls ORDER BY from_key",
    "SELECT from_key::int FROM masked.calls",
    "SELECT CAST(person_key AS date) FROM masked.person_daily",
    "SELECT 1 / 0 FROM masked.calls WHERE from_key LIKE '%4155%'",
    "SELECT xmlforest(c.*) FROM masked.calls c",
    "SELECT query_to_xml('SELECT * FROM masked.calls', true, true, '')",
    "SELECT query_to_xml('SELECT * FROM public.calls', true, true, '')",
    "SELECT table_to_xml('public.calls', true, true, '')",
    "SELECT schema_to_xml('public', true, true, '')",
    "SELECT database_to_xml(true, true, '')",
    "SELECT cursor_to_xml('c', 1, true, true, '')",
    "COPY masked.calls TO STDOUT",
    "COPY public.calls TO STDOUT",
    "SELECT * FROM pg_stats WHERE tablename IN ('calls', 'call_participants', 'salt', 'people')",
    "SELECT * FROM pg_stats_ext",
    "SELECT * FROM pg_statistic",
    "SELECT most_common_vals, histogram_bounds FROM pg_stats WHERE schemaname IN ('public', 'sync', 'masked')",
    "EXPLAIN VERBOSE SELECT * FROM masked.calls",
    "EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM masked.calls WHERE from_key = 'x'",
    "EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM masked.person_daily",
    "SELECT pg_get_viewdef('masked.calls'::regclass)",
    "SELECT string_agg(definition, '') FROM pg_views WHERE schemaname IN ('masked', 'public', 'sync')",
    "SELECT string_agg(prosrc, '') FROM pg_proc WHERE pronamespace::regnamespace::text IN ('sync', 'public')",
    "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace::regnamespace::text IN ('sync', 'public')",
    "SELECT query FROM pg_stat_activity",
    "SELECT * FROM pg_prepared_statements",
    "SELECT pg_read_file('postgresql.conf')",
    "SELECT pg_ls_dir('.')",
    "SELECT lo_import('/etc/passwd')",
    "CREATE TEMPORARY TABLE t AS SELECT * FROM masked.calls",
    "CREATE TABLE public.t AS SELECT * FROM masked.calls",
    "CREATE FUNCTION pg_temp.f(text) RETURNS bool LANGUAGE plpgsql COST 1e-4 AS 'BEGIN RAISE NOTICE ''%', $1; RETURN true; END'",
    "CREATE FUNCTION public.f(text) RETURNS bool LANGUAGE sql AS 'SELECT true'",
    "DO $$ DECLARE r record; BEGIN FOR r IN SELECT * FROM masked.calls LOOP RAISE NOTICE '%', r; END LOOP; END $$",
    "DO $$ DECLARE r record; BEGIN FOR r IN SELECT * FROM public.calls LOOP RAISE NOTICE '%', r; END LOOP; END $$",
    "UPDATE masked.call_changes SET is_deleted = true RETURNING *",
    "DELETE FROM masked.call_messages RETURNING *",
    "INSERT INTO masked.call_messages (connection, call_id) VALUES ('x', 'y') RETURNING *",
    "UPDATE masked.people SET team = 'x' RETURNING *",
    "SELECT * FROM masked.calls FOR UPDATE",
    "CREATE VIEW public.v AS SELECT * FROM calls",
    "ALTER VIEW masked.calls SET (security_barrier = false)",
    "SET ROLE postgres",
    "SET row_security = off",
    "GRANT SELECT ON public.calls TO PUBLIC",
    "SELECT encode(sha256(salt), 'hex') FROM sync.salt",
    "SELECT * FROM masked.person_daily p JOIN sync.person_daily s USING (person_key)",
    "SELECT * FROM masked.calls TABLESAMPLE SYSTEM (100)",
    "LISTEN calls",
    "SELECT currval('sync.runs_id_seq')",
    "SELECT sync.reporting_timezone()",
    "SELECT col_description('public.calls'::regclass, 1)",
    "SELECT m.text FROM masked.call_messages m",
    "SELECT data FROM masked.call_events",
    "SELECT raw FROM masked.call_versions",
    "SELECT detail FROM masked.deleted_calls",
    "SELECT name FROM masked.people",
]


def test_no_way_leads_to_a_personal_datum(masked: psycopg.Connection[Any], held: Database) -> None:
    """Neither by whole rows, casts, ordering, functions, statistics, plans, the catalogue, writes, nor errors."""
    with held.begin() as session:
        people = bool(session.exec_driver_sql("SELECT agents_are_people FROM sync.connections").scalar_one())
        salt = session.exec_driver_sql("SELECT encode(salt, 'hex') FROM sync.salt").scalar_one()
    ways = [*EVERY_ROW, *WHOLE, *OTHERS]
    assert len(ways) >= 100
    for way in ways:
        found = shown(masked, way)
        assert harmless(found, people=people), way
        assert salt not in found, way


def test_every_relation_can_be_read_as_a_whole(masked: psycopg.Connection[Any]) -> None:
    """Tools that read whole tables work on all of them, and every one has rows to show."""
    found = masked.execute("SELECT relname FROM pg_class WHERE relnamespace = 'masked'::regnamespace ORDER BY 1").fetchall()
    assert tuple(name for (name,) in found) == RELATIONS
    for name in RELATIONS:
        rows = masked.execute(f"SELECT * FROM masked.{name}".encode()).fetchall()
        assert rows, name


def test_what_is_left_out_is_not_counted_otherwise(held: Database) -> None:
    """Of every relation there are as many rows as in the schema of people, and all columns that are not personal."""
    with held.begin() as session:
        for name in RELATIONS:
            asked = "SELECT (SELECT count(*) FROM masked.{0}) = (SELECT count(*) FROM public.{0})"
            assert session.exec_driver_sql(asked.format(name)).scalar_one(), name


def test_keys_are_the_same_everywhere(held: Database) -> None:
    """A person and a number have one key in every relation, stored or computed; two have different ones."""
    asked = """
    SELECT
        (SELECT array_agg(DISTINCT person_key ORDER BY person_key) FROM masked.person_daily) =
            (SELECT array_agg(DISTINCT participant_key ORDER BY participant_key) FROM masked.call_participants),
        (SELECT count(DISTINCT participant_key) FROM masked.call_participants) = 2,
        (SELECT bool_and(person_key IN (SELECT person_key FROM masked.person_daily)) FROM masked.people),
        (SELECT bool_and(number_key IN (SELECT to_key FROM masked.calls)) FROM masked.numbers),
        (SELECT count(DISTINCT customer_key) = 1 AND bool_and(customer_key = from_key AND from_key <> to_key) FROM masked.calls),
        (SELECT array_agg(DISTINCT agent_key) FROM masked.agent_daily) = (SELECT array_agg(DISTINCT agent_key) FROM masked.calls),
        (SELECT bool_and(agent_key ~ '^[0-9a-f]{32}$') FROM masked.agents),
        (SELECT array_agg(DISTINCT key ORDER BY key) FROM masked.pair_weekly, unnest(ARRAY[person_a_key, person_b_key]) AS key) =
            (SELECT array_agg(DISTINCT person_key ORDER BY person_key) FROM masked.person_daily)
    """
    with held.begin() as session:
        assert set(session.exec_driver_sql(asked).one()) == {True}


def test_every_masked_column_is_explained_and_none_as_personal(database: Database) -> None:
    """BI tools show what it means."""
    query = """
    SELECT attrelid::regclass::text, attname, col_description(attrelid, attnum) FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'masked'::regnamespace AND attnum > 0
    """
    with database.begin() as session:
        found = session.exec_driver_sql(query).all()
    assert len(found) > 200
    assert [(relation, column) for relation, column, comment in found if not comment or comment.startswith("Personal")] == []


def test_two_warehouses_hash_differently(database: Database, empty_database: Database) -> None:
    """The salt is made with the warehouse."""
    from etl.warehouse import schema

    schema.migrate(empty_database)
    salts = []
    for one in (database, empty_database):
        with one.begin() as session:
            salts.append(bytes(session.exec_driver_sql("SELECT salt FROM sync.salt").scalar_one()))
    assert len(set(salts)) == 2 and {len(one) for one in salts} == {32}
