"""Reads what headers say about the requests left, and estimates the difference between the server's clock and ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from etl.http.retry import seconds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_SMALLEST_EPOCH = timedelta(days=365 * 30)  # less than this since 1970 is not an instant but a number of seconds from now
_LARGEST_EPOCH = timedelta(days=365 * 300)  # more than this is in milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """
    What a response says about the requests left: `remaining` until `resets_at`, which is by our clock and, if in doubt, too late.

    `window` identifies the server's window; `limit` is the number of requests per window, if the server says so.
    """

    remaining: int
    resets_at: datetime
    window: datetime
    limit: int | None = None


class ServerClock:
    """
    How far the server's clock is ahead of ours, as precisely as its `Date` headers allow.

    A `Date` is cut to whole seconds, so one response leaves an uncertainty of a second and its latency; several narrow it
    down. If they contradict each other, a clock was set, and only the newest counts.
    """

    def __init__(self) -> None:
        self._least: timedelta | None = None
        self._most = timedelta()

    def heard(self, date: datetime, *, sent: datetime, received: datetime) -> None:
        """Take note of a response's `Date`; `sent` and `received` are by our clock."""
        least, most = date - received, date - sent + _SECOND
        if self._least is None or least > self._most or most < self._least:
            self._least, self._most = least, most
        else:
            self._least, self._most = max(least, self._least), min(most, self._most)

    def ours(self, theirs: datetime) -> datetime:
        """Return the latest instant of our clock at which the server's may show `theirs`; unchanged if no `Date` was seen."""
        return theirs - (self._least or timedelta())

    def theirs(self, ours: datetime) -> datetime:
        """Return the earliest instant that the server's clock may show at `ours`."""
        return ours + (self._least or timedelta())


def quota(headers: Mapping[str, str], clock: ServerClock, *, now: datetime, names: str = "X-RateLimit") -> Quota | None:
    """
    Read `X-RateLimit-Limit`, `-Remaining` and `-Reset` (Unix time; also in milliseconds, or seconds from now), or other `names`.

    Return None if they are absent or make no sense: more left than allowed, nothing allowed at all, a reset in the past or more
    than a day ahead. `headers` has lower-case names, `now` is our clock.
    """
    limit, remaining, reset = (seconds(headers.get(f"{names}-{end}".lower())) for end in ("limit", "remaining", "reset"))
    if remaining is None or reset is None or remaining < timedelta():
        return None
    if limit is not None and not timedelta() < limit >= remaining:
        return None
    try:
        if reset < _SMALLEST_EPOCH:
            window = clock.theirs(now) + min(max(reset, timedelta()), _DAY * 2)
        else:
            window = _EPOCH + (reset if reset < _LARGEST_EPOCH else reset / 1000)
        resets_at = clock.ours(window)
    except OverflowError:  # a clock so wrong that no instant is left of it
        return None
    if not now < resets_at <= now + _DAY + _SECOND:
        return None
    whole = int(limit / _SECOND) if limit is not None else None
    return Quota(remaining=int(remaining / _SECOND), resets_at=resets_at, window=window, limit=whole)
