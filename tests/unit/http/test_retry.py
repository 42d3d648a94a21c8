"""How long to wait before asking again: never longer than allowed, never shorter than asked for, and not for ever."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.http.retry import LONGEST_WAIT, MOST_THROTTLES, Patience, asked_wait

NOW = datetime(2026, 3, 15, 12, 0, 0, tzinfo=UTC)

waits = st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(hours=1))
asks = st.none() | st.timedeltas(min_value=timedelta(microseconds=1), max_value=LONGEST_WAIT)


def patience(*, max_attempts: int = 8, backoff: float = 0.5, max_backoff: float = 60, seed: int = 1) -> Patience:
    return Patience(
        max_attempts=max_attempts,
        backoff=timedelta(seconds=backoff),
        max_backoff=timedelta(seconds=max_backoff),
        chance=random.Random(seed),
    )


@given(st.integers(1, 12), waits, waits, st.lists(asks, min_size=12, max_size=12), st.integers())
def test_waits_after_failures_grow_within_their_bounds(
    max_attempts: int, backoff: timedelta, max_backoff: timedelta, asked: list[timedelta | None], seed: int
) -> None:
    """Wait n lies between half and all of backoff × 2ⁿ⁻¹, at most max_backoff, at least what was asked; the last is none."""
    tried = Patience(max_attempts=max_attempts, backoff=backoff, max_backoff=max_backoff, chance=random.Random(seed))

    for number, ask in enumerate(asked[: max_attempts - 1]):
        wait = tried.after_failure(ask)
        longest = min(backoff * 2**number, max(backoff, max_backoff))
        least = max(longest / 2 - timedelta(microseconds=1), ask or timedelta())
        assert wait is not None and least <= wait <= max(longest, ask or timedelta())

    assert tried.after_failure(None) is None


@given(asks, st.integers())
def test_a_throttled_request_waits_as_told(asked: timedelta | None, seed: int) -> None:
    """Up to a tenth is added so that several do not come back at once."""
    wait = patience(seed=seed).after_throttle(asked)

    least, most = (asked, asked * 1.1) if asked else (timedelta(seconds=0.5), timedelta(seconds=1))
    assert wait is not None and least <= wait <= most + timedelta(microseconds=1)


def test_throttles_are_no_failures() -> None:
    """However often a request was throttled, all its attempts are left."""
    tried = patience(max_attempts=3)
    for _ in range(20):
        tried.after_throttle(timedelta(seconds=1))

    assert [tried.after_failure(None) is not None for _ in range(3)] == [True, True, False]


def test_throttling_ends_by_time_and_by_number() -> None:
    """Neither a long wait, nor many that add up, nor endless short ones hold a run for ever."""
    long, adding, endless = patience(), patience(), patience()
    added, ends = 0, 1
    while adding.after_throttle(timedelta(minutes=2)) is not None:
        added += 1
    while endless.after_throttle(timedelta(microseconds=1)) is not None:
        ends += 1

    assert (long.after_throttle(timedelta(hours=2)), 6 <= added <= 8, ends) == (None, True, MOST_THROTTLES)


def test_a_failure_that_asks_for_hours_ends_at_once() -> None:
    """A maintenance of hours is not waited for."""
    assert patience().after_failure(timedelta(hours=2)) is None


@pytest.mark.parametrize(
    ("headers", "body", "wait"),
    [
        ({"retry-after": "3"}, None, 3),
        ({"retry-after": "1.5"}, {"retry_after": 9}, 1.5),
        ({"retry-after": "Sun, 15 Mar 2026 12:00:30 GMT"}, None, 30),
        ({"retry-after": "Sun, 15 Mar 2026 11:00:00 GMT"}, None, None),
        ({}, {"retry_after": 1.5}, 1.5),
        ({}, {"retry_after": "2"}, 2),
        ({"retry-after": "soon"}, {"retry_after": 4}, 4),
        ({"retry-after": "0"}, None, None),
        ({"retry-after": "-5"}, None, None),
        ({"retry-after": "nan"}, None, None),
        ({"retry-after": "1e300"}, None, None),
        ({}, {"retry_after": True}, None),
        ({}, {"retry_after": [1]}, None),
        ({}, [1], None),
        ({"retry-after": "Sun, 99 Mar 2026 12:00:30 GMT"}, None, None),
        ({}, None, None),
    ],
)
def test_every_form_of_retry_after_is_understood(headers: dict[str, str], body: object, wait: float | None) -> None:
    """Seconds, fractions, a date, the body; nonsense is as good as nothing."""
    assert (timedelta(seconds=wait) if wait is not None else None) == asked_wait(headers, body, now=NOW)
