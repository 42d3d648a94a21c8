"""
Computes when the next request may be sent so that the server never counts more than its limit. Pure arithmetic, without a clock.

The server counts a request when it arrives, which is some time between our sending it and our receiving the answer. So a
request occupies its place from the moment it is sent until a whole window after its answer was received. By then it has left the
server's window too, no matter when it arrived. Only where it is known how long a request and an answer travel at least (`way`),
the place is free that much earlier: the answer left the server before it came here, and the next request arrives after it was
sent. What the server itself reports (`Quota`) can only make this stricter.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from etl.errors import EtlError
from etl.http.quota import Quota
from etl.http.retry import LONGEST_WAIT
from etl.model import JSON
from etl.printable import number_of
from etl.provider import Limit
from etl.runs.allowances import Found, Standing

MARGIN = 1.001
"""Windows are lengthened by a thousandth, because two clocks that are being adjusted run at slightly different speeds."""

LONGEST_PAUSE = timedelta(days=1)
"""The longest pause that is kept. A longer one comes from a wrong clock, or the server asks for it again after a day."""

SAVED_EVERY = timedelta(seconds=1)
"""How often an allowance in use is saved at most. What was sent since then nobody knows if the process is killed."""

_UNDERWAY = timedelta(seconds=1)  # how long what a killed process had sent may take to arrive
_MOST_UNSEEN = 200  # more than that no process gets answered in a second, whatever it is allowed
_GRAINS = 512
"""Instants are saved to this part of their age, later rather than earlier: a short memory of a long window."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SAME_WINDOW = timedelta(seconds=1)


class DaySpent(EtlError):
    """The day's budget is spent. The caller knows the connection and turns this into an error for the user."""


class Use(NamedTuple):
    """How much of a limit is used: so many requests of those allowed in `per`; None: in the UTC day, a budget of the user's."""

    per: timedelta | None
    used: int
    allowed: int


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
            raise DaySpent(f"the budget of {number_of(self.daily, 'request')} for {self._day.isoformat()} (UTC) is spent")
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

    def answered(self, now: datetime, quota: Quota | None, *, way: timedelta = timedelta()) -> None:
        """Record that a request was answered, what that said about the requests left, and the shortest way there and back."""
        self._end(now, way)
        if quota is None or quota.resets_at > now + LONGEST_WAIT or self._explains(quota, now - way):
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

    def standing(self, now: datetime) -> Standing:
        """Return what a later run must know. Requests in flight count as answered now; those outside all windows are left out."""
        self._look_at(now)
        longest = max((limit.per for limit in self.limits), default=timedelta()) * MARGIN
        recent = self._done[bisect_right(self._done, now - longest) :]
        instants = (recent + [now] * self._in_flight)[-self._kept :] if self._kept else []
        told = Counter(_coarse(instant, now) for instant in instants)
        quota = self._quota
        memory = {
            "limits": [[limit.requests, limit.per.total_seconds()] for limit in sorted(self.limits, key=lambda one: one.per)],
            "daily": self.daily,
            "answered": [[instant, times] for instant, times in sorted(told.items())],
            "quota": None
            if quota is None
            else [quota.remaining - self._in_flight, _micros(quota.resets_at), _micros(quota.window), quota.limit],
        }
        return Standing(memory=memory, paused_until=self._paused_until, day=self._day, requests=self._count, at=now)

    def remember(self, found: Found, now: datetime) -> None:
        """
        Go on from what was kept of the account by an earlier run or another process. Values that make no sense are ignored.

        Of an owner that was killed nobody knows what it sent after it had last saved: the limits that are waited for within a run
        are taken as used up then.
        """
        self._look_at(now)
        standing = found.standing
        memory = standing.memory if isinstance(standing.memory, dict) else {}
        if standing.paused_until is not None and now < standing.paused_until <= now + LONGEST_PAUSE:
            self.pause(standing.paused_until)
        for pair in _list(memory.get("answered")):
            instant, times = _pair(pair)
            if instant is not None:
                for _ in range(min(times, self._kept)):
                    self._keep(min(instant, now))
        if standing.day is not None and _is_current(standing.day, now):
            self._day, self._count = standing.day, max(standing.requests, 0) + self._in_flight
        self._quota = _quota(memory.get("quota"))
        self._look_at(now)
        if found.is_orphan and standing.at is not None:
            self._fill_up(min(standing.at + SAVED_EVERY + _UNDERWAY, now))

    def _fill_up(self, then: datetime) -> None:
        """Take the short limits as used up at an instant; where there are long ones only, as much of them as may be."""
        short = [limit.requests for limit in self.limits if limit.per <= LONGEST_WAIT]
        unseen = min(max(short) if short else min((limit.requests for limit in self.limits), default=0), _MOST_UNSEEN)
        for _ in range(unseen):
            self._keep(then)
        self._count += unseen
        if self._quota is not None:
            self._quota = replace(self._quota, remaining=max(0, self._quota.remaining - (unseen or _MOST_UNSEEN)))

    def restrict(self, *, limits: Iterable[Limit], daily: int | None) -> None:
        """Keep these limits as well, because another connection shares the account."""
        self.limits |= frozenset(limits)
        self._kept = max((limit.requests for limit in self.limits), default=0)
        self.daily = min((given for given in (self.daily, daily) if given is not None), default=None)

    def use(self, now: datetime) -> tuple[Use, ...]:
        """Return how much of each limit is used, the shortest first, and of the day's budget."""
        self._look_at(now)
        found = []
        for limit in sorted(self.limits, key=lambda one: one.per):
            recent = len(self._done) - bisect_right(self._done, now - limit.per * MARGIN)
            found.append(Use(limit.per, min(recent + self._in_flight, limit.requests), limit.requests))
        if self.daily is not None:
            found.append(Use(None, min(self._count, self.daily), self.daily))
        return tuple(found)

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

    def _end(self, now: datetime, way: timedelta = timedelta()) -> None:
        self._look_at(now)
        self._in_flight -= 1
        self._keep(now - way)

    def _keep(self, instant: datetime) -> None:
        insort(self._done, instant)
        del self._done[: max(0, len(self._done) - self._kept)]


def _micros(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def _coarse(instant: datetime, now: datetime) -> int:
    """Return an instant in microseconds, rounded up to a grid that fits its age and is a part of every finer one."""
    micros = _micros(instant)
    grain = 1 << max(0, (max(0, _micros(now) - micros) // _GRAINS).bit_length() - 1)
    return -(-micros // grain) * grain


def _list(value: JSON) -> list[JSON]:
    return value if isinstance(value, list) else []


def _pair(value: JSON) -> tuple[datetime | None, int]:
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], int):
        return None, 0
    return _instant(value[0]), value[1]


def _quota(value: JSON) -> Quota | None:
    if not isinstance(value, list) or len(value) != 4 or not isinstance(value[0], int):
        return None
    resets_at, window = _instant(value[1]), _instant(value[2])
    if resets_at is None or window is None or not isinstance(value[3], int | None):
        return None
    return Quota(remaining=value[0], resets_at=resets_at, window=window, limit=value[3])


def _instant(value: JSON) -> datetime | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    try:
        return _EPOCH + value * _MICROSECOND
    except OverflowError:
        return None


def _is_current(day: date, now: datetime) -> bool:
    """Whether `day` is today (UTC) or tomorrow, since around midnight another machine's clock may be slightly ahead."""
    return 0 <= (day - now.astimezone(UTC).date()).days <= 1
