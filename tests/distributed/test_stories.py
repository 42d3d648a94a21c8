"""A warehouse on a cluster as its user meets it: made there or moved there, synced, proven, replayed, read, pruned, backed up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from etl.sandbox import NO_LIMITS, History, Sandbox
from etl.warehouse.distributing import Spread, name_of, spread_of
from etl.warehouse.tables import METADATA
from tests.acceptance.process import Program, held_and_true, rows
from tests.acceptance.stage import START
from tests.distributed.conftest import Cluster

RATES = {"tuple": 60, "bimpe": 25, "salpre": 25, "krosai": 40}
HOW = {Spread.SHARDS: "distributed", Spread.REFERENCE: "reference"}
SPREAD = "SELECT table_name::text, citus_table_type FROM citus_tables"
PLAIN = "SELECT count(*) FROM pg_dist_partition WHERE logicalrelid = 'sync.alembic_version'::regclass"
CONTENT = """
SELECT connection, call_id, to_jsonb(calls) - '{last_run_id,observed_at,detail_observed_at,changed_at}'::text[]
FROM calls ORDER BY 1, 2
"""
QUEUE = """
SELECT count(*) FROM pg_dist_partition JOIN pg_class ON pg_class.oid = logicalrelid
WHERE relnamespace = 'jobs'::regnamespace
"""
ROLL_UPS = ("calls_daily", "agent_daily", "calls_hourly", "lines_hourly", "talk_time_daily", "person_daily", "pair_weekly")
VIEWS = """
SELECT table_schema || '.' || table_name FROM information_schema.views
WHERE table_schema IN ('public', 'masked') AND table_name !~ '^(citus|pg)_' ORDER BY 1
"""


@pytest.fixture
def program(empty_database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program, told to distribute, with two days of calls at the four providers and an empty database."""
    history = History(7, start=START, past=timedelta(days=2), calls_per_day=RATES)
    with Sandbox(history, limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=empty_database_url, folder=tmp_path)
        program.environment["ETL_WAREHOUSE__DISTRIBUTED"] = "true"
        yield program


def spread(url: str) -> dict[str, str]:
    """Return how each table of ours lies on the nodes, by its name with schema."""
    ours = {name_of(table).removeprefix("public."): name_of(table) for table in METADATA.sorted_tables}
    return {ours[name]: how for name, how in rows(url, SPREAD) if name in ours}


def wanted() -> dict[str, str]:
    """Return how each table of the models has to lie there."""
    return {name_of(table): HOW[spread_of(table)] for table in METADATA.sorted_tables}


def content(program: Program) -> dict[str, list[tuple[object, ...]]]:
    """Return the calls and the stored roll-ups."""
    stored = {name: sorted(rows(program.url, f"TABLE sync.{name}"), key=repr) for name in ROLL_UPS}
    return {"calls": rows(program.url, CONTENT), **stored}


def assert_whole(program: Program) -> None:
    """Every call that lives is held, every audit is content, and what is stored of roll-ups is what calls say."""
    held, true = held_and_true(program)
    assert {name: true[name] - held[name] for name in true} == {name: set() for name in true}
    told = program.run("audit", "--json")
    verdicts = {stream["verdict"] for one in told.json["connections"] for stream in one["streams"]}
    assert (told.code, verdicts - {"complete", "unverifiable"}) == (0, set())
    counted = "SELECT connection, sum(calls)::bigint FROM {} GROUP BY 1 ORDER BY 1"
    calls = rows(program.url, "SELECT connection, count(*) FROM calls GROUP BY 1 ORDER BY 1")
    assert [rows(program.url, counted.format(name)) for name in ("calls_daily", "agent_daily", "calls_hourly")] == [calls] * 3


def test_the_first_sync_makes_it_and_everything_holds(program: Program) -> None:
    """Synced while calls come, change and vanish; proven, replayed, made again, pruned: as on a single server."""
    for _ in range(3):
        told = program.run("sync")
        assert told.code == 0, told.err
        program.sandbox.history.advance(timedelta(hours=7))
    assert program.run("sync").code == 0
    assert spread(program.url) == wanted()
    assert rows(program.url, PLAIN) == [(0,)]
    assert_whole(program)

    before = rows(program.url, CONTENT)
    for command in (("replay",), ("rollups", "rebuild"), ("sync", "--full"), ("status",), ("runs",), ("prune",), ("check",)):
        told = program.run(*command)
        assert told.code == 0, (command, told.err)
    assert rows(program.url, CONTENT) == before
    assert_whole(program)
    assert program.run("migrate").out.splitlines()[-1] == (
        "The tables are spread over the nodes of the cluster: no table is new."
    )


def test_a_warehouse_moves_with_all_it_holds(program: Program) -> None:
    """Filled as plain tables of the coordinator, then distributed: no row differs, and syncs go on where they were."""
    program.environment["ETL_WAREHOUSE__DISTRIBUTED"] = "false"
    assert program.run("sync").code == 0
    assert spread(program.url) == {}
    before = content(program)

    program.environment["ETL_WAREHOUSE__DISTRIBUTED"] = "true"
    assert program.run("migrate", "--check").code == 1
    told = program.run("migrate")
    number = len(METADATA.sorted_tables)
    assert (told.code, told.out.splitlines()[-1]) == (
        0,
        f"The tables are spread over the nodes of the cluster: {number} tables more of them now.",
    )
    assert program.run("migrate", "--check").code == 0
    assert spread(program.url) == wanted()
    assert content(program) == before

    program.sandbox.history.advance(timedelta(hours=5))
    assert program.run("sync").code == 0
    assert_whole(program)

    # A table of a later version follows by itself, also where the configuration does not ask any more.
    with psycopg.connect(program.url or "", autocommit=True) as session:
        session.execute("SELECT undistribute_table('sync.schema_drift')")
    program.environment["ETL_WAREHOUSE__DISTRIBUTED"] = "false"
    assert program.run("migrate").out.splitlines()[-1] == (
        "The tables are spread over the nodes of the cluster: 1 table more of them now. "
        "They stay so, though warehouse.distributed is false."
    )
    assert spread(program.url) == wanted()


def test_readers_see_what_they_were_given(program: Program) -> None:
    """In full or masked, though a node is asked as the reader and not as the owner of the view."""
    assert program.run("sync").code == 0
    everything, masked = f"everything_{os.getpid()}", f"masked_{os.getpid()}"
    with psycopg.connect(program.url or "", autocommit=True) as session:
        for role in (everything, masked):
            session.execute(f"CREATE ROLE {role} LOGIN")  # each node is asked as this role
        try:
            assert program.run("grant", everything).code == 0
            assert program.run("grant", masked, "--masked").code == 0
            views = [name for (name,) in session.execute(VIEWS).fetchall()]
            owner = {name: session.execute(f"SELECT count(*) FROM {name}").fetchone() for name in views}
            assert owner["masked.calls"] == session.execute("SELECT count(*) FROM calls").fetchone() != (0,)
            for role, schema in ((everything, "public."), (masked, "masked.")):
                seen = {}
                session.execute(f"SET ROLE {role}")
                for name in views:
                    try:
                        seen[name] = session.execute(f"SELECT count(*) FROM (SELECT * FROM {name}) AS shown").fetchone()
                    except psycopg.errors.InsufficientPrivilege:
                        continue
                session.execute("RESET ROLE")
                assert seen == {name: number for name, number in owner.items() if name.startswith(schema)}
            session.execute(f"SET ROLE {masked}")
            for hidden in ("public.calls", "sync.salt", "sync.masked_calls()"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    session.execute(f"SELECT * FROM {hidden}")
            session.execute("RESET ROLE")
        finally:
            for role in (everything, masked):
                assert program.run("grant", role, "--revoke").code == 0
                session.execute(f"DROP OWNED BY {role}")
                session.execute(f"DROP ROLE {role}")


def test_an_export_and_a_backup_hold_all_of_it(program: Program, cluster: Cluster) -> None:
    """A backup comes back into another warehouse on the cluster that holds nothing yet."""
    assert program.run("sync").code == 0
    before = rows(program.url, CONTENT)
    told = program.run("export", str(program.folder / "files"), "--json")
    assert told.code == 0, told.err
    told = program.run("backup", str(program.folder / "whole.backup"))
    assert told.code == 0, told.err

    name = f"restored_{os.getpid()}"
    program.url = cluster.create(name)
    try:
        assert program.run("migrate").code == 0
        told = program.run("restore", str(program.folder / "whole.backup"))
        assert told.code == 0, told.err
        assert spread(program.url) == wanted()
        assert rows(program.url, CONTENT) == before
        assert program.run("sync").code == 0
        assert_whole(program)
    finally:
        cluster.drop(name)


def test_a_database_without_the_extension_is_left_as_it_is(program: Program, cluster: Cluster) -> None:
    """What happened, what is safe and what helps; the same configuration without the wish works there."""
    name = f"plain_{os.getpid()}"
    program.url = cluster.create(name, extension=False)
    try:
        for command in ("migrate", "sync"):
            told = program.run(command)
            assert told.code == 1
            assert "has no extension named citus. Nothing was changed. Let an administrator run" in " ".join(told.err.split())
        assert rows(program.url, "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('sync')") == [(0,)]
        program.environment["ETL_WAREHOUSE__DISTRIBUTED"] = "false"
        assert program.run("sync").code == 0
    finally:
        cluster.drop(name)


def test_the_worker_does_what_is_due(program: Program) -> None:
    """Its queue stays in plain tables of the coordinator; one round syncs every connection."""
    assert program.run("migrate").code == 0
    told = program.run("worker", "--once")
    assert told.code == 0, told.err
    held, true = held_and_true(program)
    assert {name: true[name] - held[name] for name in true} == {name: set() for name in true}
    assert rows(program.url, QUEUE) == [(0,)]
    assert program.run("prune").code == 0
