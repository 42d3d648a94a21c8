"""What is remembered of a stream: what is owed, what a step changes, where the mark is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from etl.coverage import ORIGIN, Span, Spans
from etl.reading.walks import Step
from etl.runs.state import FAR, StreamState

EPOCH = datetime(2026, 3, 1, tzinfo=UTC)
LOOKBACK = timedelta(hours=2)


def at(hours: float) -> datetime:
    """Return an instant so many hours after the epoch of these tests."""
    return EPOCH + timedelta(hours=hours)


def step(*read: tuple[float, float], settles_before: float, horizon: float | None = None) -> Step:
    """Return a step that read these hours."""
    return Step(
        records=(),
        sent_at=at(settles_before),
        read=Spans([Span(at(start), at(end)) for start, end in read]),
        settles_before=at(settles_before),
        number=1,
        horizon=at(horizon) if horizon is not None else None,
    )


def test_what_is_younger_than_the_lookback_is_covered_and_not_settled() -> None:
    """It is read again at the next run, and what came late meanwhile arrives."""
    state = StreamState(start=at(0)).after(step((0, 10), settles_before=10), lookback=LOOKBACK)

    assert (state.coverage, state.settled, state.high_water_mark) == (Spans([(at(0), at(10))]), Spans([(at(0), at(8))]), at(10))
    assert state.to_read(at(20)) == Spans([(at(8), at(20) + FAR)])


def test_after_a_weekend_without_a_run_the_lookback_counts_from_the_last_reading() -> None:
    """Not from now: a call of hour 9 that came late at hour 11 lies in what the run of hour 80 reads."""
    state = StreamState(start=at(0)).after(step((0, 10), settles_before=10), lookback=LOOKBACK)

    assert at(9) in state.to_read(at(80))


def test_the_lookback_counts_back_from_what_the_step_says_and_not_from_our_clock() -> None:
    """The provider's clock may be behind ours: by it, hour 9 is still restless."""
    behind = replace(step((0, 10), settles_before=10), sent_at=at(11))
    state = StreamState(start=at(0)).after(behind, lookback=LOOKBACK)

    assert state.settled == Spans([(at(0), at(8))])


def test_nothing_is_covered_further_ahead_of_our_clock_than_the_lookback() -> None:
    """Whatever the provider's clock says: a mark years ahead would hide every call until then."""
    ahead = replace(step((0, 90), settles_before=10), sent_at=at(10))
    state = StreamState(start=at(0)).after(ahead, lookback=LOOKBACK)

    assert state.coverage == Spans([(at(0), at(12))])


def test_the_mark_waits_below_a_gap() -> None:
    """What was read above a gap is covered; the mark moves only when the gap is closed."""
    state = StreamState(start=at(0)).after(step((0, 4), settles_before=20), lookback=LOOKBACK)
    above = state.after(step((8, 20), settles_before=20), lookback=LOOKBACK)
    closed = above.after(step((4, 8), settles_before=21), lookback=LOOKBACK)

    assert [one.high_water_mark for one in (state, above, closed)] == [at(4), at(4), at(20)]


def test_there_is_no_mark_before_the_domain_is_known_and_its_start_was_read() -> None:
    """A list without a start date has no beginning until its end was seen."""
    unknown = StreamState(start=None).after(step((5, 10), settles_before=10), lookback=LOOKBACK)
    known = unknown.after(step((3, 5), settles_before=10, horizon=3), lookback=LOOKBACK)

    assert (unknown.high_water_mark, known.high_water_mark, known.domain_start) == (None, at(10), at(3))
    assert StreamState(start=at(0)).high_water_mark is None


def test_a_list_that_no_longer_reaches_down_to_what_was_read_has_lost_what_lies_between() -> None:
    """It is below the horizon, so that no later run can close it, and is told."""
    state = StreamState(start=None, coverage=Spans([(at(0), at(5))])).after(
        step((8, 12), settles_before=12, horizon=8), lookback=LOOKBACK
    )

    assert state.lost == Spans([(at(5), at(8))])


def test_everything_is_read_again_and_nothing_forgotten() -> None:
    """`--full` empties what is settled; coverage, horizon and mark stay."""
    state = StreamState(start=None).after(step((0, 10), settles_before=10, horizon=0), lookback=LOOKBACK)
    again = state.unsettled()

    assert (again.settled, again.coverage, again.horizon, again.high_water_mark) == (
        Spans(),
        state.coverage,
        state.horizon,
        state.high_water_mark,
    )


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 60)), max_size=8))
def test_settled_is_always_covered_and_never_reaches_into_the_lookback(steps: list[tuple[int, int, int]]) -> None:
    """Whatever is read in whatever order: settled ⊆ coverage, and what is owed plus what is settled is the whole domain."""
    state = StreamState(start=None)
    for start, end, settles_before in steps:
        state = state.after(step((start, end), settles_before=settles_before), lookback=LOOKBACK)

    assert state.settled - state.coverage == Spans()
    assert state.settled.above(at(60) - LOOKBACK) == Spans()
    assert state.to_read(at(60)) | state.settled == Spans([(ORIGIN, at(60) + FAR)])
