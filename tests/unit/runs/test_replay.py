"""The order of a replay, on a scripted warehouse: rejects first, then all rows, stretch by stretch, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event

import pytest

from etl.errors import AlreadyRunning, EtlError, WarehouseError
from etl.records.rows import FilledVersion, OldVersion
from etl.runs import replay
from etl.runs.account import Account
from etl.runs.lifecycle import Surroundings
from etl.runs.port import FIRST, Departures, Place
from etl.runs.replay import replay_connection
from etl.runs.retrying import Tried
from etl.runs.rewriting import Rewritten
from etl.runs.terms import Counters, Outcome, RunKind, RunStatus, Trigger
from tests.inline import NoThreads
from tests.memory.acme import account
from tests.memory.api import ManualClock
from tests.unit.runs.scene import LINE, Watching

FIELD = ("novel", "new_field")


@dataclass
class Scripted:
    """Gives out stretches of rejects and of rows, and notes what is asked of it (`etl.runs.port.ReplayWarehouse`)."""

    tried: list[Tried] = field(default_factory=list)
    rewritten: list[Rewritten] = field(default_factory=list)
    known: bool = True
    busy: bool = False
    trouble: EtlError | None = None  # met at the first stretch of rows
    told: list[tuple[object, ...]] = field(default_factory=list)
    unfilled: list[OldVersion] = field(default_factory=list)
    filled: list[FilledVersion] = field(default_factory=list)
    departures: Departures | None = None
    closed: tuple[RunStatus, str | None] | None = None

    def acquire(self, connection: str) -> None:
        """See `RunRegister`."""
        if self.busy:
            raise AlreadyRunning("another run is at work")
        self.told.append(("acquire",))

    def release(self, connection: str) -> None:
        """See `RunRegister`."""
        self.told.append(("release",))

    def is_known(self, connection: str) -> bool:
        """See `RunRegister`."""
        return self.known

    def open_run(self, account: Account, *, kind: RunKind, trigger: Trigger) -> int:
        """See `RunRegister`."""
        self.told.append(("open", kind))
        return 7

    def unfilled_versions(self, *, limit: int) -> list[OldVersion]:
        """See `ReplayPage`."""
        assert limit > 0
        some, self.unfilled = self.unfilled, []
        return some

    def fill_versions(self, versions: Sequence[FilledVersion]) -> None:
        """See `ReplayPage`."""
        self.filled += versions

    def remake(self, account: Account, *, run_id: int, stop: Event) -> None:
        """See `RunRegister`."""
        self.told.append(("remake",))

    def close_run(self, run_id: int, *, outcome: Outcome) -> None:
        """See `RunRegister`."""
        self.closed = (outcome.status, outcome.error.code if outcome.error else None)

    def calls_held(self, connection: str) -> int:
        """See `ReplayWarehouse`."""
        return sum(stretch.seen for stretch in self.rewritten)

    @contextmanager
    def page(self, account: Account, *, run_id: int) -> Iterator[Scripted]:
        """See `ReplayWarehouse`."""
        yield self

    # What is done in a page

    def try_rejects(self, after: Place) -> Tried | None:
        """Stand in for `etl.runs.retrying.try_rejects`."""
        self.told.append(("rejects", after))
        return next((stretch for stretch in self.tried if stretch.last > after), None)

    def rewrite_stretch(self, after: str) -> Rewritten | None:
        """Stand in for `etl.runs.rewriting.rewrite_stretch`."""
        self.told.append(("rows", after))
        if self.trouble:
            raise self.trouble
        return next((stretch for stretch in self.rewritten if stretch.last > after), None)

    def save_departures(self, account: Account, *, run_id: int, found: Departures, now: datetime) -> None:
        """See `ReplayWarehouse`."""
        self.departures = found


@pytest.fixture(autouse=True)
def scripted_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the scripted warehouse say what became of each stretch: what is done in one has tests of its own."""
    monkeypatch.setattr(replay, "try_rejects", lambda page, account, *, run_id, after, now: page.try_rejects(after))
    monkeypatch.setattr(replay, "rewrite_stretch", lambda page, account, *, run_id, after: page.rewrite_stretch(after))


def replayed(warehouse: Scripted, *, stop: Event | None = None, watcher: Watching | None = None) -> Outcome:
    """Replay the connection."""
    given = Surroundings(
        warehouse=warehouse,
        clock=ManualClock(),
        threads=NoThreads(),
        watcher=watcher or Watching(),
        stop=stop or Event(),
        trigger=Trigger.CLI,
    )
    return replay_connection(account(), given=given)


def rows(last: str, *, seen: int = 10, written: int = 0, underivable: int = 0, refused: int = 0, odd: int = 0) -> Rewritten:
    """Return a stretch of rows."""
    departures = {FIELD: (odd, last)} if odd else {}
    return Rewritten(last=last, seen=seen, written=written, underivable=underivable, refused=refused, departures=departures)


def rejects(last: str, *, seen: int, inserted: int = 0, updated: int = 0, resolved: int = 0) -> Tried:
    """Return a stretch of rejects."""
    return Tried(last=Place("calls", last), seen=seen, inserted=inserted, updated=updated, resolved=resolved)


def test_rejects_come_first_and_then_every_row_stretch_by_stretch() -> None:
    """Each stretch goes on after the last of the one before; the run is a replay, and its lock is given back."""
    warehouse = Scripted(tried=[rejects("b", seen=2), rejects("d", seen=1)], rewritten=[rows("c5"), rows("c9")])

    outcome = replayed(warehouse)

    assert (outcome.status, outcome.run_id, warehouse.closed) == (RunStatus.SUCCEEDED, 7, (RunStatus.SUCCEEDED, None))
    assert warehouse.told == [
        ("acquire",),
        ("open", RunKind.REPLAY),
        ("rejects", FIRST),
        ("rejects", Place("calls", "b")),
        ("rejects", Place("calls", "d")),
        ("rows", ""),
        ("rows", "c5"),
        ("rows", "c9"),
        ("remake",),
        ("release",),
    ]


def test_it_counts_what_it_looked_at_and_what_came_of_it() -> None:
    """Calls and rejects seen, rejects that became calls or stay, rows written and left; departures are added up."""
    warehouse = Scripted(
        tried=[rejects("b", seen=5, inserted=2, updated=1, resolved=4)],
        rewritten=[rows("c5", written=3, odd=2), rows("c9", seen=4, written=4, odd=1)],
    )

    outcome = replayed(warehouse)

    assert outcome.counters == Counters(records_seen=19, inserted=2, updated=8, unchanged=7, rejected=1)
    assert (warehouse.departures, outcome.findings) == ({FIELD: (3, "c9")}, [])


@pytest.mark.parametrize("kind", ["underivable", "refused"])
def test_rows_that_are_left_as_they_were_are_told(kind: str) -> None:
    """Those that can no longer be derived, and those that the database refuses, over all stretches together."""
    warehouse = Scripted(rewritten=[rows("c5", **{kind: 1}), rows("c9", **{kind: 2})])

    (finding,) = replayed(warehouse).findings

    assert finding.code == {"underivable": "underivable", "refused": "database_refused"}[kind]
    assert finding.text.startswith("3 calls ")


def test_a_connection_that_was_never_synced_has_nothing_to_replay() -> None:
    """No run is opened."""
    warehouse = Scripted(known=False)

    outcome = replayed(warehouse)

    assert (outcome.status, outcome.run_id, warehouse.closed) == (RunStatus.SUCCEEDED, None, None)


def test_a_connection_that_another_run_works_on_is_left_alone() -> None:
    """The outcome says so, and has no run."""
    outcome = replayed(Scripted(busy=True))

    assert (outcome.status, outcome.run_id, outcome.error and outcome.error.code) == (RunStatus.FAILED, None, "already_running")


def test_a_stop_ends_it_after_the_stretch_at_hand() -> None:
    """What was written is right; the departures are not saved, since not all rows were looked at."""
    stop = Event()
    warehouse = Scripted(rewritten=[rows("c5", written=3), rows("c9", written=4)])

    outcome = replayed(warehouse, stop=stop, watcher=Watching(then=stop.set))

    assert (warehouse.closed, outcome.counters.updated) == ((RunStatus.PARTIAL, "interrupted"), 3)
    assert (warehouse.departures, warehouse.told[-1]) == (None, ("release",))


def test_trouble_with_the_warehouse_fails_it() -> None:
    """The run is closed with the error, which names the connection, and the lock is given back."""
    warehouse = Scripted(trouble=WarehouseError("the database is gone"))

    outcome = replayed(warehouse)

    assert (warehouse.closed, warehouse.told[-1]) == ((RunStatus.FAILED, "warehouse"), ("release",))
    assert outcome.error is not None
    assert outcome.error.headline == f"Connection {LINE}: the database is gone"
