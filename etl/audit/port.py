"""Knows the words of an audit: what it finds, what it concludes, and what its warehouse must offer. Does nothing itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple, Protocol

from etl.coverage import Span
from etl.model import JSON, Verdict
from etl.records.rows import HeldCalls, Rewrite
from etl.runs.account import Account
from etl.runs.port import PageTransaction, RunWarehouse
from etl.runs.terms import Outcome

NAMED = 1_000
"""So many disagreements are named one by one; the others are counted."""


class Disagreement(NamedTuple):
    """
    One call about which the warehouse is not right, and in what: columns, tables, or that it is `missing` and the like.

    `call_id` is None where no single call can be named. Values are never told: they may be personal.
    """

    stream: str
    call_id: str | None
    differs: tuple[str, ...]
    mended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamVerdict:
    """What the audit of one stream concludes: one row of `sync.audits`. A count is None where there is none."""

    stream: str
    span: Span
    provider_count: int | None
    warehouse_count: int | None
    rejected_count: int | None
    verdict: Verdict
    note: str | None = None


@dataclass(slots=True, kw_only=True)
class AuditOutcome(Outcome):
    """How the audit of one connection ended; only a repair is a run, and has its id and status."""

    verdicts: list[StreamVerdict] = field(default_factory=list)
    named: list[Disagreement] = field(default_factory=list)
    disagreements: int = 0
    mended: int = 0
    checked: int = 0  # rows that were compared with their own records

    def name(self, found: Disagreement) -> None:
        """Count a disagreement, and keep it by name while there are not too many."""
        self.disagreements += 1
        self.mended += found.mended
        if len(self.named) < NAMED:
            self.named.append(found)

    @property
    def requests(self) -> int:
        """How many requests were sent to the provider."""
        return self.counters.requests

    @property
    def stands(self) -> bool:
        """Whether a mismatch stands."""
        return any(one.verdict is Verdict.MISMATCH for one in self.verdicts)


class OpenReject(NamedTuple):
    """A record that has not become a call: its key, the id it may have, and its text."""

    key: str
    call_id: str | None
    text: str


class Version(NamedTuple):
    """One row of `public.call_history`, as far as its place in time is concerned."""

    version: int
    valid_from: datetime
    valid_to: datetime
    deleted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What the warehouse holds in one range of ids: calls, children (those of no call included), and versions by call id."""

    held: HeldCalls
    versions: Mapping[str, Sequence[Version]]


class MendingPage(PageTransaction, Protocol):
    """A page's transaction that can also put right what was never news, so that no version is kept of it."""

    def rewrite(self, rewrites: Sequence[Rewrite]) -> frozenset[str]:
        """Write held calls and their children in place, as far as they differ; return the ids of those that are refused."""
        ...

    def erase(self, call_ids: Sequence[str]) -> None:
        """Delete rows that never were calls of the provider, and children that belong to no call."""
        ...

    def resolve(self, *, stream: str, keys: Sequence[str], at: datetime) -> None:
        """Note that the provider no longer lists these rejects."""
        ...


class AuditWarehouse(RunWarehouse, Protocol):
    """What an audit needs of the warehouse beyond what a run needs. Every method raises WarehouseError."""

    def page(self, account: Account, *, run_id: int) -> AbstractContextManager[MendingPage]:
        """See `RunWarehouse.page`."""
        ...

    def count_in(self, *, connection: str, stream: str, span: Span) -> int:
        """Return how many calls are held in a span."""
        ...

    def ids_in(self, *, connection: str, stream: str, span: Span) -> Mapping[str, datetime]:
        """Return the ids of the calls held in a span, with their cursors."""
        ...

    def middle(self, *, connection: str, stream: str, span: Span) -> datetime | None:
        """Return the cursor with as many calls held before as after it in a span, None where none is held."""
        ...

    def open_rejects(self, *, connection: str, stream: str) -> tuple[OpenReject, ...]:
        """Return the unresolved rejects of a stream that are no later form of a call held in it."""
        ...

    def count_by_status(self, *, connection: str, stream: str, before: datetime) -> Mapping[str, int]:
        """Return how many calls before `before` are held in each of the provider's words."""
        ...

    def count_by_quarter(self, *, connection: str, stream: str, span: Span) -> Mapping[datetime, int]:
        """Return how many calls are held in each quarter of an hour."""
        ...

    def batches(self, connection: str) -> Iterator[Batch]:
        """Go through everything that is held, in bounded memory."""
        ...

    def held_ids(self, connection: str, call_ids: Sequence[str]) -> frozenset[str]:
        """Return which of the ids are held, in whatever stream."""
        ...

    def save_daily_totals(self, connection: str, totals: Mapping[date, int], *, observed_at: datetime) -> None:
        """Keep the provider's own number of calls of each day."""
        ...

    def save_verdicts(
        self, connection: str, verdicts: Sequence[StreamVerdict], *, checked_at: datetime, capabilities: JSON, request_log: JSON
    ) -> None:
        """Keep what an audit concluded, and what was found out about the provider on the way."""
        ...
