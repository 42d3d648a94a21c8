"""
A warehouse in memory (`etl.runs.port.RunWarehouse`), which promises what the port does and no more.

It is for tests of what a run does: quick, without SQL. `tests/conformance` holds it to the same tests as Postgres.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from threading import Event
from typing import TypeVar

from etl.errors import AlreadyRunning, ConnectionFailed, FenceLost
from etl.model import OPEN_STATUSES, Derived
from etl.reading.walks.way import Held
from etl.records.rows import Draft
from etl.runs.account import Account
from etl.runs.port import Remembered
from etl.runs.state import StreamState
from etl.runs.terms import Counters, DueCall, Outcome, RunKind, RunStatus, Trigger
from etl.testing.memory.kept import Kept, KeptRun, Shelf
from etl.testing.memory.page import MemoryPage, stored

Placed = TypeVar("Placed", Held, DueCall)


class MemoryWarehouse:
    """Holds the calls of any number of connections; what is not committed is gone."""

    def __init__(self) -> None:
        self.connections: dict[str, Kept] = {}
        self.runs: dict[int, KeptRun] = {}
        self.locked: set[str] = set()
        self._numbers = count(1)

    # Lock, fence, runs

    def acquire(self, connection: str) -> None:
        """See `RunRegister.acquire`."""
        if connection in self.locked:
            raise AlreadyRunning(f"Connection {connection}: another run is working on it.")
        self.locked.add(connection)

    def release(self, connection: str) -> None:
        """See `RunRegister.release`."""
        self.locked.discard(connection)

    def is_known(self, connection: str) -> bool:
        """See `RunRegister.is_known`."""
        return connection in self.connections

    def open_run(self, account: Account, *, kind: RunKind, trigger: Trigger) -> int:
        """See `RunRegister.open_run`."""
        kept = self.connections.get(account.connection)
        if kept is not None and kept.account.provider.name != account.provider.name:
            raise ConnectionFailed(f"Connection {account.connection} holds calls of another provider.")
        for run in self.runs.values():
            if run.connection == account.connection and run.status is RunStatus.RUNNING:
                run.status = RunStatus.CRASHED
        run_id = next(self._numbers)
        self.runs[run_id] = KeptRun(account.connection, trigger, kind, counted=_counted(Counters()))
        if kept is None:
            self.connections[account.connection] = Kept(account=account, owner_run=run_id)
        else:
            kept.owner_run = run_id
        return run_id

    def close_run(self, run_id: int, *, outcome: Outcome) -> None:
        """See `RunRegister.close_run`."""
        run = self.runs[run_id]
        if run.status is not RunStatus.RUNNING:
            return
        run.status, run.counted = outcome.status, _counted(outcome.counters)
        run.error_code = outcome.error.code if outcome.error else None

    def remake(self, account: Account, *, run_id: int, stop: Event) -> None:
        """See `RunRegister.remake`; there are no roll-ups here."""
        self._owned(account, run_id)

    def remake_calls(self, account: Account, *, run_id: int, written: int) -> int:
        """See `RunWarehouse.remake_calls`; there are no roll-ups here."""
        self._owned(account, run_id)
        return written

    def remake_people(self, account: Account, *, run_id: int, written: int) -> int:
        """See `RunWarehouse.remake_people`; there are no roll-ups here."""
        self._owned(account, run_id)
        return written

    def remembered(self, connection: str) -> Remembered:
        """See `RunWarehouse.remembered`."""
        if connection not in self.connections:
            raise ConnectionFailed(f"Connection {connection} is not known.")
        about = self._shelf(connection).about
        return Remembered(stored(about.get("capabilities", {})), about.get("pinned_organization"), self.streams(connection))

    # Pages

    def encoded(self, draft: Draft) -> Draft:
        """See `RunWarehouse.encoded`; nothing travels here."""
        return draft

    @contextmanager
    def page(self, account: Account, *, run_id: int) -> Iterator[MemoryPage]:
        """See `RunWarehouse.page`; a run that was taken over meanwhile does not commit."""
        kept = self._owned(account, run_id)
        page = self.begun(kept)
        yield page
        page.resolve_rejects()
        self._owned(account, run_id).shelf.take(page.written)
        if page.written.counted:
            self.runs[run_id].counted = page.written.counted

    def begun(self, kept: Kept) -> MemoryPage:
        """Return a page's transaction that has written nothing yet; for warehouses that can do more."""
        return MemoryPage(kept.shelf)

    def _owned(self, account: Account, run_id: int) -> Kept:
        kept = self.connections.get(account.connection)
        if kept is None or kept.owner_run != run_id:
            raise FenceLost(f"Connection {account.connection}: another run has taken over.")
        return kept

    # What is held

    def streams(self, connection: str) -> dict[str, StreamState]:
        """See `RunWarehouse.streams`."""
        return dict(self._shelf(connection).states)

    def newest(self, *, connection: str, stream: str, before: datetime | None, limit: int) -> tuple[Held, ...]:
        """See `RunWarehouse.newest`."""
        held = [one for one in self._held(connection, stream) if before is None or one.cursor < before]
        return tuple(_newest_first(held)[:limit])

    def oldest(self, *, connection: str, stream: str, since: datetime, limit: int) -> tuple[Held, ...]:
        """See `RunWarehouse.oldest`."""
        held = [one for one in self._held(connection, stream) if one.cursor >= since]
        return tuple(sorted(held, key=lambda one: (one.cursor, one.call_id))[:limit])

    def held_among(self, *, connection: str, stream: str, call_ids: Collection[str]) -> frozenset[str]:
        """See `RunWarehouse.held_among`."""
        return frozenset(one.call_id for one in self._held(connection, stream)).intersection(call_ids)

    def position(self, *, connection: str, stream: str, instant: datetime) -> int:
        """See `RunWarehouse.position`."""
        return sum(one.cursor >= instant for one in self._held(connection, stream))

    def count(self, *, connection: str, stream: str) -> int:
        """See `RunWarehouse.count`."""
        return len(self._held(connection, stream))

    def due_calls(self, connection: str, *, now: datetime, limit: int, only_open: bool = False) -> tuple[DueCall, ...]:
        """See `RunWarehouse.due_calls`."""
        failures = self._shelf(connection).failures
        due = [
            DueCall(
                call.stream,
                call.call_id,
                call.status in OPEN_STATUSES,
                call.cursor_at,
                failures.get(call.call_id, 0),
                call.detail is not None,
            )
            for call in (entry.call for entry in self.entries(connection))
            if call.detail_due_at is not None and call.detail_due_at <= now and (call.status in OPEN_STATUSES or not only_open)
        ]
        return tuple(_newest_first(due)[:limit])

    def failing_details(self, connection: str) -> Mapping[str, int]:
        """See `RunWarehouse.failing_details`."""
        failing = [call_id for call_id, number in self._shelf(connection).failures.items() if number]
        calls = {entry.call.call_id: entry.call for entry in self.entries(connection)}
        return Counter(sorted(calls[call_id].stream for call_id in failing))

    def entries(self, connection: str) -> list[Derived]:
        """Return the calls of a connection with their children, as committed."""
        return [entry for entry in self._shelf(connection).calls.values() if entry is not None]

    def _held(self, connection: str, stream: str) -> list[Held]:
        return [Held(e.call.call_id, e.call.cursor_at) for e in self.entries(connection) if e.call.stream == stream]

    def _shelf(self, connection: str) -> Shelf:
        kept = self.connections.get(connection)
        return kept.shelf if kept is not None else Shelf()


def _newest_first(calls: list[Placed]) -> list[Placed]:
    # Two steps: the order of ids is kept among calls of one instant.
    return sorted(sorted(calls, key=lambda one: one.call_id), key=lambda one: one.cursor, reverse=True)


def _counted(counters: Counters) -> dict[str, object]:
    return {name: getattr(counters, name) for name in Counters.__slots__}
