"""Each table of the models lies on the nodes of a cluster by the rule of its key; a new one has to be thought about here."""

from etl.warehouse.distributing import Spread, name_of, spread_of
from etl.warehouse.tables import METADATA

BY_CONNECTION = {
    "public.agents",
    "public.call_events",
    "public.call_history",
    "public.call_messages",
    "public.call_participants",
    "public.calls",
    "public.provider_daily_totals",
    "sync.agent_daily",
    "sync.alerts",
    "sync.audits",
    "sync.calls_daily",
    "sync.calls_hourly",
    "sync.connections",
    "sync.erased_calls",
    "sync.lines_hourly",
    "sync.pair_weekly",
    "sync.person_daily",
    "sync.rejected_records",
    "sync.schema_drift",
    "sync.state",
    "sync.talk_time_daily",
    "sync.talk_time_monthly",
    "sync.touched_days",
}
ON_EVERY_NODE = {
    "public.numbers",
    "public.people",
    "sync.account_key",
    "sync.allowances",
    "sync.erasure_key",
    "sync.erasure_receipts",
    "sync.erasures",
    "sync.runs",
    "sync.salt",
}


def test_every_table_is_in_shards_by_connection_or_whole_on_every_node() -> None:
    """A table that a later version adds falls under the rule by itself, and is named here by whoever adds it."""
    spread = {name_of(table): spread_of(table) for table in METADATA.sorted_tables}
    assert {name for name, how in spread.items() if how is Spread.SHARDS} == BY_CONNECTION
    assert {name for name, how in spread.items() if how is Spread.REFERENCE} == ON_EVERY_NODE


def test_a_table_in_shards_has_its_connection_in_every_unique_key() -> None:
    """A cluster takes no other: a row's shard alone says whether its key is there already."""
    cut = [table for table in METADATA.sorted_tables if spread_of(table) is Spread.SHARDS]
    unique = [index for table in cut for index in table.indexes if index.unique]
    assert [index.name for index in unique if "connection" not in index.columns] == []
    assert [table.name for table in cut if not table.c.connection.primary_key or table.c.connection.nullable] == []
