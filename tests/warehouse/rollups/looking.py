"""Knows how the roll-ups' tests look at a warehouse: all that is held, every roll-up, and what it must show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from etl.warehouse.database import Database
from tests.warehouse.rollups.expected import ROLLUPS, Row, World


def rows(database: Database, query: str) -> list[Row]:
    """Return the rows of a query."""
    with database.begin() as session:
        return [dict(row) for row in session.exec_driver_sql(query.replace("%", "%%")).mappings()]


def world(database: Database, where: str = "true") -> World:
    """Return what is held."""
    agents = rows(database, f"SELECT connection, agent_id, coalesce(display_name, name) AS name FROM agents WHERE {where}")
    return World(
        calls=rows(database, f"SELECT * FROM calls WHERE {where}"),
        participants=rows(database, f"SELECT * FROM call_participants WHERE {where}"),
        zone=ZoneInfo(rows(database, "SELECT reporting_timezone() AS zone")[0]["zone"]),
        agents={(agent["connection"], agent["agent_id"]): agent["name"] for agent in agents},
    )


def ordered(found: Sequence[Row]) -> list[Row]:
    """Return rows in an order of their own, to be compared."""

    def key(row: Row) -> list[tuple[bool, str]]:
        return [(value is None, str(value)) for _, value in sorted(row.items())]

    return sorted(found, key=key)


def assert_exact(database: Database, where: str = "true", *, relations: Sequence[str] = tuple(ROLLUPS)) -> World:
    """Assert that every roll-up shows what is held, whole rows compared; return what is held."""
    held = world(database, where)
    for name in relations:
        assert ordered(rows(database, f"SELECT * FROM {name} WHERE {where}")) == ordered(ROLLUPS[name](held)), name
    return held


def touched(database: Database, connection: str) -> list[tuple[Any, bool]]:
    """Return the days that are touched."""
    found = rows(database, f"SELECT day, people_only FROM sync.touched_days WHERE connection = '{connection}' ORDER BY day")
    return [(row["day"], row["people_only"]) for row in found]
