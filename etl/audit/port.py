"""The values of an audit (what it finds and concludes), and the protocols of the warehouse it needs."""

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
"""The maximum number of disagreements reported one by one; further ones are only counted."""


class Disagreement(NamedTuple):
    """
    One call that the warehouse has wrong, and what is wrong: columns, tables, or that it is `missing` and the like.

    `call_id` is None if no single call can be named. Values are never reported: they may be personal.
    """

    stream: str
    call_id: str | None
    differs: tuple[str, ...]
    mended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamVerdict:
    """The verdict on one stream: one row of `sync.audits`. A count that could not be made is None."""

    stream: str
    span: Span
    provider_count: int | None
    warehouse_count: int | None
    rejected_count: int | None
    verdict: Verdict
    note: str | None = None


@dataclass(slots=True, kw_only=True)
class AuditOutcome(Outcome):
    """How the audit of one connection ended; only a repair is a run, with a run id and status."""

    verdicts: list[StreamVerdict] = field(default_factory=list)
    named: list[Disagreement] = field(default_factory=list)
    disagreements: int = 0
    mended: int = 0
    checked: int = 0  # rows that were compared with their own records

    def name(self, found: Disagreement) -> None:
        """Count a disagreement, and list it unless `NAMED` are listed already."""
        self.disagreements += 1
        self.mended += found.mended
        if len(self.named) < NAMED:
            self.named.append(found)

    @property
    def requests(self) -> int:
        """The number of requests sent to the provider."""
        return self.counters.requests

    @property
    def stands(self) -> bool:
        """Whether any stream's verdict is a mismatch."""
        return any(one.verdict is Verdict.MISMATCH for one in self.verdicts)


class OpenReject(NamedTuple):
    """A record that has not become a call: its key, the id it may have, and its text."""

    key: str
    call_id: str | None
    text: str


class Version(NamedTuple):
    """The number and validity of one row of `public.call_history`."""

    version: int
    valid_from: datetime
    valid_to: datetime
    deleted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is held in one range of ids: calls, children (even those without a call), and versions by call id."""

    held: HeldCalls
    versions: Mapping[str, Sequence[Version]]


class MendingPage(PageTransaction, Protocol):
    """A page's transaction that can also correct rows in place; a correction is no new version of a call."""

    def rewrite(self, rewrites: Sequence[Rewrite]) -> frozenset[str]:
        """Write what differs of held calls and children in place, without history; return the ids that are refused."""
        ...

    def erase(self, call_ids: Sequence[str]) -> None:
        """Delete rows that never were calls of the provider, and children without a call."""
        ...

    def resolve(self, *, stream: str, keys: Sequence[str], at: datetime) -> None:
        """Mark rejects as resolved because the provider no longer lists them."""
        ...


class AuditWarehouse(RunWarehouse, Protocol):
    """What an audit needs of the warehouse beyond what a run needs. Every method raises WarehouseError."""

    def page(self, account: Account, *, run_id: int) -> AbstractContextManager[MendingPage]:
        """Begin a page's transaction, as `RunWarehouse.page` does."""
        ...

    def count_in(self, *, connection: str, stream: str, span: Span) -> int:
        """Return how many calls are held in a span."""
        ...

    def ids_in(self, *, connection: str, stream: str, span: Span) -> Mapping[str, datetime]:
        """Return the ids of the calls held in a span, with their cursors."""
        ...

    def middle(self, *, connection: str, stream: str, span: Span) -> datetime | None:
        """Return the median cursor of the calls held in a span; None if none is held."""
        ...

    def open_rejects(self, *, connection: str, stream: str) -> tuple[OpenReject, ...]:
        """
        Return a stream's open rejects that stand for calls which are not held.

        Left out are a later form of a call held in the stream, and an id in two streams that none holds: that call is missing.
        """
        ...

    def count_by_status(self, *, connection: str, stream: str, before: datetime) -> Mapping[str, int]:
        """Return how many calls before `before` are held, by the provider's word for their status."""
        ...

    def count_by_quarter(self, *, connection: str, stream: str, span: Span) -> Mapping[datetime, int]:
        """Return how many calls are held, by quarter of an hour."""
        ...

    def batches(self, connection: str) -> Iterator[Batch]:
        """Yield everything that is held of a connection, in batches that bound the memory needed."""
        ...

    def held_ids(self, connection: str, call_ids: Sequence[str]) -> frozenset[str]:
        """Return which of the ids are held in any stream."""
        ...

    def differing_rollups(self, connection: str) -> Iterator[tuple[str, date]]:
        """Yield every day of a stored roll-up that is not what calls say, with the roll-up's name."""
        ...

    def remake_days(self, account: Account, *, run_id: int, days: Sequence[date]) -> None:
        """Have the roll-ups of these days made again when the run ends. Raises FenceLost."""
        ...

    def save_daily_totals(self, connection: str, totals: Mapping[date, int], *, observed_at: datetime) -> None:
        """Store the provider's own daily counts."""
        ...

    def save_verdicts(
        self, connection: str, verdicts: Sequence[StreamVerdict], *, checked_at: datetime, capabilities: JSON
    ) -> None:
        """Store an audit's verdicts, and what was found out about the provider on the way."""
        ...
