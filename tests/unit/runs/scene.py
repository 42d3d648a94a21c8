"""Knows the scene of these tests: a scripted account, a warehouse in memory, and syncs between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event
from typing import Any

from etl.coverage import Spans
from etl.model import JSON, CallRow
from etl.provider import Provider
from etl.runs.lifecycle import Surroundings
from etl.runs.state import StreamState
from etl.runs.sync import sync_connection
from etl.runs.terms import Outcome, Trigger, Want
from etl.testing.memory.kept import KeptRun, Shelf
from etl.testing.memory.warehouse import MemoryWarehouse
from tests.inline import NoThreads
from tests.memory.acme import ACME, account
from tests.memory.api import CALLS, ManualClock, ScriptedApi

LINE = "line"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class Watching:
    """Calls `then` whenever a page was committed."""

    then: Callable[[], object] = lambda: None

    def stream_started(self, connection: str, stream: str) -> None:
        """See `Watcher`."""

    def page_loaded(self, connection: str, stream: str, *, records: int, total: int | None) -> None:
        """See `Watcher`."""
        self.then()

    def stream_finished(self, connection: str, stream: str) -> None:
        """See `Watcher`."""


@dataclass
class Scene:
    """One connection; `settings` are its own and may change between two syncs."""

    provider: Provider = ACME
    settings: dict[str, Any] = field(default_factory=dict)
    clock: ManualClock = field(default_factory=ManualClock)
    warehouse: MemoryWarehouse = field(default_factory=MemoryWarehouse)
    watcher: Watching = field(default_factory=Watching)
    stop: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.api = ScriptedApi(clock=self.clock)

    def add(self, *calls: dict[str, JSON], stream: str = CALLS) -> None:
        """Let calls be listed."""
        self.api.lists.setdefault(stream, []).extend(calls)

    def sync(self, **want: Any) -> Outcome:
        """Sync once, with a request log of its own."""
        self.api.log.clear()
        one = account(self.provider, connection=LINE, **self.settings)
        return sync_connection(one, want=Want(**want), connect=self.api, given=self.given())

    def given(self) -> Surroundings[MemoryWarehouse]:
        """Return what every run is given here."""
        return Surroundings(
            warehouse=self.warehouse,
            clock=self.clock,
            threads=NoThreads(),
            watcher=self.watcher,
            stop=self.stop,
            trigger=Trigger.CLI,
        )

    def later(self, by: timedelta) -> None:
        """Let time pass."""
        self.clock.instant += by

    # What the warehouse holds

    @property
    def shelf(self) -> Shelf:
        """Everything that is held of the connection."""
        kept = self.warehouse.connections.get(LINE)
        return kept.shelf if kept is not None else Shelf()

    @property
    def calls(self) -> dict[str, CallRow]:
        """The calls held, by their ids."""
        return {entry.call.call_id: entry.call for entry in self.warehouse.entries(LINE)}

    @property
    def ids(self) -> set[str]:
        """The ids of the calls held."""
        return set(self.calls)

    @property
    def deleted(self) -> set[str]:
        """The ids of the calls that were buried and are not held."""
        return {call_id for call_id, versions in self.shelf.history.items() if versions[-1].deleted} - self.ids

    @property
    def run(self) -> KeptRun:
        """The newest run."""
        return self.warehouse.runs[max(self.warehouse.runs)]

    def state(self, stream: str = CALLS) -> StreamState:
        """Return what is remembered of a stream."""
        return self.shelf.states.get(stream, StreamState(start=None))

    def covered(self, stream: str = CALLS) -> Spans:
        """Return what was read of a stream."""
        return self.state(stream).coverage

    def dues(self) -> dict[str, datetime]:
        """Return when the details are due, of the calls of which one is."""
        return {call_id: call.detail_due_at for call_id, call in self.calls.items() if call.detail_due_at is not None}


def codes(outcome: Outcome) -> list[str]:
    """Return the kinds of what a run found, and of what ended it."""
    return [finding.code for finding in outcome.findings] + ([outcome.error.code] if outcome.error else [])
