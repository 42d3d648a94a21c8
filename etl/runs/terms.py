"""The values of a run: what it was asked to do, what a page brought, what was counted and found, how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from etl.errors import EtlError
from etl.model import Record, Rejection
from etl.records.rows import NOTHING, Draft, Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """What a sync should read again beyond what is due anyway: everything, or one range (`[since, until)`)."""

    full: bool = False
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_range(self) -> bool:
        """Whether one range was asked for."""
        return self.since is not None or self.until is not None


class RunKind(StrEnum):
    """What a run does (`sync.runs.kind`). Freshness is judged by syncs only."""

    SYNC = "sync"
    REPAIR = "repair"
    REPLAY = "replay"
    REBUILD = "rebuild"
    ERASE = "erase"


class Trigger(StrEnum):
    """Who started a run (`sync.runs.trigger`)."""

    CLI = "cli"
    WORKER = "worker"
    LIBRARY = "library"


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

    @property
    def written(self) -> int:
        """The number of calls that were written or removed."""
        return self.inserted + self.updated + self.deleted

    def become(self, other: Counters) -> None:
        """Take on what another one has counted."""
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))

    def add(self, loaded: Loaded) -> None:
        """Add what one page brought."""
        self.inserted += loaded.inserted
        self.updated += loaded.updated
        self.unchanged += loaded.unchanged
        self.rejected += loaded.rejected
        self.late += loaded.late
        if loaded.max_lateness is not None:
            self.max_lateness = max(loaded.max_lateness, self.max_lateness or loaded.max_lateness)


class Loaded(NamedTuple):
    """
    What loading one page did. `late` counts new calls in what had been covered before.

    `open_ids` are the calls on the page that have not ended, and those that had not before it. `older_by` says of a detail
    that was passed over how much later the held one was observed.
    """

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    late: int = 0
    max_lateness: timedelta | None = None
    open_ids: frozenset[str] = frozenset()
    older_by: timedelta | None = None


@dataclass(kw_only=True)
class Observed:
    """
    The records of one page of a stream, loaded together. `records` must not change: what is computed from them is cached.

    `due_at` is when the details of the calls written are to be fetched; None: never. `draft` holds rows prepared in advance for
    records expected to be new; it saves time, and does not affect what is written in the end.
    """

    stream: str
    records: Sequence[Record]
    observed_at: datetime
    due_at: datetime | None
    draft: Draft = NOTHING

    @cached_property
    def latest(self) -> Mapping[str, Record]:
        """The records that can become rows, by call id; if an id occurs twice, its last record."""
        return {record.call_id: record for record in self.records if record.rejection is None and record.call_id is not None}

    @cached_property
    def call_ids(self) -> frozenset[str]:
        """All ids on the page, including those of rejects."""
        return frozenset([record.call_id for record in self.records if record.call_id is not None])


class Reject(NamedTuple):
    """A record that cannot become a row, and why."""

    record: Record
    reason: Rejection


class Elsewhere(NamedTuple):
    """A record whose call is held in another stream than the one that lists it, and how it is held there."""

    record: Record
    stream: str
    cursor: datetime
    held: Stored


class Compared(NamedTuple):
    """
    How records compare with what is held. A record in none of these is held with the same bytes, or in a later observation.

    `open_ids` are the calls among all of the records that are held and have not ended.
    """

    new: Sequence[Record]  # not held
    elsewhere: Sequence[Elsewhere]  # held in another stream
    differing: Sequence[tuple[Record, Stored]]  # held with other bytes, or with a detail that says otherwise
    open_ids: frozenset[str]


class Absent(NamedTuple):
    """How many calls are held in the range a page covers, and which of them it did not show."""

    held: int
    call_ids: frozenset[str]


class DueCall(NamedTuple):
    """
    A call whose detail is to be fetched: it is new, changed, open, lacks late parts, or was missing from a list.

    `failures` counts the requests in a row that brought nothing usable; `has_detail` says whether any ever brought something.
    """

    stream: str
    call_id: str
    is_open: bool
    cursor: datetime
    failures: int = 0
    has_detail: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something a run reports although it did not fail: a gap that stays, a list that is out of order."""

    stream: str
    code: str
    text: str


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How a run on one connection ended; `run_id` is None where none was opened."""

    connection: str
    run_id: int | None = None
    status: RunStatus = RunStatus.FAILED
    counters: Counters = field(default_factory=Counters)
    error: EtlError | None = None
    findings: list[Finding] = field(default_factory=list)
