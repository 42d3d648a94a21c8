"""What the pages are made from: the configuration, a warehouse that may come and go, the worker's heart, and a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import BoundedSemaphore
from typing import NamedTuple

from etl.config import Settings
from etl.effects import Clock
from etl.errors import WarehouseError
from etl.warehouse.database import Database
from etl.warehouse.reports.tally import RunTally
from etl.worker.web.meters import Meters

AT_ONCE = 2
"""So many answers are made at once, however many are asked for."""


class Next(NamedTuple):
    """When a connection's sync is due (None: it is due since ever), and how long its schedule's period is."""

    at: datetime | None
    period: timedelta


NextDue = Callable[[Database, Sequence[str]], Mapping[str, Next]]
"""Says when the syncs of connections are due. Raises WarehouseError."""


@dataclass(kw_only=True)
class Site:
    """
    What one worker's pages are made from. `silence` says how late the worker's loops are.

    While the worker has no warehouse, the pages say so. At most `AT_ONCE` answers read it at once: its sessions are the work's.
    """

    settings: Settings
    clock: Clock
    silence: Callable[[], timedelta]
    next_due: NextDue
    meters: Meters = field(default_factory=Meters)
    tally: RunTally = field(default_factory=RunTally)
    _database: Database | None = None
    _places: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(AT_ONCE))

    @contextmanager
    def over(self, database: Database) -> Iterator[None]:
        """Read this warehouse during the block."""
        self._database = database
        try:
            yield
        finally:
            self._database = None

    @contextmanager
    def open(self) -> Iterator[Database]:
        """Give the warehouse for an answer, once there is a place. Raises WarehouseError while the worker has none."""
        with self._places:
            if self._database is None:
                raise WarehouseError(
                    "The worker has no connection to its warehouse.",
                    safe="What is committed stays.",
                    hint="It tries again by itself; its log says what the database answered.",
                )
            yield self._database
