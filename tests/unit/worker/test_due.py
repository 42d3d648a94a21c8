"""What is due when, over a year with days of daylight saving, downtimes, failures and new schedules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from etl.worker.due import LONGEST_PAUSE, LONGEST_SPREAD, Tried, audit_due, sync_due

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
YEAR = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Santiago")
EVERY = {"*/15 * * * *": 15 * MINUTE, "* * * * *": MINUTE, "7 * * * *": HOUR, "*/20 * * * *": 20 * MINUTE}
"""Schedules that go by the time that passes, and their period."""

DAILY = ("17 3 * * *", "30 2 * * *", "0 2 * * *", "0 0 * * *", "45 1 * * *")
OTHERS = ("0 */6 * * *", "0 9 * * 1-5", "0,30 0-23 * * *", "0,1 3 * * *", "5-55/10 1,2,3 * * *", "0 4 1 * *", "30 2 31 1,3 *")
SCHEDULES = (*EVERY, *DAILY, *OTHERS)

names = st.sampled_from(["pairing", "voice", "voice_eu", "telephony", "a", "z" * 63])
schedules = st.sampled_from(SCHEDULES)
zones = st.sampled_from(ZONES)
instants = st.integers(0, 366 * 24 * 3600 * 10).map(lambda tenths: YEAR + timedelta(seconds=tenths / 10))


def next_due(name: str, schedule: str, zone: str, began: datetime, *, failures: int = 0) -> datetime:
    """Return when the sync after one that began at an instant, and has ended, is due."""
    found = sync_due(name, schedule, zone, Tried(began=began, ended=began, failures=failures, succeeded=began))
    assert found is not None
    return found


def ticks(start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield every minute, as workers look."""
    while start < end:
        yield start
        start += MINUTE


# ── Before the first sync ───────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_never_synced_is_due_since_ever() -> None:
    """A new connection does not wait for its first time; its audit waits for a sync that got through."""
    assert sync_due("pairing", "0 4 1 * *", "UTC", Tried()) is None
    assert audit_due("pairing", "17 3 * * *", "UTC", Tried()) is None
    assert audit_due("pairing", "17 3 * * *", "UTC", Tried(began=YEAR, ended=YEAR, failures=1)) is None
    assert audit_due("pairing", "17 3 * * *", "UTC", Tried(began=YEAR, ended=YEAR, succeeded=YEAR)) == YEAR


# ── Always later, never far ─────────────────────────────────────────────────────────────────────────────────────────


@example(name="a", schedule="30 2 * * *", zone="Europe/Berlin", began=datetime(2026, 10, 25, 1, 10, tzinfo=UTC), failures=0)
@example(name="a", schedule="0,30 0-23 * * *", zone="Europe/Berlin", began=datetime(2026, 10, 25, 1, 10, tzinfo=UTC), failures=0)
@example(name="a", schedule="0,30 0-23 * * *", zone="Europe/Berlin", began=datetime(2026, 3, 29, 0, 59, tzinfo=UTC), failures=0)
@given(name=names, schedule=schedules, zone=zones, began=instants, failures=st.integers(0, 10_000))
def test_the_next_sync_is_later_than_the_last_one(name: str, schedule: str, zone: str, began: datetime, failures: int) -> None:
    """Also in the hour that is repeated and in the one that is left out: so no worker syncs again at every tick."""
    assert next_due(name, schedule, zone, began, failures=failures) > began


@given(name=names, schedule=st.sampled_from(sorted(EVERY)), zone=zones, began=instants)
def test_what_goes_by_minutes_is_never_late(name: str, schedule: str, zone: str, began: datetime) -> None:
    """Whatever the clocks show: a period after the last one at most, and what the connection is moved by."""
    period = EVERY[schedule] * (2 if schedule == "7 * * * *" and zone == "Australia/Lord_Howe" else 1)
    assert next_due(name, schedule, zone, began) <= began + period + min(period / 10, LONGEST_SPREAD) + timedelta(seconds=1)


@settings(max_examples=40)
@given(name=names, schedule=schedules, zone=zones, start=instants)
def test_every_time_of_a_schedule_counts_once(name: str, schedule: str, zone: str, start: datetime) -> None:
    """Syncs that begin as soon as they are due come in the schedule's own number, however a connection is moved."""
    plain, moved = start, start
    for _ in range(10):
        first = next_due(name, schedule, zone, plain)
        again = next_due(name, schedule, zone, moved)
        assert again == first
        assert next_due(name, schedule, zone, first - LONGEST_SPREAD - timedelta(seconds=1)) <= first
        plain = moved = again


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("schedule", DAILY)
def test_a_day_has_one_daily_sync(schedule: str, zone: str) -> None:
    """Every day of the year has one, the day without that hour and the day that has it twice included."""
    at, found = YEAR, []
    while at < YEAR + 365 * DAY:
        at = next_due("pairing", schedule, zone, at)
        found.append(at.astimezone(ZoneInfo(zone)).date())
    first = found[0]
    assert found == [date.fromordinal(first.toordinal() + days) for days in range(len(found))]


# ── Downtimes, failures, new schedules ──────────────────────────────────────────────────────────────────────────────


@given(name=names, schedule=schedules, zone=zones, began=instants, down=st.integers(0, 90 * 24 * 60))
def test_times_that_were_missed_count_once(name: str, schedule: str, zone: str, began: datetime, down: int) -> None:
    """However long nobody worked: one sync at once where any time was missed, and the one after it is in the future."""
    up = began + down * MINUTE
    due = next_due(name, schedule, zone, began)
    if due <= up:
        assert next_due(name, schedule, zone, up) > up
    else:
        assert next_due(name, schedule, zone, began) == due


@given(name=names, schedule=schedules, other=schedules, zone=zones, began=instants)
def test_a_new_schedule_counts_from_the_last_sync(name: str, schedule: str, other: str, zone: str, began: datetime) -> None:
    """Nothing of the old one is remembered: what is due is that of a connection that always had the new one."""
    next_due(name, schedule, zone, began)
    now = next_due(name, other, zone, began)
    next_due(name, schedule, zone, began)
    assert now == next_due(name, other, zone, began)


@given(name=names, schedule=schedules, zone=zones, began=instants, failures=st.integers(0, 10_000))
def test_a_failing_connection_waits_longer_and_never_too_long(
    name: str, schedule: str, zone: str, began: datetime, failures: int
) -> None:
    """After one failure its next time is as ever; then the pause grows, up to six hours, or its period if that is longer."""
    usual = next_due(name, schedule, zone, began)
    due = next_due(name, schedule, zone, began, failures=failures)
    assert (due == usual) if failures < 2 else (due >= usual)
    assert due <= next_due(name, schedule, zone, began, failures=failures + 1)
    bound = next_due(name, schedule, zone, max(began + LONGEST_PAUSE, usual))
    longest = next_due(name, schedule, zone, bound)
    assert due <= longest


@given(began=instants, failures=st.integers(0, 10_000))
def test_a_killed_sync_goes_on_at_once(began: datetime, failures: int) -> None:
    """The first time; one that kills its worker again and again waits, at most six hours."""
    found = sync_due("pairing", "17 3 * * *", "UTC", Tried(began=began, failures=failures))
    assert found is not None
    wait = found - began
    assert (wait == timedelta()) if failures == 0 else (MINUTE <= wait <= LONGEST_PAUSE)


@given(first=instants, second=instants)
def test_an_audit_that_cannot_be_made_is_tried_every_hour_at_most(first: datetime, second: datetime) -> None:
    """And one that was made is due again by the schedule."""
    audited, tried = min(first, second), max(first, second)
    found = audit_due("pairing", "17 3 * * *", "UTC", Tried(succeeded=YEAR, audited=audited, audit_tried=tried))
    assert found is not None
    assert found > audited
    assert audited == tried or found >= tried + HOUR


# ── Spread ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_connections_of_one_schedule_are_spread() -> None:
    """A hundred connections every quarter of an hour begin within 90 seconds, no second with a crowd, and always the same."""
    due = [next_due(f"connection_{number}", "*/15 * * * *", "UTC", YEAR) - YEAR - 15 * MINUTE for number in range(100)]
    seconds = [int(one.total_seconds()) for one in due]
    assert (min(seconds) >= 0, max(seconds) <= 90, max(map(seconds.count, seconds)) <= 6) == (True, True, True)
    assert due == [next_due(f"connection_{number}", "*/15 * * * *", "UTC", YEAR) - YEAR - 15 * MINUTE for number in range(100)]


# ── A year of work ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe"])
def test_a_year_of_ticks(zone: str) -> None:
    """
    One connection fails for a month, workers are away for a weekend and over both changes of the clocks, a schedule is replaced.

    What fails changes nothing for the others: a worker that is there never lets one of them be older than its period.
    """
    away = [(YEAR + 40 * DAY, YEAR + 43 * DAY), (datetime(2026, 3, 28, 22, tzinfo=UTC), datetime(2026, 3, 29, 4, tzinfo=UTC))]
    away.append((datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 4, tzinfo=UTC)))
    tried = {"good": Tried(), "broken": Tried(), "changing": Tried()}
    counts = dict.fromkeys(tried, 0)
    back, when = YEAR, lru_cache(maxsize=8)(sync_due)
    for now in ticks(YEAR, YEAR + 365 * DAY):
        if any(start <= now < end for start, end in away):
            back = now + MINUTE
            continue
        for name, before in tried.items():
            hourly = name == "changing" and now >= YEAR + 200 * DAY
            due = when(name, "5 * * * *" if hourly else "*/15 * * * *", zone, before)  # the same as long as nothing was tried
            if due is not None and due > now:
                continue
            counts[name] += 1
            failed = name == "broken" and 100 * DAY <= now - YEAR < 130 * DAY
            failures = before.failures + 1 if failed else 0
            tried[name] = replace(before, began=now, ended=now, failures=failures, succeeded=None if failed else now)
        good = tried["good"].began
        assert good is not None
        assert now - good <= 17 * MINUTE or now - back <= MINUTE
    hours_away = sum((end - start).total_seconds() for start, end in away) / 3600
    usual = 4 * (365 * 24 - hours_away)
    assert abs(counts["good"] - usual) <= 4
    assert usual - 30 * 96 <= counts["broken"] <= usual - 30 * 96 + 30 * 4 + 16
    assert abs(counts["changing"] - (4 * (200 * 24 - 78) + 165 * 24)) <= 12
