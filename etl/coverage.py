"""Sets of time ranges and their arithmetic, for what was read, what is settled, gaps and the high-water mark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

TICK = timedelta(microseconds=1)
"""The resolution of every range: that of Postgres."""

ORIGIN = datetime(1970, 1, 1, tzinfo=UTC)
"""Where a stream begins if no start date is configured: no call is older."""


BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
"""The start of a range without a lower bound."""

FAR = timedelta(days=3650)
"""Added to now, it ends a range "up to the present" beyond any clock's error; the walk clips it to the provider's clock."""


class Span(NamedTuple):
    """The instants from `start` (inclusive) to `end` (exclusive), both aware; empty unless `start < end`."""

    start: datetime
    end: datetime

    def __contains__(self, instant: object) -> bool:
        return isinstance(instant, datetime) and self.start <= instant < self.end


class Spans:
    """
    An immutable set of instants, as ascending spans that neither overlap nor touch: the value of a `tstzmultirange`.

    `|`, `-` and `&` are union, difference and intersection.
    """

    __slots__ = ("_spans",)

    def __init__(self, spans: Iterable[tuple[datetime, datetime]] = ()) -> None:
        """Merge spans in any order, overlapping or empty ones included."""
        merged: list[Span] = []
        for start, end in sorted(Span(*span) for span in spans):
            if start >= end:
                continue
            if merged and start <= merged[-1].end:
                merged[-1] = Span(merged[-1].start, max(end, merged[-1].end))
            else:
                merged.append(Span(start, end))
        self._spans = tuple(merged)

    def __iter__(self) -> Iterator[Span]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)

    def __bool__(self) -> bool:
        return bool(self._spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spans) and self._spans == other._spans

    def __hash__(self) -> int:
        return hash(self._spans)

    def __repr__(self) -> str:
        return "Spans(" + ", ".join(f"[{span.start.isoformat()}, {span.end.isoformat()})" for span in self) + ")"

    def __contains__(self, instant: object) -> bool:
        return any(instant in span for span in self._spans)

    def __or__(self, other: Spans) -> Spans:
        return Spans((*self, *other))

    def __and__(self, other: Spans) -> Spans:
        return Spans((max(a.start, b.start), min(a.end, b.end)) for a in self for b in other)

    def __sub__(self, other: Spans) -> Spans:
        left = list(self)
        for cut in other:
            left = [
                piece
                for span in left
                for piece in (Span(span.start, min(span.end, cut.start)), Span(max(span.start, cut.end), span.end))
                if piece.start < piece.end
            ]
        return Spans(left)

    @property
    def first(self) -> Span:
        """The earliest span. Raises IndexError if there is none."""
        return self._spans[0]

    @property
    def last(self) -> Span:
        """The latest span. Raises IndexError if there is none."""
        return self._spans[-1]

    def below(self, instant: datetime) -> Spans:
        """Return the part before `instant`."""
        return Spans((span.start, min(span.end, instant)) for span in self)

    def above(self, instant: datetime) -> Spans:
        """Return the part from `instant` on."""
        return Spans((max(span.start, instant), span.end) for span in self)

    def gapless_until(self, start: datetime) -> datetime | None:
        """Return the end of the span that contains `start` (the high-water mark), None if there is none."""
        return next((span.end for span in self if start in span), None)


def domain_start(start_date: datetime | None, horizon: datetime | None) -> datetime | None:
    """Return from when a stream has to be read: the later of the start date and the provider's oldest instant."""
    known = [instant for instant in (start_date, horizon) if instant is not None]
    return max(known, default=None)
