"""Knows one run: what it is to do, what it has counted, and what its warehouse must offer. Does nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple, Protocol

from etl.coverage import Spans
from etl.errors import EtlError
from etl.model import JSON, AgentRow, Derived, Record
from etl.provider import Provider
from etl.state import StreamState


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One configured connection, its settings resolved against its provider's facts."""

    connection: str
    provider: Provider
    lookback: timedelta
    start_date: datetime | None = None
    retention: timedelta | None = None
    per_page: int | None = None
    max_delete_share: float = 0.2
    agents: tuple[str, ...] | None = None
    organization_id: str | None = None
    currency: str = "USD"
    details: bool = True
    max_open_age: timedelta = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """What a sync was asked for beyond what is owed: everything again, or one range (`[since, until)`) again."""

    full: bool = False
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_range(self) -> bool:
        """Whether one range was asked for."""
        return self.since is not None or self.until is not None


class RunStatus(StrEnum):
    """How a run stands or ended (`sync.runs.status`)."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CRASHED = "crashed"


@dataclass(slots=True)
class Counters:
    """What a run has done so far, as `sync.runs` keeps it."""

    requests: int = 0
    retries: int = 0
    pages: int = 0
    records_seen: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    rejected: int = 0
    late: int = 0
    max_lateness: timedelta | None = None

    def add(self, loaded: Loaded) -> None:
        """Add what one page brought."""
        self.inserted += loaded.inserted
        self.updated += loaded.updated
        self.unchanged += loaded.unchanged
        self.rejected += loaded.rejected
        self.late += loaded.late
        if loaded.max_lateness is not None:
            self.max_lateness = max(loaded.max_lateness, self.max_lateness or loaded.max_lateness)


Due = Callable[[Derived, JSON], datetime | None]
"""Tells when to ask for a call's detail again, given what its records became and its decoded detail; None: not any more."""


class Loaded(NamedTuple):
    """What loading one page did. `late` counts new calls below what had been covered before; `open_ids` are not ended."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    late: int = 0
    max_lateness: timedelta | None = None
    open_ids: frozenset[str] = frozenset()


@dataclass(kw_only=True)
class Observed:
    """
    The records of one page of a stream, to be loaded together; of one id the last counts. Its records do not change.

    `due_at` is when the details of what is written are to be asked for; None: never. `drafts` is the warehouse's own: what it did
    in advance for the records that were expected to be new; what is written does not depend on it.
    """

    stream: str
    records: Sequence[Record]
    observed_at: datetime
    due_at: datetime | None
    drafts: object = None

    @cached_property
    def latest(self) -> Mapping[str, Record]:
        """The records that can become rows, by their ids: of each id the last."""
        return {record.call_id: record for record in self.records if record.rejection is None and record.call_id is not None}

    @cached_property
    def call_ids(self) -> frozenset[str]:
        """The ids that stand on the page, those of rejects among them."""
        return frozenset([record.call_id for record in self.records if record.call_id is not None])


class Absent(NamedTuple):
    """How many calls are held where a page was read, and which of them it did not show."""

    held: int
    call_ids: frozenset[str]


class Held(NamedTuple):
    """A call that the warehouse holds, and where it stands in its stream."""

    call_id: str
    cursor: datetime


class DueCall(NamedTuple):
    """A call whose detail is to be asked for: it is new, changed, not ended, lacks late parts, or was missing from a list."""

    stream: str
    call_id: str
    is_open: bool
    cursor: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something a run must tell although it did not fail: a gap that stays, an order that is violated."""

    stream: str
    code: str
    text: str


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How the sync of one connection ended."""

    connection: str
    run_id: int | None
    status: RunStatus
    counters: Counters = field(default_factory=Counters)
    error: EtlError | None = None
    findings: list[Finding] = field(default_factory=list)


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


class RunWarehouse(Protocol):
    """What a run needs of the warehouse. Every method raises WarehouseError; those that write, FenceLost."""

    def acquire(self, connection: str) -> None:
        """Take the connection's lock. Raises AlreadyRunning."""
        ...

    def release(self, connection: str) -> None:
        """Give the lock back."""
        ...

    def open_run(self, account: Account, *, trigger: str) -> int:
        """Open a run row, close those that crashed, and become the connection's owner (the fence)."""
        ...

    def close_run(self, run_id: int, connection: str, *, outcome: Outcome, request_log: JSON) -> None:
        """Close the run row."""
        ...

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
