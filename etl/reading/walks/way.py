"""
Knows what a way of listing calls must answer: how a stream is read, proven, counted, probed, and where it begins.

Each way is one file beside its walk; `etl.reading.orders` names them all. Nothing else asks how a provider lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from etl.coverage import Span, Spans
from etl.effects import Clock
from etl.model import Record
from etl.provider import Ask
from etl.reading.source import Capabilities, Page, Pager, Source
from etl.reading.walks.step import Step


class Held(NamedTuple):
    """A call that the warehouse holds, and where it stands in its stream."""

    call_id: str
    cursor: datetime


class Holdings(Protocol):
    """What the warehouse holds of one stream, as far as a walk has to know it."""

    def newest(self, before: datetime | None) -> tuple[Held, ...]:
        """Return the newest calls held, newest first, that the provider must still have; `before` is exclusive."""
        ...

    def oldest(self, since: datetime) -> tuple[Held, ...]:
        """Return the oldest calls held from an instant on, oldest first."""
        ...

    def position(self, instant: datetime) -> int:
        """Return how many calls are held from an instant on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One walk, not begun yet, and the calls held of which it must meet one before anything is claimed (none: nothing held)."""

    steps: Iterator[Step]
    anchors: tuple[Held, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How one stream is asked for: the account's source, its settings, and what was found out before."""

    source: Source
    stream: str
    capabilities: Capabilities
    per_page: int | None
    lookback: timedelta
    clock: Clock

    def pager(self, *, per_page: int | None = None) -> Pager:
        """Return a new pager of the stream, with pages as large as configured or of the size given."""
        return Pager(self.source, stream=self.stream, found=self.capabilities, per_page=per_page or self.per_page)


class Uncountable(Exception):
    """The provider gives no number that could be compared; the text says why."""


class Side(Protocol):
    """The provider's side of an audit's comparison. Raises Uncountable, and the family of ConnectionFailed."""

    bound: datetime
    """What lies before this instant is older than the lookback by the provider's clock and by ours."""

    @property
    def size(self) -> int:
        """So many records are read at once."""
        ...

    def count(self, span: Span) -> int:
        """Return how many records the provider has in a span."""
        ...

    def records(self, span: Span) -> Iterator[tuple[Record, datetime]]:
        """Read the records of a span, those whose cursor cannot be read included, with the instant each was asked for."""
        ...

    def placeless_above(self) -> frozenset[str]:
        """Return the keys of the records without a readable cursor that stand above `bound`."""
        ...

    def forget(self) -> None:
        """Ask again for whatever is wanted from now on."""
        ...


class Way(Protocol):
    """One way of listing calls by their cursor."""

    probed: str
    """What the total of the page that `probe` asks for counts, said after the number."""

    def start(self, start_date: datetime | None) -> datetime | None:
        """Return where a stream begins; None: wherever the provider's list ends."""
        ...

    def end(self, now: datetime) -> datetime:
        """Return up to where a stream is to be read at `now`."""
        ...

    def plans(self, pager: Pager, owed: Spans, held: Holdings, *, exactly: bool) -> Iterator[tuple[Attempt, ...]]:
        """
        Yield, for each walk that is needed to read `owed`, the attempts of which one must be proven, best first.

        What is read may reach further than what is owed, so that it meets calls that are held; with `exactly` no further than
        the proof needs. A plan is to be carried out before the next one is asked for.
        """
        ...

    def elsewhere(self, pager: Pager, step: Step, anchors: tuple[Held, ...]) -> Iterator[Page]:
        """Yield pages that should show calls held which the first step of a walk does not reach."""
        ...

    def side(self, access: Access, *, expected: Callable[[datetime], int]) -> Side:
        """Open the provider's side of a count; `expected(instant)` tells how many calls are held from an instant on."""
        ...

    def counted_from(
        self, start_date: datetime | None, horizon: datetime | None, *, held_in: Callable[[Span], int]
    ) -> datetime | None:
        """Return where the range begins that can be counted on both sides; None: at the beginning of time."""
        ...

    def probe(self, *, until: datetime, span: timedelta) -> Ask:
        """Return the smallest page to ask for: the calls of the last `span`, or the newest call."""
        ...
