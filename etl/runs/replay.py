"""
Knows the life of a replay: rejects first, then every row of a connection, a stretch at a time. Knows no API, no SQL.

Each stretch is one transaction behind the fence. A replay that was cut off leaves a warehouse in which some rows are as the
new mapping makes them and others are not yet; the next one begins again and writes only these.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from threading import Event
from typing import NamedTuple, Protocol

import structlog

from etl.errors import EtlError, Interrupted
from etl.model import JSON
from etl.reading.api import Clock
from etl.runs.account import Account
from etl.runs.port import Watcher
from etl.runs.terms import Finding, Outcome, RunStatus

log = structlog.get_logger(__name__)

STREAM = "replay"
"""What a watcher is told that is read: all streams of the connection together."""

Departures = Mapping[tuple[str, str], tuple[int, str]]
"""How often records depart from their documentation, by path and kind, with a sample."""


class Place(NamedTuple):
    """Where one reject stands among those of its connection."""

    stream: str
    record_key: str


FIRST = Place("", "")
"""Before every reject."""


class Rewritten(NamedTuple):
    """What deriving a stretch of calls did: the last id in it, how many were seen, written, and left as they were against it."""

    last: str
    seen: int
    written: int
    underivable: int
    refused: int
    departures: Departures


class Tried(NamedTuple):
    """What trying a stretch of rejects did: the last one, how many were seen, became calls, and are rejects no more."""

    last: Place
    seen: int
    inserted: int
    updated: int
    resolved: int


class ReplayWarehouse(Protocol):
    """What a replay needs of the warehouse. Every method raises WarehouseError; those that write, FenceLost."""

    def acquire(self, connection: str) -> None:
        """Take the connection's lock. Raises AlreadyRunning."""
        ...

    def release(self, connection: str) -> None:
        """Give the lock back."""
        ...

    def holds(self, connection: str) -> bool:
        """Whether the connection was ever synced."""
        ...

    def calls_held(self, connection: str) -> int:
        """Return how many calls are held of the connection."""
        ...

    def open_run(self, account: Account, *, trigger: str) -> int:
        """Open a run row and become the connection's owner (the fence)."""
        ...

    def close_run(self, run_id: int, connection: str, *, outcome: Outcome, request_log: JSON) -> None:
        """Close the run row."""
        ...

    def rewrite(self, account: Account, *, run_id: int, after: str) -> Rewritten | None:
        """Derive the stretch of calls after an id again and write what differs; None where there is none left."""
        ...

    def try_rejects(self, account: Account, *, run_id: int, after: Place, now: datetime) -> Tried | None:
        """Try the stretch of open rejects after a place again; None where there is none left."""
        ...

    def save_departures(self, account: Account, *, run_id: int, found: Departures, now: datetime) -> None:
        """Keep the departures found in what is held, and no others, but for those that only a reading shows."""
        ...


class Surroundings(NamedTuple):
    """What a replay is given."""

    warehouse: ReplayWarehouse
    clock: Clock
    watcher: Watcher
    stop: Event


def replay_connection(account: Account, *, given: Surroundings) -> Outcome:
    """
    Derive all rows of one connection again and try its rejects; no error leaves this function but a programming error.

    The outcome counts: `records_seen` calls and rejects looked at, `updated` calls written, `inserted` rejects that became new
    calls, `rejected` those that stay rejects. It has no run id where there was nothing to replay or another run is at work.
    """
    outcome = Outcome(connection=account.connection, run_id=None, status=RunStatus.FAILED)
    warehouse = given.warehouse
    try:
        if not warehouse.holds(account.connection):
            outcome.status = RunStatus.SUCCEEDED
            return outcome
        warehouse.acquire(account.connection)
        try:
            outcome.run_id = warehouse.open_run(account, trigger="cli")
            try:
                _replay(account, outcome.run_id, given=given, outcome=outcome)
                outcome.status = RunStatus.SUCCEEDED
            except Interrupted as error:
                outcome.status, outcome.error = RunStatus.PARTIAL, error.of(account.connection)
            except EtlError as error:
                outcome.error = error.of(account.connection)
            finally:
                warehouse.close_run(outcome.run_id, account.connection, outcome=outcome, request_log=None)
        finally:
            warehouse.release(account.connection)
    except EtlError as error:
        outcome.error = outcome.error or error.of(account.connection)
    return outcome


def _replay(account: Account, run_id: int, *, given: Surroundings, outcome: Outcome) -> None:
    log.info("replay.started", connection=account.connection, run=run_id)
    given.watcher.stream_started(account.connection, STREAM)
    try:
        _try_rejects(account, run_id, given=given, outcome=outcome)
        found = _rewrite(account, run_id, given=given, outcome=outcome)
    finally:
        given.watcher.stream_finished(account.connection, STREAM)
    given.warehouse.save_departures(account, run_id=run_id, found=found, now=given.clock.now())


def _try_rejects(account: Account, run_id: int, *, given: Surroundings, outcome: Outcome) -> None:
    counters, after = outcome.counters, FIRST
    while tried := given.warehouse.try_rejects(account, run_id=run_id, after=after, now=given.clock.now()):
        after = tried.last
        counters.records_seen += tried.seen
        counters.inserted += tried.inserted
        counters.updated += tried.updated
        counters.rejected += tried.seen - tried.resolved
        _check_stop(account, given.stop)


def _rewrite(account: Account, run_id: int, *, given: Surroundings, outcome: Outcome) -> Departures:
    counters, after = outcome.counters, ""
    total = given.warehouse.calls_held(account.connection)
    underivable = refused = 0
    departures: dict[tuple[str, str], tuple[int, str]] = {}
    while done := given.warehouse.rewrite(account, run_id=run_id, after=after):
        after = done.last
        counters.records_seen += done.seen
        counters.updated += done.written
        counters.unchanged += done.seen - done.written
        underivable, refused = underivable + done.underivable, refused + done.refused
        for where, (count, sample) in done.departures.items():
            departures[where] = (departures.get(where, (0, ""))[0] + count, sample)
        given.watcher.page_loaded(account.connection, STREAM, records=done.seen, total=total)
        _check_stop(account, given.stop)
    if underivable:
        text = f"{underivable:,} calls can no longer be derived from their records; their rows were left as they are."
        outcome.findings.append(Finding(stream=STREAM, code="underivable", text=text))
    if refused:
        text = f"{refused:,} calls were derived to rows that the database refuses; their rows were left as they are."
        outcome.findings.append(Finding(stream=STREAM, code="database_refused", text=text))
    return departures


def _check_stop(account: Account, stop: Event) -> None:
    if stop.is_set():
        raise Interrupted(
            "the replay was interrupted.",
            safe="What it had written is committed, and right.",
            hint="Run it again: it looks at everything anew, and writes only what is not right yet.",
        )
