"""What a tick sees: for each connection what was tried last, and from when on what is due."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from etl.config import ConnectionSettings
from etl.warehouse.database import Database
from etl.warehouse.reports.standing import standing
from etl.worker.due import Tried, audit_due, sync_due
from etl.worker.queue import JobKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """
    How a connection stands, UTC instants: what was tried last, and from when on it is due.

    `sync_at` None: since ever, as it was never synced; `audit_at` None: not before it was synced.
    """

    tried: Tried
    sync_at: datetime | None
    audit_at: datetime | None

    def due(self, now: datetime) -> tuple[JobKind, ...]:
        """Return what is due."""
        syncs = (JobKind.SYNC,) if self.sync_at is None or self.sync_at <= now else ()
        return (*syncs, JobKind.AUDIT) if self.audit_at is not None and self.audit_at <= now else syncs


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen at once: the instant by the database's clock, which dates the runs of all machines, and each connection."""

    now: datetime
    connections: Mapping[str, Standing]


AfterTick = Callable[[Look], None]
"""
What is done after every tick, in a thread, when what is due is queued. It has to return within a minute: the next tick waits.

What it raises is logged, and ends nothing.
"""


def look(
    database: Database,
    chosen: Mapping[str, ConnectionSettings],
    names: Sequence[str],
    *,
    zone: str,
    audits_tried: Mapping[str, datetime],
) -> Look:
    """Look at some of the chosen connections, at least one. Schedules go by `zone`. Raises WarehouseError."""
    now, found = standing(database, names)
    seen = {}
    for name in names:
        tried = Tried(**found[name]._asdict(), audit_tried=audits_tried.get(name))
        seen[name] = Standing(
            tried=tried,
            sync_at=sync_due(name, chosen[name].schedule, zone, tried),
            audit_at=audit_due(name, chosen[name].audit_schedule, zone, tried),
        )
    return Look(now=now, connections=seen)
