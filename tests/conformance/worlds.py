"""Knows the warehouses that are held to the port: each with its rows laid open, table by table, in the same form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

from etl.model import CallRow, EventRow, MessageRow, ParticipantRow
from etl.runs.port import RunWarehouse
from etl.runs.terms import Counters
from etl.testing.memory.kept import Shelf
from etl.testing.memory.warehouse import MemoryWarehouse
from etl.warehouse.database import Database
from etl.warehouse.loading.transaction import spans_of
from etl.warehouse.postgres import PostgresWarehouse

Row = dict[str, Any]
COUNTED = tuple(Counters.__slots__)
IN_HISTORY = (
    "status",
    "provider_status",
    "raw",
    "detail",
    "stream",
    "cursor_at",
    "observed_at",
    "detail_observed_at",
    "content_hash",
    "first_seen_at",
)
CHILDREN = {"call_participants": ParticipantRow, "call_messages": MessageRow, "call_events": EventRow}
COLUMNS: dict[str, tuple[str, ...]] = {
    "calls": CallRow._fields,
    "call_history": ("connection", "call_id", "version", "valid_from", "valid_to", "deleted", *IN_HISTORY),
    **{table: kind._fields for table, kind in CHILDREN.items()},
    "agents": ("connection", "agent_id", "name", "status", "first_seen_at", "last_seen_at", "closed_at"),
    "sync.rejected_records": (
        "connection",
        "stream",
        "call_id",
        "reason",
        "raw_text",
        "first_seen_at",
        "last_seen_at",
        "sightings",
        "resolved_at",
    ),
    "sync.schema_drift": ("connection", "path", "kind", "sample", "count", "first_seen_at", "last_seen_at"),
    "sync.runs": ("id", "connection", "kind", "trigger", "status", *COUNTED, "error_code"),
    "sync.connections": ("connection", "provider", "owner_run", "pinned_organization", "capabilities"),
    "sync.state": ("connection", "stream", "high_water_mark", "coverage", "settled", "horizon", "closed_at"),
}
"""The columns of each table that the port promises something of."""

_JSON = ("attributes", "raw", "detail", "data")


def decoded(row: Row) -> Row:
    """Return a row with its documents decoded, as the database compares them."""
    return {name: json.loads(value) if name in _JSON and isinstance(value, str) else value for name, value in row.items()}


class World(Protocol):
    """A warehouse, and what stands in it."""

    @property
    def warehouse(self) -> RunWarehouse:
        """The warehouse, as a run uses it."""
        ...

    def rows(self, table: str) -> list[Row]:
        """Return the rows of a table (`COLUMNS`), in the order of their values."""
        ...


class PostgresWorld:
    """The warehouse in Postgres."""

    def __init__(self, database: Database, warehouse: PostgresWarehouse) -> None:
        self.warehouse = warehouse
        self._database = database

    def rows(self, table: str) -> list[Row]:
        """See `World`."""
        columns = COLUMNS[table]
        with self._database.begin() as session:
            found = session.exec_driver_sql(f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1, 2, 3").mappings()
            return [_plain(dict(row)) for row in found]


class MemoryWorld:
    """The warehouse in memory."""

    def __init__(self) -> None:
        self.warehouse = MemoryWarehouse()

    def rows(self, table: str) -> list[Row]:
        """See `World`."""
        names = COLUMNS[table]
        found = [decoded(dict(zip(names, row, strict=True))) for row in self._rows(table)]
        return sorted(found, key=lambda row: [row[name] or "" for name in names[:3]])

    def _rows(self, table: str) -> Iterator[tuple[Any, ...]]:
        if table == "sync.runs":
            for run_id, run in self.warehouse.runs.items():
                counted = (run.counted[name] for name in COUNTED)
                yield (run_id, run.connection, run.kind.value, run.trigger.value, run.status.value, *counted, run.error_code)
        for name, kept in self.warehouse.connections.items():
            if table == "calls":
                yield from (entry.call for entry in self.warehouse.entries(name))
            elif table in CHILDREN:
                kind = table.removeprefix("call_")
                yield from (child for entry in self.warehouse.entries(name) for child in getattr(entry, kind))
            elif table == "sync.connections":
                capabilities, pinned, _ = self.warehouse.remembered(name)
                yield (name, kept.account.provider.name, kept.owner_run, pinned, capabilities)
            else:
                yield from ((name, *row) for row in _shelved(kept.shelf, table))


def _shelved(shelf: Shelf, table: str) -> Iterator[tuple[Any, ...]]:
    if table == "sync.state":
        for stream, kept in shelf.states.items():
            yield (stream, shelf.marks[stream], kept.coverage, kept.settled, kept.horizon, kept.closed_at)
    elif table == "sync.rejected_records":
        yield from ((stream, *reject) for (stream, _), reject in shelf.rejects.items())
    elif table == "sync.schema_drift":
        yield from ((*key, *departure) for key, departure in shelf.departures.items())
    elif table == "agents":
        yield from ((agent_id, *agent) for agent_id, agent in shelf.agents.items())
    elif table == "call_history":
        for version in (version for versions in shelf.history.values() for version in versions):
            yield (version.call.call_id, *version[1:], *(getattr(version.call, column) for column in IN_HISTORY))


def _plain(row: Row) -> Row:
    for name, value in row.items():
        if name in ("coverage", "settled"):
            row[name] = spans_of(value)
        elif isinstance(value, memoryview):
            row[name] = bytes(value)
    return row
