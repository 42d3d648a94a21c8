"""Knows what a run was for: a sync, unless it says otherwise. Only a sync tells how fresh a warehouse is."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import update

from etl.warehouse.database import Database
from etl.warehouse.tables import runs


class RunKind(StrEnum):
    """What a run that is no sync did (`sync.runs.kind`)."""

    REPAIR = "repair"
    REPLAY = "replay"


def note_kind(database: Database, run_id: int, kind: RunKind) -> None:
    """Say of a run that was just opened that it is no sync. Raises WarehouseError where the database fails."""
    with database.begin() as session:
        session.execute(update(runs).where(runs.c.id == run_id).values(kind=kind.value))
