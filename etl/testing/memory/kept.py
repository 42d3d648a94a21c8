"""What a warehouse in memory keeps: of each connection the rows that Postgres would, and of a page what is not committed yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from etl.model import JSON, CallRow, Derived
from etl.runs.account import Account
from etl.runs.state import StreamState
from etl.runs.terms import RunKind, RunStatus, Trigger


class Version(NamedTuple):
    """One row of `public.call_history`."""

    call: CallRow
    version: int
    valid_from: datetime
    valid_to: datetime
    deleted: bool


class KeptReject(NamedTuple):
    """One row of `sync.rejected_records`, but for its key."""

    call_id: str | None
    reason: str
    raw_text: str
    first_seen_at: datetime
    last_seen_at: datetime
    sightings: int = 1
    resolved_at: datetime | None = None


class KeptAgent(NamedTuple):
    """One row of `public.agents`."""

    name: str | None
    status: str | None
    first_seen_at: datetime
    last_seen_at: datetime
    closed_at: datetime | None = None


class KeptDeparture(NamedTuple):
    """One row of `sync.schema_drift`, but for its key (path and kind)."""

    sample: str
    number: int
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(slots=True)
class KeptRun:
    """One row of `sync.runs`."""

    connection: str
    trigger: Trigger
    kind: RunKind
    status: RunStatus = RunStatus.RUNNING
    counted: dict[str, Any] = field(default_factory=dict)
    error_code: str | None = None


@dataclass(slots=True)
class Shelf:
    """
    The rows of one connection. Every value in it is immutable, so that a page copies nothing but what it writes.

    Also what a page has written and not committed: then a call that it removed stands as None.
    """

    calls: dict[str, Derived | None] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)  # how often the details of calls have failed in a row
    history: dict[str, tuple[Version, ...]] = field(default_factory=dict)
    rejects: dict[tuple[str, str], KeptReject] = field(default_factory=dict)
    agents: dict[str, KeptAgent] = field(default_factory=dict)
    departures: dict[tuple[str, str], KeptDeparture] = field(default_factory=dict)
    states: dict[str, StreamState] = field(default_factory=dict)
    marks: dict[str, datetime | None] = field(default_factory=dict)  # the high-water marks of the streams
    about: dict[str, JSON] = field(default_factory=dict)  # capabilities, pinned_organization
    counted: dict[str, Any] = field(default_factory=dict)  # of a page only: the run keeps it

    def take(self, page: Shelf) -> None:
        """Commit what a page has written."""
        self.calls |= page.calls
        for call_id in [call_id for call_id, entry in page.calls.items() if entry is None]:
            del self.calls[call_id]
            self.failures.pop(call_id, None)
        self.failures |= {call_id: number for call_id, number in page.failures.items() if call_id in self.calls}
        self.history |= page.history
        self.rejects |= page.rejects
        self.agents |= page.agents
        self.departures |= page.departures
        self.states |= page.states
        self.marks |= page.marks
        self.about |= page.about


@dataclass(slots=True, kw_only=True)
class Kept:
    """One connection: who owns it, and its rows."""

    account: Account
    owner_run: int
    shelf: Shelf = field(default_factory=Shelf)
