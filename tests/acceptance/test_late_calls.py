"""Calls of one instant, and calls that become visible long after it, arrive."""

from __future__ import annotations

from datetime import timedelta

import pytest

from etl.runs.terms import RunStatus
from tests.acceptance.cast import CAST, FOLLOWED, PROVIDERS
from tests.acceptance.stage import START, Stage

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("around", [0, 700])
def test_2500_tuple_calls_of_one_instant_arrive_whole(stage: Stage, around: int) -> None:
    """More than two pages end at one and the same instant, and every request deals them anew; others lie before and after."""
    at = START - timedelta(days=3)
    for index in range(around):
        stage.history.add("tuple", at=at - (index + 1) * timedelta(seconds=7))
        stage.history.add("tuple", at=at + (index + 1) * timedelta(seconds=7))
    stage.history.add("tuple", number=2500, at=at)

    outcome = stage.sync("tuple")

    assert (outcome.status, outcome.error, outcome.findings) == (RunStatus.SUCCEEDED, None, [])
    assert len(stage.ids("tuple")) == 2500 + 2 * around
    assert stage.ids("tuple") == stage.truth_ids("tuple")
    assert stage.state("tuple")[0]["high_water_mark"] == START


@pytest.mark.parametrize("provider", PROVIDERS)
def test_ties_over_the_edges_of_pages_arrive_whole(stage: Stage, provider: str) -> None:
    """Groups of up to thirty calls of one instant in pages of ten, dealt anew by every request."""
    stage.settings = {provider: {"per_page": 10}}
    for minutes, number in enumerate((1, 30, 2, 9, 12, 1, 1, 25, 3)):
        stage.history.add(provider, number=number, at=START - timedelta(days=1, minutes=minutes))

    outcome = stage.sync(provider)

    assert (outcome.status, outcome.error, outcome.findings) == (RunStatus.SUCCEEDED, None, [])
    assert stage.ids(provider) == stage.truth_ids(provider)
    assert stage.state(provider)[0]["high_water_mark"] == START


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_call_visible_two_hours_late_arrives_after_three_days_without_a_sync(stage: Stage, provider: str) -> None:
    """
    The lookback counts from what the last sync saw, not from now.

    A call of the last instant before a sync becomes visible two hours later, while the scheduler is down for three days in
    which other calls come.
    """
    stage.history.add(provider, number=5, at=START - 30 * HOUR)
    stage.history.add(provider, number=5, at=START - HOUR)
    (late,) = stage.history.add(provider, at=START - timedelta(seconds=1), visible_at=START + 2 * HOUR)
    stage.sync(provider)
    assert late not in stage.ids(provider)
    for hours in range(1, 72):
        stage.history.add(provider, at=START + hours * HOUR, visible_at=START + hours * HOUR)
    stage.history.advance(timedelta(days=3))

    outcome = stage.sync(provider)

    assert late in stage.ids(provider)
    assert stage.ids(provider) == stage.truth_ids(provider)
    assert (outcome.counters.inserted, outcome.counters.late) == (72, 1)
    assert outcome.counters.max_lateness == timedelta(seconds=1)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_change_within_the_lookback_arrives_after_three_days_without_a_sync(stage: Stage, provider: str) -> None:
    """A finished call that its provider amends within the lookback is read again, however long the scheduler was down."""
    (changed,) = stage.history.add(provider, at=START - timedelta(minutes=100))
    stage.history.add(provider, number=5, at=START - timedelta(minutes=90))
    stage.sync(provider)
    stage.history.advance(timedelta(minutes=10))
    stage.history.change(provider, changed, {CAST[provider].duration: 12_345})
    stage.history.add(provider, at=START)
    stage.history.advance(timedelta(days=3))

    stage.sync(provider)

    assert stage.calls(provider)[changed]["duration_seconds"] == 12_345


@pytest.mark.parametrize("provider", FOLLOWED)
def test_an_open_call_is_followed_however_old_it_is(stage: Stage, provider: str) -> None:
    """A call that was in flight ten days long is asked for by every run until it has ended, and then no more."""
    (open_call,) = stage.history.add(provider, at=START - HOUR)
    ended = {
        "bimpe": {"status": "ended", "ended_at": "2026-03-11T12:00:00.000Z", "duration_seconds": 864_000},
        "salpre": {"status": "completed", "ended_at": "2026-03-11T12:00:00Z", "duration_sec": 864_000},
        "krosai": {"status": "completed", "completed_at": "2026-03-11T12:00:00+00:00", "duration": 864_000},
        "aircall": {"status": "done", "answered_at": 1_772_362_800, "ended_at": 1_773_230_400, "duration": 864_000},
        "twilio": {"status": "completed", "end_time": "Wed, 11 Mar 2026 12:00:00 +0000", "duration": "864000"},
    }
    stage.history.change(provider, open_call, {"status": CAST[provider].underway})
    for days in range(1, 11):
        stage.history.add(provider, number=3, at=START + timedelta(days=days) - HOUR)
    stage.sync(provider)
    for _ in range(5):
        stage.history.advance(timedelta(days=2))
        stage.sync(provider)
        assert stage.calls(provider)[open_call]["status"] == "in_progress"
    stage.history.change(provider, open_call, ended[provider])
    stage.history.advance(timedelta(days=1))  # one that is open for so long is looked at once a day

    stage.sync(provider)

    row = stage.calls(provider)[open_call]
    assert (row["status"], row["duration_seconds"], row["ended_at"]) == ("completed", 864_000, START + timedelta(days=10))
    stage.sandbox.clear_requests()
    stage.sync(provider)
    assert [entry.path for entry in stage.sandbox.requests(provider) if open_call.removeprefix("c") in entry.path] == []
