"""
Protocols for a way of listing calls: where a stream begins, and how it is read, proven, counted and probed.

Each way is one file beside its walk, and `etl.reading.orders` names them all. Nothing else asks how a provider lists calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from etl.coverage import Span, Spans
from etl.effects import Clock
from etl.model import Record
from etl.reading.source import Capabilities, Page, Pager, Source
from etl.reading.walks.step import Step


class Held(NamedTuple):
    """A call that the warehouse holds, with its cursor."""

    call_id: str
    cursor: datetime


class Holdings(Protocol):
    """What a walk has to know about the held calls of its stream."""

    def newest(self, before: datetime | None) -> tuple[Held, ...]:
        """Return the newest held calls that the provider must still have, newest first; `before` is exclusive."""
        ...

    def oldest(self, since: datetime) -> tuple[Held, ...]:
        """Return the oldest held calls from an instant on, oldest first."""
        ...

    def position(self, instant: datetime) -> int:
        """Return how many calls are held from an instant on."""
        ...


class Extent(NamedTuple):
    """
    What a few pages of one record show of a stream; None for what they do not.

    `style` is the way of asking in which a second page was another one than the first, if `pages_work`; else the last one tried.
    """

    calls: int | None
    oldest: datetime | None
    newest: datetime | None
    style: str
    pages_work: bool | None
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    A walk, not begun yet, and held calls of which it must show one before it may claim anything (empty: none is held).

    With `by_detail` their details prove as much where its first page shows other calls, although another attempt would follow.
    """

    steps: Iterator[Step]
    anchors: tuple[Held, ...]
    by_detail: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What is needed to read one stream: the account's source, settings, and earlier findings about the provider."""

    source: Source
    stream: str
    capabilities: Capabilities
    per_page: int | None
    lookback: timedelta
    clock: Clock

    def pager(self, *, per_page: int | None = None) -> Pager:
        """Return a new pager of the stream, with the configured page size or the one given."""
        return Pager(self.source, stream=self.stream, found=self.capabilities, per_page=per_page or self.per_page)


class Uncountable(Exception):
    """The provider gives no number to compare; the text says why."""


class Side(Protocol):
    """The provider's side of an audit's comparison. Raises Uncountable, and ConnectionFailed and its subclasses."""

    bound: datetime
    """Before this instant, everything is older than the lookback, by the provider's clock and by ours."""

    @property
    def size(self) -> int:
        """The number of records read at once."""
        ...

    def count(self, span: Span) -> int:
        """Return how many records the provider has in a span."""
        ...

    def confirm(self, span: Span, *, counted: int, middle: datetime | None) -> None:
        """
        Raise Uncountable where the provider's total contradicts what it lists: then that so many were `counted` proves nothing.

        `middle` divides the span in two that hold about as many calls each; None: it cannot be divided.
        """
        ...

    def records(self, span: Span) -> Iterator[tuple[Record, datetime]]:
        """Yield the records of a span, even those with an unreadable cursor, each with the instant of its request."""
        ...

    def placeless_above(self) -> frozenset[str]:
        """Return the keys of records without a readable cursor that are listed above `bound`."""
        ...

    def forget(self) -> None:
        """Drop remembered answers, so that everything is requested again."""
        ...


class Way(Protocol):
    """One way of listing calls by their cursor."""

    def start(self, start_date: datetime | None) -> datetime | None:
        """Return where a stream begins; None: where the provider's list ends."""
        ...

    def end(self, now: datetime) -> datetime:
        """Return the instant up to which a stream is to be read at `now`."""
        ...

    def plans(self, pager: Pager, owed: Spans, held: Holdings, *, now: datetime, exactly: bool) -> Iterator[tuple[Attempt, ...]]:
        """
        Yield, for each walk needed to read `owed`, alternative attempts, best first, one of which must be proven.

        An attempt may read more than what is owed, in order to meet held calls; with `exactly`, no more than the proof needs.
        Each plan must be carried out before the next one is requested.
        """
        ...

    def elsewhere(self, pager: Pager, step: Step, anchors: tuple[Held, ...]) -> Iterator[Page]:
        """Yield further pages that should show held calls which the first step of a walk does not reach."""
        ...

    def moved(self, pager: Pager, unread: Spans, held: Holdings) -> Iterator[Page]:
        """
        Yield pages from `unread`, where the provider lists more calls than are held: calls that were missed may stand there now.

        It is looked for with few requests; nothing on these pages is claimed.
        """
        ...

    def side(self, access: Access, *, expected: Callable[[datetime], int]) -> Side:
        """Return the provider's side of a count; `expected(instant)` returns how many calls are held from an instant on."""
        ...

    def counted_from(
        self, start_date: datetime | None, horizon: datetime | None, *, held_in: Callable[[Span], int]
    ) -> datetime | None:
        """Return the start of the range that can be counted on both sides; None: it has no lower bound."""
        ...

    def extent(self, pager: Pager, *, since: datetime | None, until: datetime) -> Extent:
        """Return what at most four pages of one record show of a stream; `since` is where it is to be read from."""
        ...
