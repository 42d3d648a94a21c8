"""Decides how long to wait before a request is sent again, and when to give up."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from etl.model import JSON

LONGEST_WAIT = timedelta(minutes=15)
"""The longest wait within a run. If a longer one is needed, the run ends and the next run continues."""

MOST_THROTTLES = 100
"""The number of 429 answers at which a request is given up. They do not count as failed attempts."""

_FIRST_THROTTLE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why an attempt failed: a word for logs, what happened (as the end of a sentence), and a hint for the user."""

    word: str
    happened: str
    hint: str = "Nothing needs to be done if it recovers: the next sync continues. Else ask the provider."


class Throttled(Exception):
    """The provider answered 429; `wait` is the wait it asks for, or None."""

    def __init__(self, wait: timedelta | None) -> None:
        super().__init__("throttled")
        self.wait = wait


class Failed(Exception):
    """An attempt failed in a way that may pass; `wait` is the wait the provider asks for, or None."""

    def __init__(self, cause: Cause, *, wait: timedelta | None = None) -> None:
        super().__init__(cause.word)
        self.cause = cause
        self.wait = wait


class Patience:
    """Counts the attempts and the waiting time of one request, and decides when to give up."""

    def __init__(self, *, max_attempts: int, backoff: timedelta, max_backoff: timedelta, chance: random.Random) -> None:
        self._max_attempts = max_attempts
        self._backoff = backoff
        self._max_backoff = max_backoff
        self._chance = chance
        self._throttled_for = timedelta()
        self.failures = 0
        self.throttles = 0

    @property
    def attempts(self) -> int:
        """The number of attempts made so far, all of them unsuccessful."""
        return self.failures + self.throttles

    def after_failure(self, asked: timedelta | None) -> timedelta | None:
        """
        Return how long to wait after a failed attempt, or None to give up.

        The backoff doubles with each failure up to `max_backoff`, and the wait is a random part of it, at least half. A longer
        wait that the provider asks for replaces it; if that is longer than `LONGEST_WAIT`, the request is given up.
        """
        self.failures += 1
        if self.failures >= self._max_attempts or (asked is not None and asked > LONGEST_WAIT):
            return None
        return max(self._jittered(self._backoff, self.failures), asked or timedelta())

    def after_throttle(self, asked: timedelta | None) -> timedelta | None:
        """
        Return how long to wait after a 429: what the provider asks for plus up to a tenth, or None if that takes too long.

        If it asks for nothing, the wait doubles from a second up to `max_backoff`. All such waits of one request together may
        last `LONGEST_WAIT` plus a tenth.
        """
        self.throttles += 1
        if asked:
            wait = asked * (1 + self._chance.random() / 10) if asked < LONGEST_WAIT else asked
        else:
            wait = self._jittered(max(self._backoff, _FIRST_THROTTLE), self.throttles)
        self._throttled_for += wait
        return None if self.throttles >= MOST_THROTTLES or self._throttled_for > LONGEST_WAIT * 1.1 else wait

    def _jittered(self, first: timedelta, times: int) -> timedelta:
        longest = min(first * 2.0 ** min(times - 1, 20), max(self._max_backoff, self._backoff))
        return longest * self._chance.uniform(0.5, 1)


def asked_wait(headers: Mapping[str, str], body: JSON, *, now: datetime) -> timedelta | None:
    """
    Return the wait that a response asks for in `Retry-After` (seconds, fractions, an HTTP date) or in the body's `retry_after`.

    `now` is by the server's clock if that is known. Return None if no wait is given, or none that makes sense.
    """
    given = headers.get("retry-after", "").strip()
    wait = seconds(given)
    if wait is None and (date := http_date(given)) is not None:
        wait = date - now
    if wait is None and isinstance(body, Mapping):
        wait = seconds(body.get("retry_after"))
    return wait if wait is not None and wait > timedelta() else None


def seconds(value: JSON) -> timedelta | None:
    """Read a number of seconds, given as a number or as text; None for anything else, also for what a timedelta cannot hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
        return timedelta(seconds=number) if math.isfinite(number) else None
    except (ValueError, OverflowError):
        return None


def http_date(text: str) -> datetime | None:
    """Read an HTTP date; None for anything else."""
    try:
        date = parsedate_to_datetime(text)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
