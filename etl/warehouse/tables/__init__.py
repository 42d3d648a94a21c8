"""Knows the tables of the warehouse, as the newest migration leaves them; not the views and not how rows get in."""

from etl.warehouse.tables.metadata import MACHINE, METADATA
from etl.warehouse.tables.people import agents, call_participants, calls
from etl.warehouse.tables.sync import connections, rejected_records, runs, schema_drift, state

__all__ = [
    "MACHINE",
    "METADATA",
    "agents",
    "call_participants",
    "calls",
    "connections",
    "rejected_records",
    "runs",
    "schema_drift",
    "state",
]
