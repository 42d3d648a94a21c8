"""
An API may answer a long window in part and say nothing: its first days, its newest ones, so many calls, or another window.

What is claimed is what was answered; what is beyond is asked for until it is. An API that answers all of it is asked a few times
more, once.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from etl.coverage import ORIGIN, Span, Spans
from etl.errors import ConnectionFailed
from etl.provider import PageFacts
from etl.reading.source import Capabilities, Page
from etl.reading.walks import Step, ascending
from tests.unit.reading.walks.listed import EPOCH, Listed, at

DAY = timedelta(days=1)
Window = tuple[datetime | None, datetime | None]


@dataclass
class Partial(Listed):
    """Answers of each window the part that `served` makes of it, and at most `most` calls, as if that were all."""

    served: Callable[[datetime, datetime], Window] = lambda since, until: (since, until)
    most: int = 10**9
    counts: int = 10**9  # the total stops there
    asks: list[tuple[datetime, datetime]] = field(default_factory=list)

    def page(self, number: int, *, since: datetime | None = None, until: datetime | None = None) -> Page:
        """Serve a page of the window's part."""
        assert since is not None
        assert until is not None
        self.asks.append((since, until))
        assert len(self.asks) < 3_000, "the walk asks without an end"
        part = self.served(since, until)
        page = super().page(number, since=part[0], until=part[1])
        if self.most < 10**9:
            whole = replace(self, size=self.most, most=10**9, between=lambda listed, request: None, asks=[], served=self.served)
            served = whole.page(1, since=since, until=until).records[(number - 1) * self.size :][: self.size]
            shown = (number - 1) * self.size + len(served)
            total = min(page.facts.total or 0, self.most) if self.totals else None
            facts = PageFacts(total=total, number=number, size=self.size, more=shown < self.most and bool(page.facts.more))
            page = replace(page, records=served, facts=facts)
        if self.totals and (page.facts.total or 0) > self.counts:
            page = replace(page, facts=replace(page.facts, total=self.counts))
        return page


def first(days: float) -> Callable[[datetime, datetime], Window]:
    """Answer the first days of a window only."""
    return lambda since, until: (since, min(until, since + days * DAY))


def newest(days: float) -> Callable[[datetime, datetime], Window]:
    """Answer the newest days of a window only."""
    return lambda since, until: (max(since, until - days * DAY), until)


def without_since(since: datetime, until: datetime) -> Window:
    """Ignore where the window begins."""
    return None, until


def without_until(since: datetime, until: datetime) -> Window:
    """Ignore where it ends."""
    return since, None


def without_filter(since: datetime, until: datetime) -> Window:
    """Ignore both."""
    return None, None


def each_day(days: int = 100, *, a_day: int = 5) -> dict[str, datetime]:
    """So many calls a day for so many days."""
    return {f"call{index:04}": at(index * 86_400 / a_day) for index in range(days * a_day)}


def partial(calls: dict[str, datetime], *, days: float = 100, **given: object) -> Partial:
    """A provider that lists these calls, a thousand a page, and whose clock stands so many days after the first."""
    return Partial(calls, at(days * 86_400), 1_000, **{"descending": False, **given})  # type: ignore[arg-type]


def walked(listed: Partial, span: Span) -> tuple[list[Step], Spans]:
    """Read a span, and return the steps and what they claim."""
    steps, claimed = [], Spans()
    for step in ascending(listed, span=span):
        steps.append(step)
        claimed = Spans() if step.takes_back else claimed | step.read
    return steps, claimed


def ids(steps: list[Step]) -> set[str | None]:
    return {record.call_id for step in steps for record in step.records}


def noted(steps: list[Step]) -> set[str]:
    return {note.value for step in steps for note in step.notes}


HABITS: dict[str, dict[str, object]] = {
    "its first ten days": {"served": first(10)},
    "its first day": {"served": first(1)},
    "its newest ten days": {"served": newest(10)},
    "its newest ninety days": {"served": newest(90)},
    "its first seventy days": {"served": first(70)},
    "fifty calls": {"most": 50},
    "37 calls": {"most": 37},
    "400 calls": {"most": 400},
    "a total that stops": {"counts": 300, "size": 100},
    "whatever it begins with": {"served": without_since},
    "whatever it ends with": {"served": without_until},
    "the whole list": {"served": without_filter},
    "the whole list in pages": {"served": without_filter, "size": 60},
}


@pytest.mark.parametrize("totals", [True, False], ids=["with a total", "without"])
@pytest.mark.parametrize("habit", HABITS.values(), ids=HABITS)
def test_whatever_part_of_a_window_is_answered_all_of_it_is_read(habit: dict[str, object], *, totals: bool) -> None:
    """Five hundred calls of a hundred days: each arrives, and what is claimed reaches from the start to the present."""
    listed = partial(each_day(), **{"totals": totals, **{name: value for name, value in habit.items() if name != "size"}})
    listed.size = int(str(habit.get("size", listed.size)))
    steps, claimed = walked(listed, Span(EPOCH - 2 * DAY, listed.now))

    assert (ids(steps), claimed) == (set(listed.calls), Spans([Span(EPOCH - 2 * DAY, listed.now)]))
    assert len(listed.asks) < 320


@pytest.mark.parametrize("habit", [{}, *HABITS.values()], ids=["the whole window", *HABITS])
def test_what_is_found_out_is_known_before_the_last_step_is_handed_over(habit: dict[str, object]) -> None:
    """It is stored together with a step, while the walk may already have gone on; nothing comes after the last one."""
    listed = partial(each_day(), **{name: value for name, value in habit.items() if name != "size"})
    listed.size = int(str(habit.get("size", listed.size)))

    found = [listed.found for _ in ascending(listed, span=Span(EPOCH - 2 * DAY, listed.now))]

    assert found[-1] == listed.found
    assert habit or found[-1].longest > 90 * DAY


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 400),
    bursts=st.integers(1, 6),
    size=st.sampled_from([7, 30, 130, 1_000]),
    days=st.floats(1, 60),
    kind=st.sampled_from(["first", "newest", "most", "whole"]),
    before=st.integers(0, 80),
    totals=st.booleans(),
)
def test_what_is_claimed_was_answered(
    *, seed: int, count: int, bursts: int, size: int, days: float, kind: str, before: int, totals: bool
) -> None:
    """Calls in bursts with quiet months between them, at a provider that answers as much of a window as it likes."""
    story = random.Random(seed)
    starts = [story.uniform(0, 190) for _ in range(bursts)]
    calls = {f"call{index:03}": at((story.choice(starts) + story.uniform(0, 8)) * 86_400) for index in range(count)}
    habits: dict[str, dict[str, object]] = {
        "first": {"served": first(days)},
        "newest": {"served": newest(days)},
        "most": {"most": 99 + int(days)},
        "whole": {},
    }
    listed = partial(calls, days=200, totals=totals, seed=seed, **habits[kind])
    listed.size = size
    span = Span(EPOCH - before * DAY, listed.now)
    steps, claimed = walked(listed, span)
    note(f"{calls} asked {listed.asks}")

    assert [call_id for call_id, cursor in calls.items() if cursor in claimed and call_id not in ids(steps)] == []
    assert len(listed.asks) < 1_500


@pytest.mark.parametrize(("start", "asked"), [(EPOCH, 2), (EPOCH - 30 * DAY, 3), (ORIGIN, 4)])
def test_an_api_that_answers_whole_windows_is_asked_a_few_times_more_once(start: datetime, asked: int) -> None:
    """At the first reading: what lies after the last call, what before the first. Later one request brings what is new."""
    listed = partial(each_day())
    walked(listed, Span(start, listed.now))
    assert len(listed.asks) == asked

    for hours in range(1, 80, 6):
        listed.asks.clear()
        listed.now = at(100 * 86_400 + hours * 3_600)
        walked(listed, Span(at(99 * 86_400), listed.now))
        assert len(listed.asks) == 1


@pytest.mark.parametrize("start", [ORIGIN, EPOCH - DAY], ids=["without a start", "with a start"])
def test_a_quiet_account_costs_few_requests(start: datetime) -> None:
    """Two calls, and then three years of nothing: that the rest is empty is proven by the totals of one window as long."""
    listed = partial({"one": at(0), "two": at(100)}, days=3 * 365)
    _, claimed = walked(listed, Span(start, listed.now))

    assert (claimed, len(listed.asks) <= 5) == (Spans([Span(start, listed.now)]), True)


@pytest.mark.parametrize("minutes_ago", [1, 50])
@pytest.mark.parametrize("calls", [{}, {"one": at(99.5 * 86_400)}], ids=["of none", "of one"])
@pytest.mark.parametrize("request_number", range(1, 7))
def test_a_call_that_appears_between_two_requests_is_no_sign_of_a_window_cut(
    request_number: int, calls: dict[str, datetime], minutes_ago: int
) -> None:
    """Else a young account without a start date would have to be asked for decades, a day at a time, and fail for a week."""

    def appear(listed: Listed, number: int) -> None:
        if number == request_number:
            listed.calls["late"] = listed.now - timedelta(minutes=minutes_ago)

    listed = partial(dict(calls), between=appear)
    walked(listed, Span(ORIGIN, listed.now))
    walked(listed, Span(ORIGIN, listed.now))

    assert not listed.found.cut


@pytest.mark.parametrize("totals", [True, False], ids=["with a total", "without"])
@pytest.mark.parametrize("request_number", range(2, 7))
def test_the_answer_to_the_question_before_is_no_sign_of_a_window_cut(request_number: int, *, totals: bool) -> None:
    """As a proxy gives it: what it shows lies outside of what was asked for."""
    answers: list[Page] = []

    def again(listed: Listed, number: int, page: Page) -> Page:
        answers.append(page)
        return answers[-2] if len(answers) == request_number else page

    listed = partial({"one": at(99.5 * 86_400), "two": at(99.6 * 86_400)}, habit=again, totals=totals)
    walked(listed, Span(ORIGIN, listed.now))

    assert not listed.found.cut


@pytest.mark.parametrize("totals", [True, False], ids=["with a total", "without"])
@pytest.mark.parametrize("request_number", range(2, 40))
def test_the_answer_to_the_question_before_ends_no_window(request_number: int, *, totals: bool) -> None:
    """Two calls a page, some in one second: wherever it comes, what was not shown is not claimed, and all is read."""
    answers: list[Page] = []

    def again(listed: Listed, number: int, page: Page) -> Page:
        answers.append(page)
        return answers[-2] if len(answers) == request_number else page

    calls = {f"call{index:02}": at(3_600 * (index // 3) + index % 3 / 10) for index in range(30)}
    listed = partial(calls, days=1, habit=again, totals=totals)
    listed.size = 2
    steps, claimed = walked(listed, Span(EPOCH, listed.now))

    assert [call_id for call_id, cursor in calls.items() if cursor in claimed and call_id not in ids(steps)] == []


@pytest.mark.parametrize("days", [1, 30])
def test_that_windows_are_cut_is_found_out_again_where_it_would_end_the_walk(days: int) -> None:
    """What an earlier walk had remembered in error keeps no account without a start date from being read."""
    listed = partial(each_day())
    listed.note_windows(longest=days * DAY, most=1, cut=True)
    steps, claimed = walked(listed, Span(ORIGIN, listed.now))
    assert (ids(steps), claimed, listed.found.cut) == (set(listed.calls), Spans([Span(ORIGIN, listed.now)]), False)

    listed.served = first(1)
    listed.note_windows(longest=DAY, most=1, cut=True)
    with pytest.raises(ConnectionFailed, match="Set start_date of the connection"):
        walked(listed, Span(ORIGIN, listed.now))


def test_a_window_that_is_answered_in_part_is_told() -> None:
    """And remembered: the next reading begins with windows that are answered whole."""
    quiet = {call_id: cursor for call_id, cursor in each_day().items() if cursor < at(8 * 86_400) or cursor > at(90 * 86_400)}
    listed = partial(quiet, served=first(10))
    steps, claimed = walked(listed, Span(EPOCH, listed.now))
    assert (ids(steps), claimed) == (set(quiet), Spans([Span(EPOCH, listed.now)]))
    assert (noted(steps), listed.found.cut, 7 * DAY < listed.found.longest <= 10 * DAY) == ({"window_cut"}, True, True)

    listed.asks.clear()
    walked(listed, Span(EPOCH, listed.now))
    assert len(listed.asks) <= 30


def test_a_list_that_ignores_the_filter_is_read_whole_and_told() -> None:
    """Calls from outside of the window show it."""
    listed = partial(each_day(), served=without_filter)
    steps, claimed = walked(listed, Span(at(90 * 86_400), listed.now))

    assert (noted(steps), claimed) == ({"filter_ignored"}, Spans([Span(at(90 * 86_400), listed.now)]))


def test_an_api_that_answers_nothing_of_decades_fails_with_the_setting_that_helps() -> None:
    """Its first ten days of 1970 hold no call, though there are some: not an empty account, and not silently so."""
    listed = partial(each_day(), served=first(1))

    with pytest.raises(ConnectionFailed) as failed:
        walked(listed, Span(ORIGIN, listed.now))
    assert "start_date" in failed.value.hint


@pytest.mark.parametrize("request_number", [1, 2, 3, 4, 5])
def test_an_outage_among_short_windows_claims_nothing(request_number: int) -> None:
    """From some request on every answer is empty: no claim goes further than the windows that were shown to be whole."""
    listed = partial(each_day(), found=Capabilities(longest=10 * DAY, cut=True, most=100))
    whole = dict(listed.calls)
    listed.between = lambda provider, request: provider.calls.clear() if request == request_number else None
    steps, claimed = walked(listed, Span(EPOCH, listed.now))

    assert {call_id for call_id, cursor in whole.items() if cursor in claimed} <= ids(steps) != set(whole)
    assert claimed.last.end in (at(10 * 86_400 * ((request_number + 1) // 2)), max(whole[str(one)] for one in ids(steps)))
