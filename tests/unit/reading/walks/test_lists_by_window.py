"""Lists that can be filtered are read by windows that fit what the filter can do, and nothing that was not read is claimed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from etl.coverage import FAR, ORIGIN, TICK, Span, Spans
from etl.errors import ConnectionFailed
from etl.provider import Window
from etl.reading.source import Page
from etl.reading.walks import Step
from etl.reading.walks.stretches import fitted, stretches
from tests.unit.reading.walks.listed import EPOCH, Listed, record
from tests.unit.reading.walks.test_walks_claim_only_what_they_read import missed, vanish_and_appear

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
NOW = EPOCH + 20 * DAY + timedelta(hours=7, seconds=3)
ALL = Spans([Span(ORIGIN, NOW + FAR)])
WINDOWS = {
    "to the second": Window(),
    "to the second, inclusive": Window(until_included=True),
    "whole days, exclusive": Window(grain=DAY),
    "whole days, inclusive": Window(grain=DAY, until_included=True),
    "whole days, nobody knows": Window(grain=DAY, until_included=None),
    "at most a week": Window(grain=DAY, until_included=True, longest=7 * DAY),
    "at most a week, nobody knows": Window(grain=DAY, until_included=None, longest=7 * DAY),
    "at most ten": Window(most=10),
    "at most twelve an hour": Window(grain=HOUR, until_included=True, most=12),
}


@dataclass
class Filtered(Listed):
    """
    A list with such a filter; where nobody knows whether the upper bound is included, `reads_until` says it.

    With `keyed` each page begins below the last call of the page before, as by tokens, and there is no total.
    """

    window: Window = field(default_factory=Window)
    reads_until: bool = False
    filter_works: bool = True
    keyed: bool = False
    lasts: dict[tuple[object, ...], tuple[datetime, str, int]] = field(default_factory=dict)

    def page(self, number: int, *, since: datetime | None = None, until: datetime | None = None) -> Page:
        """Serve a page of what the filter lets through; of no more calls than a query shows."""
        if self.asked:
            self.between(self, len(self.asked))
        calls, window, between = self.calls, self.window, self.between
        assert all(bound is None or (bound - ORIGIN) % window.grain == timedelta() for bound in (since, until))
        if window.longest is not None and not self.found.unfiltered:
            assert since is not None and until is not None and until - since <= window.longest
        included = self.reads_until if window.until_included is None else window.until_included
        end = until + window.grain if until is not None and included else until
        living = {one: at for one, at in calls.items() if (since is None or at >= since) and (end is None or at < end)}
        last = self.lasts.get((since, until, number - 1)) if self.keyed else None
        left = None if window.most is None else window.most - (last[2] if last else 0)
        below = [one for one in living if last is None or (living[one], one) < last[:2]]
        newest = sorted(below, key=lambda one: (living[one], one), reverse=True)[:left]
        self.calls = {one: living[one] for one in newest}
        if not self.filter_works:
            self.calls = {one: at for one, at in calls.items() if last is None or (at, one) < last[:2]}
        self.totals = self.echo = not self.keyed
        self.between = lambda listed, request: None
        page = super().page(1 if self.keyed else number)
        if self.keyed:  # in an order that stays the same, also of calls of one instant: a key has to mean the same every time
            order = sorted(self.calls, key=lambda one: (self.calls[one], one), reverse=True)
            page = replace(page, records=tuple(record(one, self.calls[one]) for one in order[: self.size]))
        if page.records and page.records[-1].cursor is not None:
            served = len(page.records) + (last[2] if last else 0)
            self.lasts[since, until, number] = (page.records[-1].cursor, page.ids[-1], served)
        if not self.keyed and self.filter_works:
            page = replace(page, facts=replace(page.facts, total=len(living)))  # those beyond what a query shows are counted
        self.calls, self.between = calls, between
        self.asked[-1] = (number, since, until)
        return page

    def note_unfiltered(self) -> None:
        """Take note."""
        self.found = replace(self.found, unfiltered=True)

    def note_unsorted(self) -> None:
        """Take note, and remember it."""
        self.found = replace(self.found, unsorted=True)


def history(seed: int, count: int) -> dict[str, datetime]:
    """So many calls within the twenty days before NOW."""
    story = random.Random(seed)
    return {f"call{index}": EPOCH + timedelta(seconds=story.uniform(0, 20 * 86_400)) for index in range(count)}


def steps_of(listed: Filtered, wanted: Spans = ALL, *, retention: timedelta | None = 21 * DAY) -> Iterator[Step]:
    """Read what is wanted by windows; nothing is held."""
    return stretches(listed, listed.window, wanted=wanted, now=NOW, retention=retention, position=lambda _: 0)


def claimed_by(steps: list[Step]) -> Spans:
    """Return what steps read."""
    return Spans([span for step in steps for span in step.read])


def noted(steps: list[Step]) -> set[str]:
    """Return what was told."""
    return {note.value for step in steps for note in step.notes}


@given(
    window=st.sampled_from(sorted(WINDOWS)),
    start=st.floats(0, 20 * 86_400),
    length=st.floats(1e-6, 20 * 86_400),
    share=st.floats(0, 1, exclude_max=True),
    included=st.booleans(),
)
def test_the_bounds_that_are_sent_show_all_of_a_stretch_however_they_are_read(
    *, window: str, start: float, length: float, share: float, included: bool
) -> None:
    """They are whole grains, no further apart than is allowed, and the stretch is the newest part of what is wanted."""
    form = WINDOWS[window]
    span = Span(EPOCH + timedelta(seconds=start), EPOCH + timedelta(seconds=start + length))
    if not span.start < span.end <= NOW:
        return
    stretch = fitted(form, span, now=NOW)
    instant = min(stretch.span.start + (stretch.span.end - stretch.span.start) * share, stretch.span.end - TICK)
    since, until = stretch.since, stretch.until
    assert since is not None and until is not None
    end = until + form.grain if (included if form.until_included is None else form.until_included) else until

    assert span.start <= stretch.span.start < stretch.span.end == span.end
    assert since <= instant < end and instant in stretch.shows
    assert form.longest is not None or stretch.span == span
    assert form.longest is None or until - since <= form.longest
    assert {(bound - ORIGIN) % form.grain for bound in (since, until)} == {timedelta()}


@given(
    window=st.sampled_from(sorted(WINDOWS)),
    seed=st.integers(0, 10_000),
    count=st.integers(0, 60),
    size=st.integers(2, 12),
    keyed=st.booleans(),
    included=st.booleans(),
    ignored=st.booleans(),
    holes=st.lists(st.tuples(st.integers(0, 20 * 86_400), st.integers(1, 4 * 86_400)), max_size=3),
    stop=st.integers(1, 60),
)
def test_cut_at_any_step_every_living_call_that_is_claimed_was_read(
    *,
    window: str,
    seed: int,
    count: int,
    size: int,
    keyed: bool,
    included: bool,
    ignored: bool,
    holes: list[tuple[int, int]],
    stop: int,
) -> None:
    """Calls that come and go, filters that work and that do not, and an end at any step."""
    form = WINDOWS[window]
    listed = Filtered(
        history(seed, count),
        NOW,
        size,
        seed=seed,
        keyed=keyed,
        window=form,
        reads_until=included,
        filter_works=not ignored,
        between=vanish_and_appear(seed),
    )
    wanted = ALL - Spans([(EPOCH + timedelta(seconds=at), EPOCH + timedelta(seconds=at + length)) for at, length in holes])
    steps: list[Step] = []
    for step in steps_of(listed, wanted):
        steps.append(step)
        if len(steps) == stop:
            break
    note(f"asked {listed.asked}")

    assert missed(steps, listed.calls) == []


@given(
    window=st.sampled_from(sorted(WINDOWS)),
    seed=st.integers(0, 10_000),
    count=st.integers(1, 60),
    size=st.integers(2, 12),
    included=st.booleans(),
)
def test_a_quiet_list_is_read_whole(*, window: str, seed: int, count: int, size: int, included: bool) -> None:
    """Down to its end, which is the horizon; where only short windows are answered, down to where it reaches back to."""
    form = WINDOWS[window]
    listed = Filtered(history(seed, count), NOW, size, seed=seed, keyed=True, window=form, reads_until=included)
    steps = list(steps_of(listed))
    begins = NOW - 21 * DAY if form.longest is not None else min(listed.calls.values())

    assert {record.call_id for step in steps for record in step.records} == set(listed.calls)
    assert (claimed_by(steps), steps[-1].horizon) == (Spans([Span(begins, NOW)]), begins)
    assert noted(steps) == set()


@given(seed=st.integers(0, 10_000), size=st.integers(2, 12), at=st.integers(5, 15))
def test_reading_goes_on_where_something_is_missing(*, seed: int, size: int, at: int) -> None:
    """A backfill that was ended goes on at the day of its gap; the newest stretch is read for what is new."""
    listed = Filtered(history(seed, 50), NOW, size, window=WINDOWS["whole days, nobody knows"])
    gap = Span(ORIGIN, EPOCH + at * DAY + HOUR)
    steps = list(steps_of(listed, Spans([gap, Span(NOW - DAY, NOW + FAR)])))
    wanted = gap.end.replace(hour=0) + 2 * DAY  # the day of the bound, and one for each way of reading it

    assert {(since, until) for _, since, until in listed.asked} == {
        (NOW.replace(hour=0, second=0) - 2 * DAY, None),
        (None, wanted),
    }
    assert claimed_by(steps).below(EPOCH + 17 * DAY) == Spans([Span(min(listed.calls.values()), gap.end)])
    assert claimed_by(steps).above(NOW - DAY) == Spans([Span(NOW - DAY, NOW)])


def test_gaps_that_lie_close_together_are_read_by_one_query() -> None:
    """Twenty gaps of a minute in one day would else ask for the same day twenty times."""
    listed = Filtered(history(1, 50), NOW, 1000, window=Window(grain=DAY))
    day = EPOCH + 10 * DAY
    gaps = Spans([Span(day + hour * HOUR, day + hour * HOUR + timedelta(minutes=1)) for hour in range(20)])
    steps = list(steps_of(listed, gaps))

    assert (listed.asked, claimed_by(steps) & gaps) == ([(1, day, day + DAY)], gaps)


@pytest.mark.parametrize("wanted", [Spans([Span(ORIGIN, EPOCH + 4 * DAY)]), Spans([Span(EPOCH, EPOCH + DAY)])])
def test_where_the_filter_is_ignored_the_list_is_read_without_it(wanted: Spans) -> None:
    """That is told, remembered, and claims what was wanted all the same."""
    calls = {f"call{hour:03}": EPOCH + hour * HOUR for hour in range(480)}
    listed = Filtered(calls, NOW, 50, window=Window(grain=DAY), filter_works=False)
    steps = list(steps_of(listed, wanted))

    assert (noted(steps), listed.found.unfiltered) == ({"filter_ignored"}, True)
    assert not wanted.above(EPOCH) - claimed_by(steps)
    assert [bounds for _, *bounds in listed.asked[1:]] == [[None, None]] * (len(listed.asked) - 1)


def test_a_stretch_without_a_call_is_believed_if_others_show_calls() -> None:
    """A week of holidays is asked for again, and so is one that shows calls."""
    calls = {"old": EPOCH + HOUR, "new": NOW - HOUR}
    listed = Filtered(calls, NOW, 10, window=WINDOWS["at most a week"])
    steps = list(steps_of(listed))

    assert claimed_by(steps) == Spans([Span(NOW - 21 * DAY, NOW)])
    assert len(listed.asked) == 3 + 1 + 1


@pytest.mark.parametrize("window", WINDOWS)
def test_a_list_without_a_call_claims_nothing(window: str) -> None:
    """An outage looks the same, and where all is empty there is nothing that speaks against one."""
    listed = Filtered({}, NOW, 10, window=WINDOWS[window])
    steps = list(steps_of(listed))

    assert {(step.read, step.horizon) for step in steps} == {(Spans(), None)}


def test_where_nothing_lies_below_the_list_itself_says_so() -> None:
    """A backfill that was ended just at the end of the list: its rest shows nothing, and the list's end is the horizon."""
    listed = Filtered(history(5, 30), NOW, 10, window=WINDOWS["whole days, nobody knows"])
    oldest = min(listed.calls.values())
    steps = list(steps_of(listed, Spans([Span(ORIGIN, oldest - 5 * DAY)])))

    assert steps[-1].horizon == oldest
    assert {(since, until) for _, since, until in listed.asked[1:]} == {(None, None)}


def test_an_outage_in_the_midst_claims_nothing_of_what_it_emptied() -> None:
    """The second week answers nothing, and answers again when it is asked a second time."""
    listed = Filtered(history(3, 60), NOW, 100, window=WINDOWS["at most a week"])
    calls = listed.calls

    def fails(listed: Listed, request: int) -> None:
        listed.calls = {} if request in (1, 2) else calls

    listed.between = fails
    steps = list(steps_of(listed))

    assert missed(steps, calls) == []
    assert NOW - 10 * DAY not in claimed_by(steps) and NOW - HOUR in claimed_by(steps)


def test_of_a_grain_that_holds_more_than_a_query_shows_the_rest_is_a_gap() -> None:
    """Thirty calls an hour where twelve are shown: the newest of each hour are read, the rest is told."""
    calls = {f"call{number:03}": NOW - number * timedelta(minutes=2) for number in range(90)}
    listed = Filtered(calls, NOW, 5, window=WINDOWS["at most twelve an hour"])
    steps = list(steps_of(listed))

    assert (noted(steps), missed(steps, calls)) == ({"window_cut"}, [])
    assert NOW - timedelta(minutes=10) in claimed_by(steps)
    assert len(listed.asked) < 30


def test_a_list_without_order_is_read_whole_window_by_window() -> None:
    """What was claimed is taken back, and a window is claimed when its distinct ids reach its total."""
    calls = {f"call{hour:03}": EPOCH + hour * HOUR for hour in range(480)}
    listed = Filtered(calls, NOW, 50, window=WINDOWS["at most a week"], shuffled=True)
    steps = list(steps_of(listed))

    assert (noted(steps), listed.found.unsorted, missed(steps, calls)) == ({"order_violated"}, True, [])
    assert claimed_by(steps) == Spans([Span(NOW - 21 * DAY, NOW)])


def test_short_windows_have_to_begin_somewhere() -> None:
    """Without a start date or a retention there would be no end of them."""
    listed = Filtered(history(1, 3), NOW, 10, window=WINDOWS["at most a week"])
    with pytest.raises(ConnectionFailed, match="too many"):
        list(steps_of(listed, retention=None))


def test_a_window_without_room_between_its_bounds_is_refused() -> None:
    """Rounding would leave nothing to read."""
    with pytest.raises(ValueError, match="four times"):
        Window(grain=DAY, longest=3 * DAY)
