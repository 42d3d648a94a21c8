"""
Computes when the next request may be sent so that the server never counts more than its limit. Pure arithmetic, without a clock.

The server counts a request when it arrives, which is some time between our sending it and our receiving the answer. So a
request occupies its place from the moment it is sent until a whole window after its answer was received. By then it has left the
server's window too, no matter when it arrived. What the server itself reports (`Quota`) can only make this stricter.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from etl.errors import EtlError
from etl.http.quota import Quota
from etl.http.retry import LONGEST_WAIT
from etl.model import JSON
from etl.provider import Limit

MARGIN = 1.001
"""Windows are lengthened by a thousandth, because two clocks that are being adjusted run at slightly different speeds."""

LONGEST_PAUSE = timedelta(days=1)
"""The longest pause that is kept. A longer one comes from a wrong clock, or the server asks for it again after a day."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SAME_WINDOW = timedelta(seconds=1)


class DaySpent(EtlError):
    """The day's budget is spent. The caller knows the connection and turns this into an error for the user."""


class Allowance:
    """
    How many requests may still be sent: by rolling windows (`limits`), by a UTC day's budget (`daily`) and by the server.

    The caller passes the time, `now`, to each method. It may jump in both directions, which costs at most one window.
    """

    def __init__(self, *, limits: Iterable[Limit], daily: int | None) -> None:
        self.limits = frozenset(limits)
        self.daily = daily
        self._kept = max((limit.requests for limit in self.limits), default=0)
        self._done: list[datetime] = []  # when the newest answers were received, ascending
        self._in_flight = 0
        self._day = date.min
        self._count = 0
        self._quota: Quota | None = None
        self._paused_until: datetime | None = None

    def wait(self, now: datetime) -> timedelta | None:
        """
        Return how long to wait before the next request, or None: wait until a request in flight has ended.

        Raises DaySpent.
        """
        self._look_at(now)
        if self.daily is not None and self._count >= self.daily:
            raise DaySpent(f"the budget of {self.daily:,} requests for {self._day.isoformat()} (UTC) is spent")
        free_at = now
        for limit in self.limits:
            places = limit.requests - self._in_flight
            if places <= 0:
                return None
            if len(self._done) >= places:
                free_at = max(free_at, self._done[-places] + limit.per * MARGIN)
        if self._quota is not None and self._quota.remaining <= 0:
            free_at = max(free_at, self._quota.resets_at)
        elif self._quota is not None and self._quota.remaining <= self._in_flight:
            return None
        return max(free_at, self._paused_until or now) - now

    def sent(self, now: datetime) -> None:
        """Record that a request is being sent."""
        self._look_at(now)
        self._in_flight += 1
        self._count += 1

    def answered(self, now: datetime, quota: Quota | None) -> None:
        """Record that a request was answered, and what the answer said about the requests left."""
        self._end(now)
        if quota is None or quota.resets_at > now + LONGEST_WAIT or self._explains(quota, now):
            return
        known = self._quota
        if known is None or quota.window >= known.window + _SAME_WINDOW:
            self._quota = quota
        elif quota.window > known.window - _SAME_WINDOW and quota.remaining < known.remaining:
            # Answers may overtake each other. The lowest number is the latest, and requests that it does not count are in flight.
            self._quota = quota

    def lost(self, now: datetime) -> None:
        """Record that a request ended without an answer. The server may have counted it."""
        self._end(now)
        if self._quota is not None:
            self._quota = replace(self._quota, remaining=self._quota.remaining - 1)

    def unsent(self, now: datetime) -> None:
        """Record that a request certainly did not reach the server."""
        self._look_at(now)
        self._in_flight -= 1
        self._count = max(0, self._count - 1)

    def pause(self, until: datetime) -> None:
        """Send nothing before this instant."""
        self._paused_until = max(until, self._paused_until or until)

    def _explains(self, quota: Quota, now: datetime) -> bool:
        """
        Whether our own requests explain the server's count of a limit that we keep ourselves, so that it tells us nothing new.

        The server's window ends at a whole second of a clock that we know only to a second. Waiting for that end as well would
        halve the speed under a limit per second.
        """
        for limit in self.limits:
            if limit.requests == quota.limit and quota.resets_at <= now + limit.per + 2 * _SAME_WINDOW:
                recent = sum(instant > now - limit.per * MARGIN for instant in self._done)
                return recent + self._in_flight >= quota.limit - quota.remaining
        return False

    # ── Memory ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def memory(self, now: datetime) -> JSON:
        """Return what a later run must know. Requests in flight count as answered now; those outside all windows are left out."""
        self._look_at(now)
        longest = max((limit.per for limit in self.limits), default=timedelta()) * MARGIN
        recent = self._done[bisect_right(self._done, now - longest) :]
        instants = (recent + [now] * self._in_flight)[-self._kept :] if self._kept else []
        return {
            "answered": [(instant - _EPOCH) // _MICROSECOND for instant in instants],
            "day": self._day.isoformat(),
            "count": self._count,
            "paused_until": (self._paused_until - _EPOCH) // _MICROSECOND if self._paused_until is not None else None,
        }

    def remember(self, memory: JSON, now: datetime) -> None:
        """Add what `memory` returned in an earlier run or another process. Values that make no sense are ignored."""
        self._look_at(now)
        if not isinstance(memory, dict):
            return
        answered, day, count = memory.get("answered"), memory.get("day"), memory.get("count")
        paused_until = _instant(memory.get("paused_until"))
        if paused_until is not None and now < paused_until <= now + LONGEST_PAUSE:
            self.pause(paused_until)
        told = Counter(min(instant, now) for value in _list(answered) if (instant := _instant(value)) is not None)
        for instant, times in told.items():  # an instant that both memories hold is one request, not two
            for _ in range(times - self._done.count(instant)):
                self._keep(instant)
        stored = _date(day)
        if stored is None or not isinstance(count, int) or not _is_current(stored, now):
            return
        if stored >= self._day:
            self._count = max(count, self._count if stored == self._day else self._in_flight)
            self._day = stored

    def restrict(self, *, limits: Iterable[Limit], daily: int | None) -> None:
        """Keep these limits as well, because another connection shares the account."""
        self.limits |= frozenset(limits)
        self._kept = max((limit.requests for limit in self.limits), default=0)
        self.daily = min((given for given in (self.daily, daily) if given is not None), default=None)

    # ── Bookkeeping ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _look_at(self, now: datetime) -> None:
        """Adjust to the clock: start a new day, drop what has passed, and move instants that now lie in the future to now."""
        if not _is_current(self._day, now):
            self._day, self._count = now.astimezone(UTC).date(), self._in_flight
        ahead = len(self._done)
        while ahead and self._done[ahead - 1] > now:
            ahead -= 1
        self._done[ahead:] = [now] * (len(self._done) - ahead)
        if self._quota is not None and not now < self._quota.resets_at <= now + LONGEST_WAIT:
            self._quota = None
        if self._paused_until is not None and not now < self._paused_until <= now + LONGEST_PAUSE:
            self._paused_until = None

    def _end(self, now: datetime) -> None:
        self._look_at(now)
        self._in_flight -= 1
        self._keep(now)

    def _keep(self, instant: datetime) -> None:
        insort(self._done, instant)
        del self._done[: max(0, len(self._done) - self._kept)]


def _list(value: JSON) -> list[JSON]:
    return value if isinstance(value, list) else []


def _instant(value: JSON) -> datetime | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    try:
        return _EPOCH + value * _MICROSECOND
    except OverflowError:
        return None


def _date(value: JSON) -> date | None:
    try:
        return date.fromisoformat(value)
    except (ValueError, TypeError):
        return None


def _is_current(day: date, now: datetime) -> bool:
    """Whether `day` is today (UTC) or tomorrow, since around midnight another machine's clock may be slightly ahead."""
    return 0 <= (day - now.astimezone(UTC).date()).days <= 1
