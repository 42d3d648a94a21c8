"""A read that was interrupted continues where it stopped, and the mark waits until no gap is left below it."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from etl.errors import Interrupted, ProviderUnavailable
from etl.runs.terms import RunStatus
from tests.acceptance.cast import CAST, NEWEST_FIRST, PROVIDERS
from tests.acceptance.expected import differences, expected_calls, held_calls
from tests.acceptance.stage import START, Stage

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
CALLS, SIZE, A_DAY = 300, 10, 12
PAGES = CALLS // SIZE


@pytest.fixture
def long_stage(stage: Stage) -> Stage:
    """Give a stage with thirty pages of ten calls, one every two hours, all of them over and older than any lookback."""
    stage.settings = {provider: {"per_page": SIZE, "details": False} for provider in PROVIDERS}
    stage.max_attempts = 1
    for index in range(CALLS):
        for provider in PROVIDERS:
            stage.history.add(provider, at=START - timedelta(days=4) - index * 24 * HOUR / A_DAY)
    return stage


def new_calls(stage: Stage, provider: str, number: int) -> None:
    """Let so many calls come, one a minute."""
    for _ in range(number):
        stage.history.advance(MINUTE)
        stage.history.add(provider)


@pytest.mark.parametrize("provider", NEWEST_FIRST)
def test_a_backfill_interrupted_at_a_third_continues_below(long_stage: Stage, provider: str) -> None:
    """New calls arrive meanwhile; the first third is not read again, and there is no mark before the gap is closed."""
    stage = long_stage
    third = PAGES // 3
    path = CAST[provider].page
    stage.sandbox.faults.add("cut", provider=provider, after=third, path=path)
    first = stage.sync(provider)
    assert (first.status, type(first.error), first.counters.pages) == (RunStatus.FAILED, ProviderUnavailable, third)
    assert len(stage.ids(provider)) == third * SIZE
    assert {row["high_water_mark"] for row in stage.state(provider)} == {None}
    stage.sandbox.faults.clear()
    new_calls(stage, provider, 25)
    stage.sandbox.clear_requests()
    marks: list[object] = []

    def look(entry: object) -> None:
        marks.extend({row["high_water_mark"] for row in stage.state(provider)})

    stage.sandbox.on_request = look
    assert stage.sync(provider).status is RunStatus.SUCCEEDED

    # 25 new calls fill two pages and a half; below them lie ten pages of what is held, then the gap. Where it begins is
    # estimated from what is loaded, and up to two pages may be on their way; or asked for by the day, each bound a day wider.
    asked = len(stage.pages(provider))
    if CAST[provider].tokens:
        assert asked <= 3 + (PAGES - third) + 4 + 2 * 2 * A_DAY // SIZE
    else:
        numbers = stage.numbers(provider)
        assert numbers[:3] == [1, 2, 3]
        assert min(numbers[3:]) >= 3 + third - 2
        assert numbers[-1] == PAGES + 3
        assert asked <= 3 + (PAGES - third) + 4
    assert set(marks) == {None}
    assert {row["high_water_mark"] for row in stage.state(provider)} == {stage.history.now}
    assert differences(expected_calls(stage, provider), held_calls(stage, provider)) == {}


def test_a_tuple_backfill_interrupted_at_a_third_continues_above(long_stage: Stage) -> None:
    """Oldest first, the mark follows every page; the next run begins at the last call held."""
    stage = long_stage
    stage.sandbox.faults.add("cut", provider="tuple", after=PAGES // 3)
    stage.sync("tuple")
    (state,) = stage.state("tuple")
    held = sorted(row["ended_at"] for row in stage.calls("tuple").values())
    assert state["high_water_mark"] == held[-1]
    stage.sandbox.faults.clear()
    new_calls(stage, "tuple", 25)
    stage.sandbox.clear_requests()

    assert stage.sync("tuple").status is RunStatus.SUCCEEDED

    assert stage.pages("tuple")[0].query["since"] == held[-1].strftime("%Y-%m-%dT%H:%M:%SZ")
    assert stage.state("tuple")[0]["high_water_mark"] == stage.history.now
    assert differences(expected_calls(stage, "tuple"), held_calls(stage, "tuple")) == {}


@pytest.mark.parametrize("provider", NEWEST_FIRST)
def test_the_mark_of_a_stream_waits_for_the_gap_below_a_walk(long_stage: Stage, provider: str) -> None:
    """Two weeks of calls come while the scheduler is down; the walk that catches up is cut: the mark stays where it was."""
    stage = long_stage
    stage.sync(provider)
    (before,) = stage.state(provider)
    for _ in range(100):
        stage.history.advance(timedelta(hours=3))
        stage.history.add(provider)
    stage.sandbox.faults.add("cut", provider=provider, after=3, path=CAST[provider].page)

    assert isinstance(stage.sync(provider).error, ProviderUnavailable)

    (state,) = stage.state(provider)
    assert state["high_water_mark"] == before["high_water_mark"] == START
    assert len(state["coverage"]) == 2
    assert stage.freshness(provider)["gaps"] == 1
    stage.sandbox.faults.clear()
    assert stage.sync(provider).status is RunStatus.SUCCEEDED
    assert stage.state(provider)[0]["high_water_mark"] == stage.history.now
    assert differences(expected_calls(stage, provider), held_calls(stage, provider)) == {}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_somebody_stops_the_sync_between_two_pages(long_stage: Stage, provider: str) -> None:
    """The page at hand is committed, the run ends `partial`, and the next one brings the rest."""
    stage = long_stage
    stop = threading.Event()
    stage.sandbox.after(4, stop.set, provider=provider, path=CAST[provider].page)

    outcome = stage.sync(provider, stop=stop)

    assert (outcome.status, type(outcome.error)) == (RunStatus.PARTIAL, Interrupted)
    assert 2 * SIZE <= len(stage.ids(provider)) <= 5 * SIZE
    assert stage.run_row(outcome)["error_code"] == "interrupted"
    assert stage.sync(provider).status is RunStatus.SUCCEEDED
    assert differences(expected_calls(stage, provider), held_calls(stage, provider)) == {}
