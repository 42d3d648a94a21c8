"""The tables of the warehouse, as the newest migration leaves them."""

from etl.warehouse.tables.metadata import MACHINE, METADATA, texts
from etl.warehouse.tables.public import (
    OPEN,
    agents,
    call_events,
    call_history,
    call_messages,
    call_participants,
    calls,
    numbers,
    people,
    provider_daily_totals,
)
from etl.warehouse.tables.rollups import touched_days
from etl.warehouse.tables.sync import (
    account_key,
    alerts,
    allowances,
    audits,
    connections,
    rejected_records,
    runs,
    schema_drift,
    state,
)

__all__ = [
    "MACHINE",
    "METADATA",
    "OPEN",
    "account_key",
    "agents",
    "alerts",
    "allowances",
    "audits",
    "call_events",
    "call_history",
    "call_messages",
    "call_participants",
    "calls",
    "connections",
    "numbers",
    "people",
    "provider_daily_totals",
    "rejected_records",
    "runs",
    "schema_drift",
    "state",
    "texts",
    "touched_days",
]
