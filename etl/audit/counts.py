"""
Compares counts with the provider's, and narrows a disagreement down to single calls.

A range that disagrees is halved, at the median of the held calls, until it fits on a page; then that page is read and its ids are
compared.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from etl.audit.port import AuditWarehouse, Disagreement
from etl.coverage import BEGINNING, Span
from etl.reading.orders import way_of
from etl.reading.walks.ascending import whole_second
from etl.reading.walks.way import Side
from etl.records.identify import identify
from etl.runs.context import Task

SECOND = timedelta(seconds=1)

END = datetime(9999, 12, 31, tzinfo=UTC)
"""After every call."""

TRIES = 5
"""How often a span is read that shows fewer calls than were counted."""

HOLE_PAGES = 10
"""A range of at least this many pages of which nothing is held is not narrowed down: all of it is missing."""

LOCATING = 200
"""The maximum number of requests for narrowing down; what is left then is reported, and read again, as whole ranges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The counts of both sides for one range, at one moment."""

    span: Span
    provider: int
    held: int
    rejected: int

    @property
    def agree(self) -> bool:
        """Whether the provider's count equals held calls plus open rejects."""
        return self.provider == self.held + self.rejected


@dataclass(slots=True, kw_only=True)
class Located:
    """Where the sides disagree: single calls, ranges to read again, and how many calls the provider lists twice."""

    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    stretches: list[Span] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)  # keys of rejects whose records the provider no longer lists
    unread: int = 0  # ranges that were not narrowed down to calls
    repeats: int = 0

    def disagreements(self, stream: str, *, mended: bool) -> Iterable[Disagreement]:
        """Yield a disagreement for each call."""
        for call_id in self.missing:
            yield Disagreement(stream, call_id, ("missing",), mended)
        for call_id in self.extra:
            yield Disagreement(stream, call_id, ("not_at_provider",), mended)


class Rejects:
    """The open rejects of a stream, placed by their cursors where those can be read."""

    def __init__(self, task: Task, warehouse: AuditWarehouse, stream: str) -> None:
        self.keys: set[str] = set()
        self.ids: set[str] = set()
        placed: dict[str, tuple[datetime, str]] = {}  # by id, else by key: one call may have several rejects
        self.placeless: set[str] = set()
        placeless: dict[str, str] = {}
        for reject in warehouse.open_rejects(connection=task.connection, stream=stream):
            self.keys.add(reject.key)
            if reject.call_id is not None:
                self.ids.add(reject.call_id)
            cursor = identify(task.account.provider, reject.text.encode(), cleaned=False).cursor
            if cursor is None:
                self.placeless.add(reject.key)
                placeless[reject.key] = reject.call_id or reject.key
            else:
                placed[reject.call_id or reject.key] = (cursor, reject.key)
        self._placed = sorted(placed.values())
        self._placeless = {key: who for key, who in placeless.items() if who not in placed}

    def count(self, span: Span) -> int:
        """Return how many rejects have their cursor in a span."""
        return len(self.keys_in(span))

    def count_placeless(self, *, above: Collection[str]) -> int:
        """Count the calls or records whose rejects have no place, except those of which a key was seen `above`."""
        elsewhere = {self._placeless[key] for key in above if key in self._placeless}
        return len(set(self._placeless.values()) - elsewhere)

    def keys_in(self, span: Span) -> list[str]:
        """Return the keys of the rejects whose cursor is in a span."""
        first, last = (bisect_left(self._placed, (instant, "")) for instant in span)
        return [key for _, key in self._placed[first:last]]


class Comparison:
    """
    One stream, counted on both sides. Raises Uncountable, and ConnectionFailed or a subclass.

    `copies` are held rows that are not calls, with their cursors. They are not counted: each would hide a missing call.
    """

    def __init__(
        self,
        task: Task,
        warehouse: AuditWarehouse,
        stream: str,
        *,
        start: datetime | None,
        copies: Mapping[str, datetime] = MappingProxyType({}),
    ) -> None:
        self._copies = copies
        self._task = task
        self._warehouse = warehouse
        self._stream = stream
        self.rejects = Rejects(task, warehouse, stream)
        way = way_of(task.account.provider)
        self.side: Side = way.side(task.access(stream), expected=lambda instant: self._ours(Span(instant, END)))
        retention = task.account.retention
        kept = BEGINNING if retention is None else whole_second(self.side.bound + task.account.lookback - retention + SECOND)
        self.span = Span(max(start or BEGINNING, kept), self.side.bound)

    def count(self) -> Counted:
        """Count both sides. Where they agree, the provider's total must agree with what it lists as well."""
        provider = self.side.count(self.span)
        placeless = self.rejects.count_placeless(above=self.side.placeless_above()) if self.rejects.placeless else 0
        counted = Counted(
            span=self.span,
            provider=provider,
            held=self._held(self.span),
            rejected=self.rejects.count(self.span) + placeless,
        )
        if counted.agree and provider:
            self.side.confirm(self.span, counted=provider, middle=self._middle(self.span, provider))
        return counted

    def locate(self, counted: Counted) -> Located:
        """Narrow a disagreement down, to single calls if the allowed requests suffice."""
        found = Located()
        if counted.provider == self._ours(self.span):  # only rejects without a place make the difference
            found.stale += sorted(self.rejects.placeless)
            return found
        before = self._task.source.api.requests
        work = [(self.span, counted.provider)]
        while work:
            span, theirs = work.pop()
            if theirs == self._ours(span):
                continue
            self._task.check_stop()
            spent = self._task.source.api.requests - before > LOCATING
            hole = theirs > HOLE_PAGES * self.side.size and span.start != BEGINNING and not self._ours(span)
            if hole or (spent and theirs > self.side.size):
                found.stretches.append(span)
                found.unread += 1
            elif theirs <= self.side.size or (at := self._middle(span, theirs)) is None:
                self._compare(span, theirs, found)
            else:
                older = self.side.count(Span(span.start, at))
                work += [(Span(span.start, at), older), (Span(at, span.end), theirs - older)]
        return found

    def _ours(self, span: Span) -> int:
        return self._held(span) + self.rejects.count(span)

    def _held(self, span: Span) -> int:
        held = self._warehouse.count_in(connection=self._task.connection, stream=self._stream, span=span)
        return held - sum(cursor in span for cursor in self._copies.values())

    def _middle(self, span: Span, theirs: int) -> datetime | None:
        """Return a whole second inside a span at which to divide it; None if there is none."""
        first, last = whole_second(span.start) + SECOND, whole_second(span.end - timedelta(microseconds=1))
        if last < first:
            return None
        held = self._warehouse.middle(connection=self._task.connection, stream=self._stream, span=span)
        if held is None or self._ours(span) < theirs / 2:
            held = span.start + (span.end - span.start) / 2
        return min(max(whole_second(held), first), last)

    def _compare(self, span: Span, theirs: int, found: Located) -> None:
        """Compare a small span call by call; it is read again while pages show calls of one instant in varying order."""
        listed: dict[str, datetime] = {}
        others: dict[str, tuple[str | None, datetime | None]] = {}  # by key, records that cannot become calls
        for _ in range(TRIES):
            beside: dict[datetime | None, set[str]] = {}  # the calls of the instant at hand
            twice = 0
            for record, _at in self.side.records(span):
                group = beside.get(record.cursor)
                if group is None:
                    beside = {record.cursor: (group := set())}
                twice += record.call_id in group
                group.add(record.call_id or "")
                if record.rejection is not None or record.call_id is None or record.cursor is None:
                    others[record.digest.hex()] = (record.call_id, record.cursor)
                elif record.cursor in span:
                    listed[record.call_id] = record.cursor
            if len(listed) + len(others) >= theirs:
                break
            self.side.forget()
        else:
            # A call listed twice stands beside itself; one that comes again further down was on a page in the place of another.
            found.repeats += min(theirs - len(listed) - len(others), twice)
        unseen = [
            cursor
            for key, (call_id, cursor) in others.items()
            if key not in self.rejects.keys and call_id not in self.rejects.ids
        ]
        unplaced = None in unseen
        cursors = [cursor for cursor in unseen if cursor is not None]
        held = self._warehouse.ids_in(connection=self._task.connection, stream=self._stream, span=span)
        missing = [call_id for call_id in listed if call_id not in held and call_id not in self.rejects.ids]
        extra = [call_id for call_id in held if call_id not in listed and call_id not in self._copies]
        found.stale += [key for key in self.rejects.keys_in(span) if key not in others]
        found.missing += missing
        found.extra += extra
        cursors += [listed[call_id] for call_id in missing] + [held[call_id] for call_id in extra]
        if unplaced or (not held and span.start != BEGINNING):
            found.stretches.append(span)
        elif cursors:
            found.stretches.append(Span(whole_second(min(cursors)), whole_second(max(cursors)) + SECOND))
