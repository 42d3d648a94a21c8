"""Holds the catalog of a warehouse to the design: everything is explained, nothing stands in a distributed server's way."""

import pytest
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from etl.model import CallRow, EventRow, MessageRow, ParticipantRow
from etl.warehouse import tables, views
from etl.warehouse.database import Database

OURS = "('public'::regnamespace, 'sync'::regnamespace)"


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    with database.begin() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def test_every_relation_column_and_function_has_a_comment(database: Database) -> None:
    """BI tools show an explanation for every table, view, column and function of both schemas."""
    relations = f"SELECT oid FROM pg_class WHERE relnamespace IN {OURS} AND relkind IN ('r', 'v', 'm', 'p', 'f')"
    bare = f"""
    SELECT oid::regclass::text FROM pg_class WHERE oid IN ({relations}) AND obj_description(oid, 'pg_class') IS NULL
    UNION ALL
    SELECT attrelid::regclass || '.' || attname FROM pg_attribute
    WHERE attrelid IN ({relations}) AND attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) IS NULL
    UNION ALL
    SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace IN {OURS} AND obj_description(oid, 'pg_proc') IS NULL
    UNION ALL
    SELECT nspname FROM pg_namespace WHERE oid IN {OURS} AND obj_description(oid, 'pg_namespace') IS NULL
    """
    assert rows(database, bare) == []


def test_calls_has_the_columns_of_a_row_in_their_order() -> None:
    """A row can be copied into the table as it is; no record says how often a detail failed, and the others are the server's."""
    columns = [column.name for column in tables.calls.columns]
    assert [name for name in columns if name not in ("day", "detail_failures", "changed_at")] == list(CallRow._fields)
    assert columns.index("day") == columns.index("provider") + 1


@pytest.mark.parametrize(
    ("table", "fields"),
    [
        (tables.call_participants, ParticipantRow._fields),
        (tables.call_messages, MessageRow._fields),
        (tables.call_events, EventRow._fields),
    ],
    ids=lambda value: value.name if isinstance(value, Table) else "",
)
def test_children_have_the_columns_of_their_rows_in_their_order(table: Table, fields: tuple[str, ...]) -> None:
    """A child's row can be copied into its table as it is."""
    assert [column.name for column in table.columns] == list(fields)


def test_what_must_not_be_null_is_not(database: Database) -> None:
    """Exactly the columns that every call has are declared so."""
    query = "SELECT attname FROM pg_attribute WHERE attrelid = 'calls'::regclass AND attnum > 0 AND attnotnull ORDER BY attnum"
    assert [name for (name,) in rows(database, query)] == [
        "connection",
        "call_id",
        "provider",
        "day",
        "occurred_at",
        "status",
        "is_test",
        "raw",
        "first_seen_at",
        "last_changed_at",
        "stream",
        "cursor_at",
        "observed_at",
        "content_hash",
        "last_run_id",
        "detail_failures",
        "changed_at",
    ]


def test_connection_stands_in_every_key_and_unique_index(database: Database) -> None:
    """Only `sync.runs` and what belongs to accounts, persons or no connection is keyed otherwise: reference tables there."""
    query = f"""
    SELECT indrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
    WHERE relnamespace IN {OURS} AND indisunique
      AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = indrelid AND attname = 'connection' AND attnum = ANY(indkey))
    ORDER BY 1
    """
    found = [name for (name,) in rows(database, query)]
    erased = ["sync.erasure_key", "sync.erasure_receipts", "sync.erasures"]
    ours = ["sync.account_key", "sync.alembic_version", "sync.allowances", *erased, "sync.runs", "sync.salt"]
    assert found == ["numbers", "people", *ours]


def test_connection_is_never_null(database: Database) -> None:
    """It can be what rows are distributed by."""
    query = f"""
    SELECT attrelid::regclass::text FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace IN {OURS} AND relkind = 'r' AND attname = 'connection' AND NOT attnotnull
    """
    assert rows(database, query) == []


def test_every_table_has_a_primary_key(database: Database) -> None:
    """Logical replication and distribution need one."""
    query = f"""
    SELECT oid::regclass::text FROM pg_class WHERE relnamespace IN {OURS} AND relkind = 'r'
      AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = pg_class.oid AND indisprimary)
    """
    assert rows(database, query) == []


def test_nothing_that_a_cluster_cannot_do(database: Database) -> None:
    """No trigger, no foreign key, no rule but the views' own, no sequence but that of `sync.runs`."""
    triggers = f"SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE relnamespace IN {OURS}"
    foreign_keys = f"SELECT conname FROM pg_constraint WHERE connamespace IN {OURS} AND contype = 'f'"
    sequences = f"SELECT oid::regclass::text FROM pg_class WHERE relnamespace IN {OURS} AND relkind = 'S'"
    identities = (
        "SELECT attrelid::regclass::text FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "
        f"WHERE relnamespace IN {OURS} AND attidentity <> ''"
    )
    rules = f"SELECT rulename FROM pg_rewrite JOIN pg_class c ON c.oid = ev_class WHERE relnamespace IN {OURS} AND relkind <> 'v'"
    assert rows(database, triggers) == []
    assert rows(database, foreign_keys) == []
    assert rows(database, sequences) == [("sync.runs_id_seq",)]
    assert rows(database, identities) == [("sync.runs",)]
    assert rows(database, rules) == []


@pytest.mark.parametrize("view", views.VIEWS, ids=lambda view: view.name)
def test_views_have_the_columns_that_the_program_selects(database: Database, view: Table) -> None:
    """What `etl.warehouse.views` says of a view is what the view has, names and types."""
    query = f"""
    SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = '{view.schema or "public"}.{view.name}'::regclass AND attnum > 0 ORDER BY attnum
    """
    dialect = postgresql.dialect()
    expected = [(column.name, column.type.compile(dialect).lower().replace(", ", ",")) for column in view.columns]
    assert rows(database, query) == expected


def test_every_view_is_known_to_the_program(database: Database) -> None:
    """No view of the database is missing from `etl.warehouse.views`."""
    query = f"SELECT relname FROM pg_class WHERE relnamespace IN {OURS} AND relkind = 'v'"
    assert {name for (name,) in rows(database, query)} == {view.name for view in views.VIEWS}


def test_long_texts_are_packed_with_lz4_where_the_server_can(database: Database) -> None:
    """The columns that may be long, and no other."""
    offered = rows(database, "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'") == [
        (True,)
    ]
    query = f"""
    SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace IN {OURS} AND relkind = 'r' AND attcompression = 'l' ORDER BY relname, attnum
    """
    packed = [
        ("call_events", "data"),
        ("call_history", "raw"),
        ("call_history", "detail"),
        ("call_messages", "text"),
        ("calls", "transcript"),
        ("calls", "attributes"),
        ("calls", "raw"),
        ("calls", "detail"),
    ]
    assert rows(database, query) == (packed if offered else [])
