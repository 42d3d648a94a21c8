"""
Protocols that runs need from outside: a warehouse, and a watcher for progress.

The API's protocol is in `etl.reading.api`, what an audit needs beyond a run in `etl.audit.port`, clock and threads in
`etl.effects`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from threading import Event
from typing import NamedTuple, Protocol

from etl.coverage import Spans
from etl.model import JSON, AgentRow, Derived, DriftNote, Record, Rejection
from etl.reading.walks.way import Held
from etl.records.rows import Draft, FilledVersion, HeldCalls, OldVersion, Rewrite, Stored
from etl.records.shield import Shield
from etl.runs.account import Account
from etl.runs.state import StreamState
from etl.runs.terms import Absent, Compared, Counters, DueCall, Outcome, Reject, RunKind, Trigger

Due = Callable[[Derived, JSON], datetime | None]
"""Decides when to ask for a call's detail again, given the derived call and its decoded detail; None: never again."""


class Cutting(NamedTuple):
    """How many calls, superseded versions and rejects something was cut out of."""

    calls: int = 0
    versions: int = 0
    rejects: int = 0


class Watcher(Protocol):
    """Receives the progress of a sync, for a progress bar or for nothing."""

    def stream_started(self, connection: str, stream: str) -> None:
        """A stream is about to be read."""
        ...

    def page_loaded(self, connection: str, stream: str, *, records: int, total: int | None) -> None:
        """A page of `records` records was committed; `total` is the provider's count, if it gives one."""
        ...

    def stream_finished(self, connection: str, stream: str) -> None:
        """A stream is finished, whether everything owed was read or not."""
        ...


class KeptVersion(NamedTuple):
    """The records of a version that is history, as JSON text."""

    call_id: str
    version: int
    raw: str
    detail: str | None
    content_hash: bytes


class RejectText(NamedTuple):
    """The text of a reject, and where it is kept."""

    stream: str
    record_key: str
    raw_text: str


class ErasingPage(Protocol):
    """What a page's transaction offers where somebody, or something, was erased of its connection."""

    shield: Shield

    def erased_among(self, call_ids: Collection[str]) -> frozenset[str]:
        """Return which of these calls are erased, whatever is read of them."""
        ...

    def note_erased(self, call_ids: Collection[str]) -> None:
        """Remember that these calls are erased, for whenever something is read of them."""
        ...

    def held_whole(self, call_ids: Collection[str]) -> HeldCalls:
        """Return these calls as they are held, with their children."""
        ...

    def rewrite(self, rewrites: Sequence[Rewrite]) -> frozenset[str]:
        """Write what differs of held calls and children in place, without history; return the ids that are refused."""
        ...

    def versions_of(self, call_ids: Collection[str]) -> Sequence[KeptVersion]:
        """Return the superseded versions of these calls."""
        ...

    def rewrite_versions(self, versions: Sequence[KeptVersion]) -> None:
        """Write the records of superseded versions in place."""
        ...

    def rejects_of(self, call_ids: Collection[str]) -> Sequence[RejectText]:
        """Return the rejects of these calls, resolved ones too."""
        ...

    def rewrite_rejects(self, rejects: Sequence[tuple[RejectText, str, str]]) -> None:
        """Replace the text of each reject, and the key under which it is kept; two that become one are one."""
        ...


class PageTransaction(Protocol):
    """
    One page's transaction: it begins by checking the fence, and commits as a whole or not at all.

    `erasing` is None where nothing was ever erased of the connection, and costs nothing then.
    """

    @property
    def erasing(self) -> ErasingPage | None:
        """What has to be done because something was erased; None where nothing was, and nothing has to be."""
        ...

    def compare(self, records: Sequence[Record], *, stream: str, observed_at: datetime) -> Compared:
        """Compare records read at `observed_at` with what is held. Each is of a different call, and none is a reject."""
        ...

    def held(self, call_ids: Collection[str]) -> Mapping[str, Stored]:
        """Return the held records of these calls, by call id."""
        ...

    def copy(self, draft: Draft) -> bool:
        """Write calls that are expected to be new; if one is held or refused by the database, write none and return False."""
        ...

    def insert(self, entries: Sequence[Derived]) -> frozenset[str]:
        """Write calls that are not held; return the ids of those that the database refuses."""
        ...

    def update(self, entries: Sequence[Derived]) -> frozenset[str]:
        """
        Write held calls and their children, and move the versions they replace to the history; return the ids refused.

        A call whose held record or held detail was observed later is left unchanged.
        """
        ...

    def note(self, *, stream: str, rejects: Sequence[Reject], drift: Mapping[DriftNote, int], observed_at: datetime) -> None:
        """Store rejects and drift with their counts; a reject that is stored already is counted once more."""
        ...

    def came_right(
        self, call_ids: Collection[str], *, stream: str, observed_at: datetime, reason: Rejection | None = None
    ) -> None:
        """Resolve the rejects (of one reason, None: of any) of calls that were now read properly, unless seen since."""
        ...

    def absent(self, *, stream: str, read: Spans, seen: Iterable[Collection[str]]) -> Absent:
        """Count the calls held in `read`, and return the ids that are in none of the `seen` collections."""
        ...

    def ask_for(self, call_ids: Collection[str], *, due_at: datetime | None) -> None:
        """Set when the details of these calls are to be fetched; None: never."""
        ...

    def detail_failed(self, due: Mapping[str, datetime]) -> None:
        """Count that a request for each of these calls' details brought nothing usable, and set when to ask again."""
        ...

    def detail_came(self, call_ids: Collection[str]) -> None:
        """Forget how often the details of these calls had failed."""
        ...

    def bury(self, call_ids: Collection[str], *, gone_at: datetime) -> int:
        """Move calls that are gone at the provider to the history and delete their children; return how many were held."""
        ...

    def save_state(self, stream: str, state: StreamState) -> None:
        """Write coverage, settled, mark, horizon and closing. A page is of one stream: the state saved last is the one kept."""
        ...

    def save_agents(self, agents: Sequence[AgentRow], *, observed_at: datetime) -> None:
        """Write agents that are new, renamed, changed or back; one that is as it was known is seen again once a day."""
        ...

    def close_agent(self, agent_id: str, *, observed_at: datetime) -> None:
        """Note that an agent no longer exists at the provider; its calls stay."""
        ...

    def pin_organization(self, organization: str) -> None:
        """Keep the organisation that this connection's records belong to."""
        ...

    def save_connection(self, *, capabilities: JSON) -> None:
        """Keep what was found out about the provider."""
        ...

    def note_drift(self, drift: Mapping[DriftNote, int], *, observed_at: datetime) -> None:
        """Count what departs from the documents, each with how often it was seen."""
        ...

    def save_counters(self, counters: Counters) -> None:
        """Keep what the run has done so far."""
        ...


class RunRegister(Protocol):
    """What every kind of run needs of the warehouse to begin and end. Every method raises WarehouseError."""

    def acquire(self, connection: str) -> None:
        """Take the connection's lock. Raises AlreadyRunning."""
        ...

    def release(self, connection: str) -> None:
        """Give the lock back."""
        ...

    def is_known(self, connection: str) -> bool:
        """Whether the connection was ever synced."""
        ...

    def open_run(self, account: Account, *, kind: RunKind, trigger: Trigger) -> int:
        """Mark unfinished runs as crashed, open a run row, and make it the connection's owner (the fence)."""
        ...

    def remake(self, account: Account, *, run_id: int, stop: Event) -> None:
        """
        Make the roll-ups of every touched day of the connection again, in transactions that check the fence.

        What is not made when `stop` is set stays touched, and so is computed when it is read. Raises FenceLost.
        """
        ...

    def close_run(self, run_id: int, *, outcome: Outcome) -> None:
        """Close the run row, unless another run took over and has marked it."""
        ...


class Remembered(NamedTuple):
    """What is kept of a connection: its capabilities, its pinned organisation, and its streams as `RunWarehouse.streams` says."""

    capabilities: JSON
    pinned: str | None
    streams: dict[str, StreamState]


class RunWarehouse(RunRegister, Protocol):
    """What a sync needs of the warehouse. Every method raises WarehouseError; those that write, FenceLost."""

    def remembered(self, connection: str) -> Remembered:
        """Return what runs before have kept. Raises ConnectionFailed if no run was opened."""
        ...

    def encoded(self, draft: Draft) -> Draft:
        """
        Return a draft in the form that `copy` writes fastest: with its rows encoded, or unchanged.

        Does not touch the database, and may run in any thread.
        """
        ...

    def remake_calls(self, account: Account, *, run_id: int, written: int) -> int:
        """
        Make the roll-ups of calls again of the touched days but the first and the last, unless these hold more than `written`.

        May run in another thread than the one that writes pages: what a page touches meanwhile stays touched. Returns how many
        calls the days hold, 0 if none were made. Raises FenceLost.
        """
        ...

    def remake_people(self, account: Account, *, run_id: int, written: int) -> int:
        """
        Make those of people and pairs again, as `remake_calls` does, of the touched weeks of which those of calls are made.

        The first and the last touched week are left to `remake`. Raises FenceLost.
        """
        ...

    def page(self, account: Account, *, run_id: int) -> AbstractContextManager[PageTransaction]:
        """Begin a page's transaction; leaving it commits. Raises FenceLost where another run is the owner."""
        ...

    def streams(self, connection: str) -> dict[str, StreamState]:
        """Return the state of every known stream; `start` is None, because it follows from the settings."""
        ...

    def newest(self, *, connection: str, stream: str, before: datetime | None, limit: int) -> tuple[Held, ...]:
        """Return the newest held calls, newest first, those of one instant by id; `before` bounds their cursor (exclusive)."""
        ...

    def oldest(self, *, connection: str, stream: str, since: datetime, limit: int) -> tuple[Held, ...]:
        """Return the oldest held calls from a cursor on (inclusive), oldest first, those of one instant by id."""
        ...

    def held_among(self, *, connection: str, stream: str, call_ids: Collection[str]) -> frozenset[str]:
        """Return which of the ids are held in the stream."""
        ...

    def position(self, *, connection: str, stream: str, instant: datetime) -> int:
        """Return how many held calls of the stream have a cursor at or after `instant`."""
        ...

    def count(self, *, connection: str, stream: str) -> int:
        """Return how many calls of the stream are held."""
        ...

    def due_calls(self, connection: str, *, now: datetime, limit: int, only_open: bool = False) -> tuple[DueCall, ...]:
        """
        Return held calls of all streams whose detail is due at `now` (by the provider's clock), newest first, then by id.

        With `only_open` those that have not ended, so that however many others are due do not stand before them.
        """
        ...

    def failing_details(self, connection: str) -> Mapping[str, int]:
        """Return by stream how many held calls have a detail whose last request brought nothing usable; none: left out."""
        ...


Departures = Mapping[tuple[str, str], tuple[int, str]]
"""How records depart from the documentation: by path and kind, how often and with a sample."""


class Place(NamedTuple):
    """The position of a reject in the order in which a connection's rejects are read."""

    stream: str
    record_key: str


FIRST = Place("", "")
"""Before every reject."""


class KeptReject(NamedTuple):
    """An open reject as the warehouse stores it."""

    stream: str
    record_key: str
    reason: str
    raw_text: str
    first_seen_at: datetime
    last_seen_at: datetime


class ReplayPage(PageTransaction, Protocol):
    """The transaction of one batch of a replay: a page's transaction plus what only a replay needs."""

    def held_after(self, call_id: str, *, limit: int) -> HeldCalls:
        """Return the connection's next calls after `call_id` in the order of ids ("": from the first), with their children."""
        ...

    def rewrite(self, rewrites: Sequence[Rewrite]) -> frozenset[str]:
        """Write what differs of held calls and children in place, without history; return the ids that are refused."""
        ...

    def rejects_after(self, place: Place, *, limit: int) -> Sequence[KeptReject]:
        """Return the open rejects of the connection that follow `place`."""
        ...

    def gone(self, call_ids: Sequence[str]) -> Mapping[str, datetime]:
        """Return when each of these calls was last found gone at the provider; those never gone are left out."""
        ...

    def resolve(self, *, stream: str, keys: Sequence[str], at: datetime) -> None:
        """Mark these rejects as resolved."""
        ...

    def unfilled_versions(self, *, limit: int) -> Sequence[OldVersion]:
        """Return some superseded versions that were kept before the history had columns of its own for what they were."""
        ...

    def fill_versions(self, versions: Sequence[FilledVersion]) -> None:
        """Write these columns of superseded versions."""
        ...


class ReplayWarehouse(RunRegister, Protocol):
    """What a replay needs of the warehouse. Every method raises WarehouseError; those that write, FenceLost."""

    def calls_held(self, connection: str) -> int:
        """Return how many calls of the connection are held."""
        ...

    def page(self, account: Account, *, run_id: int) -> AbstractContextManager[ReplayPage]:
        """Begin a transaction that checks the fence; leaving it commits."""
        ...

    def save_departures(self, account: Account, *, run_id: int, found: Departures, now: datetime) -> None:
        """Replace the stored departures by those found, except the kinds that can be seen only while reading."""
        ...
