"""What the pages are made from: the configuration, a warehouse that may come and go, the worker's heart, and a clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from etl.config import Settings
from etl.effects import Clock
from etl.warehouse.database import Database
from etl.warehouse.reports.tally import RunTally
from etl.worker.web.meters import Meters


class Next(NamedTuple):
    """When a connection's sync is due (None: it is due since ever), and how long its schedule's period is."""

    at: datetime | None
    period: timedelta


NextDue = Callable[[Database, Sequence[str]], Mapping[str, Next]]
"""Says when the syncs of connections are due. Raises WarehouseError."""


@dataclass(kw_only=True)
class Site:
    """
    What one worker's pages are made from.

    `overdue` says how late the worker's loops are. `open` opens the warehouse for an answer, and raises WarehouseError while
    there is none.
    """

    settings: Settings
    clock: Clock
    overdue: Callable[[], timedelta]
    open: Callable[[], AbstractContextManager[Database]]
    next_due: NextDue
    meters: Meters = field(default_factory=Meters)
    tally: RunTally = field(default_factory=RunTally)
