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
from etl.model import JSON, AgentRow, Derived, DriftNote, Record, Rejection
from etl.reading.walks.way import Held
from etl.records.rows import Draft, HeldCalls, Rewrite, Stored
from etl.runs.account import Account
from etl.runs.state import StreamState
from etl.runs.terms import Absent, Compared, Counters, DueCall, Outcome, Reject, RunKind, Trigger

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

    def compare(self, records: Sequence[Record], *, stream: str, observed_at: datetime) -> Compared:
        """Look up what is held of the calls of these records, each of another call and none a reject, read at `observed_at`."""
        ...

    def held(self, call_ids: Collection[str]) -> Mapping[str, Stored]:
        """Return the records that are held of these calls, by their ids."""
        ...

    def copy(self, draft: Draft) -> bool:
        """Write calls that should not be held yet; where one is, or the database refuses one, write none and answer False."""
        ...

    def insert(self, entries: Sequence[Derived]) -> frozenset[str]:
        """Write calls that are not held, each that the database takes; return the ids of those that it refuses."""
        ...

    def update(self, entries: Sequence[Derived]) -> frozenset[str]:
        """
        Write held calls and their children, what they replace becoming history; return the ids of those that are refused.

        A call of which either record held was observed later is left as it is.
        """
        ...

    def note(self, *, stream: str, rejects: Sequence[Reject], drift: Mapping[DriftNote, int], observed_at: datetime) -> None:
        """Keep rejects, each counted once more where it is kept already, and what was odd, so many times."""
        ...

    def came_right(
        self, call_ids: Collection[str], *, stream: str, observed_at: datetime, reason: Rejection | None = None
    ) -> None:
        """Resolve the rejects (with that reason, None: with any) of calls that were read as they should be, unless seen since."""
        ...

    def absent(self, *, stream: str, read: Spans, seen: Iterable[Collection[str]]) -> Absent:
        """Count the calls held in `read`, and return those of them that are in none of `seen`."""
        ...

    def ask_for(self, call_ids: Collection[str], *, due_at: datetime | None) -> None:
        """Note when the details of these calls are to be asked for; None: not any more."""
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

    def note_drift(self, drift: Mapping[DriftNote, int], *, observed_at: datetime) -> None:
        """Count what departs from the documents, each with how often it was seen."""
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

    def encoded(self, draft: Draft) -> Draft:
        """
        Return a draft as `copy` takes it soonest: its rows made ready to travel, or as it is.

        Touches no database, and may run in any thread.
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


class KeptReject(NamedTuple):
    """An open reject as it is kept."""

    stream: str
    record_key: str
    reason: str
    raw_text: str
    first_seen_at: datetime
    last_seen_at: datetime


class ReplayPage(PageTransaction, Protocol):
    """The transaction of one stretch of a replay: what a page's can do, and what only a replay asks for."""

    def held_after(self, call_id: str, *, limit: int) -> HeldCalls:
        """Return the calls of the connection whose ids follow `call_id` ("": the first), and what belongs to them."""
        ...

    def rewrite(self, rewrites: Sequence[Rewrite]) -> frozenset[str]:
        """Write held calls and their children in place, as far as they differ; return the ids of those that are refused."""
        ...

    def rejects_after(self, place: Place, *, limit: int) -> Sequence[KeptReject]:
        """Return the open rejects of the connection that follow `place`."""
        ...

    def gone(self, call_ids: Sequence[str]) -> Mapping[str, datetime]:
        """Return when those of the calls that were found gone at the provider were so last."""
        ...

    def resolve(self, *, stream: str, keys: Sequence[str], at: datetime) -> None:
        """Note that these rejects are none any more."""
        ...


class ReplayWarehouse(RunRegister, Protocol):
    """What a replay needs of the warehouse. Every method raises WarehouseError; those that write, FenceLost."""

    def calls_held(self, connection: str) -> int:
        """Return how many calls are held of the connection."""
        ...

    def page(self, account: Account, *, run_id: int) -> AbstractContextManager[ReplayPage]:
        """Begin a transaction at the fence; leaving it commits."""
        ...

    def save_departures(self, account: Account, *, run_id: int, found: Departures, now: datetime) -> None:
        """Keep the departures found in what is held, and no others, but for those that only a reading shows."""
        ...
