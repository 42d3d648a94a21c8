"""Reports rejected records and departures from the providers' documentation."""

from __future__ import annotations

from sqlalchemy import desc, func, select

from etl.warehouse.database import Database
from etl.warehouse.reports.status import Row
from etl.warehouse.tables import connections, rejected_records, schema_drift


def is_known(database: Database, connection: str) -> bool:
    """Whether the connection was ever synced."""
    with database.begin() as session:
        found = session.execute(select(connections.c.connection).where(connections.c.connection == connection)).first()
    return found is not None


def open_rejects(database: Database, connection: str | None, *, limit: int) -> tuple[int, list[Row]]:
    """Return how many rejects are open, and the ones last seen with their records as sent (`raw_text`) and their `provider`."""
    table = rejected_records
    conditions = [table.c.resolved_at.is_(None)] + ([table.c.connection == connection] if connection is not None else [])
    columns = [
        table.c[name]
        for name in (
            "connection",
            "stream",
            "record_key",
            "call_id",
            "reason",
            "sightings",
            "first_seen_at",
            "last_seen_at",
            "raw_text",
        )
    ]
    provider = select(connections.c.provider).where(connections.c.connection == table.c.connection).scalar_subquery()
    order = (desc(table.c.last_seen_at), table.c.connection, table.c.stream, table.c.record_key)
    with database.begin() as session:
        count = session.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one()
        rows = session.execute(
            select(*columns, provider.label("provider")).where(*conditions).order_by(*order).limit(limit)
        ).mappings()
        return int(count), [dict(row) for row in rows]


def departures(database: Database, connection: str | None) -> list[Row]:
    """Return all departures of records from the documentation."""
    statement = select(schema_drift).order_by(schema_drift.c.connection, schema_drift.c.path, schema_drift.c.kind)
    if connection is not None:
        statement = statement.where(schema_drift.c.connection == connection)
    with database.begin() as session:
        return [dict(row) for row in session.execute(statement).mappings()]
