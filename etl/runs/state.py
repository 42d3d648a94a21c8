"""Knows what is remembered of a stream, what of it is to be read now, and how a step of a walk changes it; stores nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from etl.coverage import BEGINNING, FAR, ORIGIN, Span, Spans, domain_start
from etl.reading.walks import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """
    One row of `sync.state`.

    `start` is where the stream begins for us: the configured start date, else `ORIGIN` for a provider that filters by the
    cursor, else unknown (None) until the end of the provider's list was seen (`horizon`).
    """

    start: datetime | None
    coverage: Spans = Spans()
    settled: Spans = Spans()
    horizon: datetime | None = None
    closed_at: datetime | None = None

    @property
    def domain_start(self) -> datetime | None:
        """The instant from which the stream is owed, None while it is unknown."""
        return domain_start(self.start, self.horizon)

    @property
    def high_water_mark(self) -> datetime | None:
        """The instant up to which the stream has been read without a gap."""
        start = self.domain_start
        return self.coverage.gapless_until(start) if start is not None else None

    @property
    def gaps(self) -> Spans:
        """
        What is owed below the end of what was read, and was not read; `BEGINNING` where it has no lower bound.

        Below the horizon only what lies above the oldest range that was read is a gap: there was something once. Without a
        horizon the past was not read to its end, so all of it is one. The view `data_freshness` says the same in SQL.
        """
        if not self.coverage:
            return Spans()
        start = self.start or BEGINNING
        if self.horizon is not None:
            start = max(start, min(self.coverage.first.start, self.horizon))
        return Spans([Span(start, self.coverage.last.end)]) - self.coverage

    @property
    def lost(self) -> Spans:
        """The gaps that no later run can close: the provider's list ends above them."""
        return self.gaps.below(self.horizon) if self.horizon is not None else Spans()

    @property
    def closable(self) -> Spans:
        """The gaps that a later run can close; of one that reaches over the horizon, its upper part."""
        return self.gaps - self.lost

    def to_read(self, now: datetime) -> Spans:
        """Return everything that is owed and not settled, up to well after `now`."""
        return Spans([Span(self.domain_start or ORIGIN, now + FAR)]) - self.settled

    def unsettled(self) -> StreamState:
        """Return the state from which everything is read again."""
        return replace(self, settled=Spans())

    def after(self, step: Step, *, lookback: timedelta) -> StreamState:
        """Return the state that a step leaves: what it read is covered, and settled where it was older than the lookback."""
        return replace(
            self,
            coverage=self.coverage | step.read,
            settled=self.settled | step.read.below(step.settles_before - lookback),
            horizon=step.horizon or self.horizon,
        )
