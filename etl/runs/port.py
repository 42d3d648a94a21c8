"""
Knows what runs ask of the outside: a warehouse, and somebody who watches.

The API's side is in `etl.reading.api`; what an audit needs of the warehouse beyond a run, in `etl.audit.port`; clock and threads
are in `etl.effects`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import NamedTuple, Protocol

from etl.coverage import Spans
from etl.model import JSON, AgentRow, Derived, Record
from etl.reading.walks.way import Held
from etl.runs.account import Account
from etl.runs.state import StreamState
from etl.runs.terms import Absent, Counters, DueCall, Loaded, Observed, Outcome, RunKind, Trigger

Due = Callable[[Derived, JSON], datetime | None]
"""Tells when to ask for a call's detail again, given what its records became and its decoded detail; None: not any more."""


class Watcher(Protocol):
    """Somebody who watches a sync: a progress bar, or nobody."""

    def stream_started(self, connection: str, stream: str) -> None:
        """A stream is about to be read."""
        ...

    def page_loaded(self, connection: str, stream: str, *, records: int, total: int | None) -> None:
        """A page of `records` was committed; `total` is what the provider counts, if it does."""
        ...

    def stream_finished(self, connection: str, stream: str) -> None:
        """A stream was read to the end of what is owed, or as far as it went."""
        ...


class PageTransaction(Protocol):
    """One page's transaction: it begins at the fence, and everything in it commits or nothing does."""

    def load(self, observed: Observed, *, covered: Spans) -> Loaded:
        """Write what is new or changed. `covered` is what the stream had covered before this run: new calls in it are late."""
        ...

    def load_detail(self, *, stream: str, call_id: str, detail: Record, observed_at: datetime, due: Due) -> Loaded:
        """Write one held call anew from what its detail says; `due` tells when to ask again."""
        ...

    def absent(self, *, stream: str, read: Spans, seen: Iterable[Collection[str]]) -> Absent:
        """Count the calls held in `read`, and return those of them that are in none of `seen`."""
        ...

    def ask_for(self, call_ids: Collection[str], *, due_at: datetime) -> None:
        """Note that the details of these calls are to be asked for."""
        ...

    def bury(self, call_ids: Collection[str], *, gone_at: datetime) -> int:
        """Move calls that are gone at the provider to the history, their children away; return how many were held."""
        ...

    def save_state(self, stream: str, state: StreamState) -> None:
        """Write coverage, settled, mark, horizon and closing."""
        ...

    def save_agents(self, agents: Sequence[AgentRow], *, observed_at: datetime) -> None:
        """Write agents that are new, renamed, changed or back."""
        ...

    def close_agent(self, agent_id: str, *, observed_at: datetime) -> None:
        """Note that an agent no longer exists at the provider; its calls stay."""
        ...

    def pin_organization(self, organization: str) -> None:
        """Keep the organisation that this connection's records belong to."""
        ...

    def save_connection(self, *, capabilities: JSON, request_log: JSON) -> None:
        """Keep what was found out about the provider and what the limiter must remember."""
        ...

    def save_counters(self, counters: Counters) -> None:
        """Keep what the run has done so far."""
        ...


class RunRegister(Protocol):
    """What the life of every run needs of the warehouse, whatever its work is. Every method raises WarehouseError."""

    def acquire(self, connection: str) -> None:
        """Take the connection's lock. Raises AlreadyRunning."""
        ...

    def release(self, connection: str) -> None:
        """Give the lock back."""
        ...

    def is_known(self, connection: str) -> bool:
        """Return whether the connection was ever synced."""
        ...

    def open_run(self, account: Account, *, kind: RunKind, trigger: Trigger) -> int:
        """Open a run row, close those that crashed, and become the connection's owner (the fence)."""
        ...

    def close_run(self, run_id: int, connection: str, *, outcome: Outcome, request_log: JSON) -> None:
        """Close the run row, and keep what the limiter must remember; None: nothing new, since nothing was asked for."""
        ...


class RunWarehouse(RunRegister, Protocol):
    """What a sync needs of the warehouse. Every method raises WarehouseError; those that write, FenceLost."""

    def remembered(self, connection: str) -> tuple[JSON, JSON, str | None]:
        """Return capabilities, request log and pinned organisation, as kept."""
        ...

    def drafts(self, observed: Observed, account: Account, *, run_id: int, known: Collection[str]) -> object:
        """
        Return drafts of all calls on the page but those `known`; touches no database, and may run in any thread.

        The page's transaction compares the records with what is held all the same, and drafts itself where others are new.
        """
        ...

    def page(self, account: Account, *, run_id: int) -> AbstractContextManager[PageTransaction]:
        """Begin a page's transaction; leaving it commits. Raises FenceLost where another run is the owner."""
        ...

    def streams(self, connection: str) -> dict[str, StreamState]:
        """Return the state of every stream known; `start` is left None."""
        ...

    def newest(self, *, connection: str, stream: str, before: datetime | None, limit: int) -> tuple[Held, ...]:
        """Return the newest held calls, newest first; `before` bounds their cursor (exclusive)."""
        ...

    def oldest(self, *, connection: str, stream: str, since: datetime, limit: int) -> tuple[Held, ...]:
        """Return the oldest held calls from a cursor on, oldest first."""
        ...

    def held_among(self, *, connection: str, stream: str, call_ids: Collection[str]) -> frozenset[str]:
        """Return which of the ids are held in the stream."""
        ...

    def position(self, *, connection: str, stream: str, instant: datetime) -> int:
        """Return how many calls of the stream are held from `instant` on."""
        ...

    def count(self, *, connection: str, stream: str) -> int:
        """Return how many calls of the stream are held."""
        ...

    def due_calls(self, connection: str, *, now: datetime, limit: int) -> tuple[DueCall, ...]:
        """Return held calls whose detail is due at `now` (by the provider's clock), newest first."""
        ...


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


class ReplayWarehouse(RunRegister, Protocol):
    """What a replay needs of the warehouse. Every method raises WarehouseError; those that write, FenceLost."""

    def calls_held(self, connection: str) -> int:
        """Return how many calls are held of the connection."""
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
