"""The state of a stream: what was read of it, what is still to be read, and how a step of a walk changes that. Pure values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from etl.coverage import BEGINNING, FAR, ORIGIN, Span, Spans, domain_start
from etl.reading.walks import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """
    One row of `sync.state`.

    `start` is where our interest in the stream begins: the configured start date, else `ORIGIN` for a provider that filters by
    the cursor, else unknown (None) until the end of the provider's list was seen (`horizon`).
    """

    start: datetime | None
    coverage: Spans = Spans()
    settled: Spans = Spans()
    horizon: datetime | None = None
    closed_at: datetime | None = None

    @property
    def domain_start(self) -> datetime | None:
        """The instant from which the stream has to be read; None while it is unknown."""
        return domain_start(self.start, self.horizon)

    @property
    def high_water_mark(self) -> datetime | None:
        """The instant up to which the stream has been read without a gap."""
        start = self.domain_start
        return self.coverage.gapless_until(start) if start is not None else None

    @property
    def gaps(self) -> Spans:
        """
        What should have been read up to the latest instant read, and was not; a gap without a lower bound starts at `BEGINNING`.

        Below the horizon, only what lies above the oldest range read is a gap: the provider served something there once. Without
        a horizon the list was never read to its end, so the whole past is a gap. The view `data_freshness` repeats this in SQL.
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
        """The gaps that a later run can close; of a gap that crosses the horizon, the part above it."""
        return self.gaps - self.lost

    def to_read(self, now: datetime) -> Spans:
        """Return everything that has to be read and is not settled, up to well after `now`."""
        return Spans([Span(self.domain_start or ORIGIN, now + FAR)]) - self.settled

    def unsettled(self, since: datetime = BEGINNING) -> StreamState:
        """Return the same state with nothing settled from an instant on, so that all of that is read again."""
        return replace(self, settled=self.settled.below(since))

    def after(self, step: Step, *, lookback: timedelta) -> StreamState:
        """
        Return the state after a step: what it read is covered, and settled where it is older than the lookback.

        Whatever the provider's clock says, nothing is covered further ahead of ours than the lookback.
        """
        read_so_far = step.read_so_far | step.read
        return replace(
            self,
            coverage=self.coverage | step.read.below(step.sent_at + lookback),
            settled=self.settled | read_so_far.below(step.settles_before - lookback),
            horizon=step.horizon or self.horizon,
        )
