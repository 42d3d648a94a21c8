"""The property that everything rests on: whatever happens between two pages, no claim covers a call that was not read."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from etl.coverage import ORIGIN, Span, Spans
from etl.provider import PageFacts
from etl.reading.source import Page
from etl.reading.walks import Step, ascending, newest_first
from etl.reading.walks.ending import Ending, ends
from etl.reading.walks.step import Instants
from tests.unit.reading.walks.listed import EPOCH, Listed, at, record

DAY = timedelta(days=1)
NOW = at(86_400)


def history(seed: int, count: int, *, ties: bool) -> dict[str, datetime]:
    """So many calls within a day before NOW; with ties, many share an instant."""
    story = random.Random(seed)
    return {f"call{index}": at(story.randrange(1, 40) * 2_000 if ties else story.uniform(0, 86_000)) for index in range(count)}


def vanish_and_appear(seed: int) -> Callable[[Listed, int], object]:
    """Between two requests one or two calls vanish, or appear, or nothing happens; never both, which totals cannot show."""

    def between(listed: Listed, request: int) -> None:
        story = random.Random(seed * 7_919 + request)
        kind = story.choice(["nothing", "vanish", "appear"])
        listed.now += timedelta(seconds=1)
        for index in range(story.randint(1, 2)):
            if kind == "vanish" and len(listed.calls) > 1:
                del listed.calls[story.choice(sorted(listed.calls))]
            elif kind == "appear":
                listed.calls[f"new{request}-{index}"] = listed.now - timedelta(milliseconds=1)

    return between


def missed(steps: list[Step], living: dict[str, datetime]) -> list[str]:
    """Calls that live, lie in what was claimed, and were on no page that was read."""
    read = {record.call_id for step in steps for record in step.records}
    claimed = Spans()
    for step in steps:
        claimed = Spans() if step.takes_back else claimed | step.read
    return [call_id for call_id, cursor in living.items() if cursor in claimed and call_id not in read]


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(0, 60),
    size=st.integers(2, 12),
    ties=st.booleans(),
    stop=st.integers(1, 60),
)
def test_newest_first_cut_at_any_step_has_read_every_living_call_it_claims(
    *, seed: int, count: int, size: int, ties: bool, stop: int
) -> None:
    """Insertions, deletions and ties between pages, and an end at any step: what is claimed was read."""
    listed = Listed(history(seed, count, ties=ties), NOW, size, seed=seed, between=vanish_and_appear(seed))
    steps = []
    for step in newest_first(listed, wanted=Spans([Span(ORIGIN, NOW + DAY)]), position=lambda _: 0):
        steps.append(step)
        if len(steps) == stop:
            break
    note(f"seed {seed}, pages {[asked[0] for asked in listed.asked]}")

    assert missed(steps, listed.calls) == []


@given(
    seed=st.integers(0, 10_000), count=st.integers(0, 60), size=st.integers(2, 12), ties=st.booleans(), stop=st.integers(1, 60)
)
def test_ascending_cut_at_any_step_has_read_every_living_call_it_claims(
    *, seed: int, count: int, size: int, ties: bool, stop: int
) -> None:
    """The same for the keyset walk, whose pages a deletion cannot shift."""
    listed = Listed(
        history(seed, count, ties=ties),
        NOW,
        size,
        seed=seed,
        descending=False,
        between=vanish_and_appear(seed),
    )
    steps = []
    for step in ascending(listed, span=Span(EPOCH - DAY, NOW)):
        steps.append(step)
        if len(steps) == stop:
            break
    note(f"seed {seed}, asked {listed.asked}")

    assert missed(steps, listed.calls) == []


@given(seed=st.integers(0, 10_000), count=st.integers(1, 60), size=st.integers(2, 12))
def test_newest_first_to_the_end_of_a_quiet_list_claims_from_its_oldest_call_to_now(seed: int, count: int, size: int) -> None:
    """The end of the list sets the horizon, and everything from there on is read."""
    listed = Listed(history(seed, count, ties=False), NOW, size, seed=seed)
    steps = list(newest_first(listed, wanted=Spans([Span(ORIGIN, NOW + DAY)]), position=lambda _: 0))
    oldest = min(listed.calls.values())
    claimed = Spans([span for step in steps for span in step.read])

    assert (claimed, steps[-1].horizon) == (Spans([Span(oldest, NOW)]), oldest)


@given(seed=st.integers(0, 10_000), count=st.integers(1, 60), size=st.integers(2, 12), ties=st.booleans())
def test_ascending_through_a_quiet_window_claims_it_whole(*, seed: int, count: int, size: int, ties: bool) -> None:
    """Ties included: what shares an instant is read by page numbers until its distinct ids reach its total."""
    listed = Listed(history(seed, count, ties=ties), NOW, size, seed=seed, descending=False)
    steps = list(ascending(listed, span=Span(EPOCH - DAY, NOW)))
    claimed = Spans([span for step in steps for span in step.read])

    assert (claimed, {record.call_id for step in steps for record in step.records}) == (
        Spans([Span(EPOCH - DAY, NOW)]),
        set(listed.calls),
    )


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(20, 80),
    size=st.integers(2, 12),
    lost=st.integers(0, 30),
    cut=st.integers(2, 4),
)
def test_newest_first_resumes_below_what_is_held_and_closes_the_gap(
    seed: int, count: int, size: int, lost: int, cut: int
) -> None:
    """A backfill interrupted at a third, then deletions that make the estimated page land too low: the gap closes whole."""
    listed = Listed(history(seed, count, ties=False), NOW, size, seed=seed)
    wanted = Spans([Span(ORIGIN, NOW + DAY)])
    first = []
    for step in newest_first(listed, wanted=wanted, position=lambda _: 0):
        first.append(step)
        if len(first) > cut:
            break
    covered = Spans([span for step in first for span in step.read])
    held = {record.call_id: record.cursor for step in first for record in step.records}
    story = random.Random(seed)
    # Of those held: else the page that is estimated would land where it should.
    for call_id in story.sample(sorted(map(str, held)), min(lost, len(held) - 1, count - 2)):
        del listed.calls[call_id]
    listed.asked.clear()
    steps = list(
        newest_first(
            listed,
            wanted=wanted - covered.below(NOW - timedelta(seconds=1)),
            position=lambda instant: sum(cursor >= instant for cursor in held.values() if cursor is not None),
        )
    )
    claimed = covered | Spans([span for step in steps for span in step.read])
    read = {record.call_id for step in (*first, *steps) for record in step.records}
    oldest = min(listed.calls.values())
    note(f"seed {seed}, pages {[asked[0] for asked in listed.asked]} of {-(-len(listed.calls) // size)}")

    assert [call_id for call_id, cursor in listed.calls.items() if cursor in claimed and call_id not in read] == []
    assert claimed.above(oldest) == Spans([Span(oldest, NOW)])


def test_where_far_fewer_calls_are_listed_than_held_the_gap_is_come_to_page_by_page() -> None:
    """The place that is expected for it lies too low, and stays so: to jump there again from above would never end."""
    calls = {f"call{index}": at(index * 100) for index in range(20)}
    living = {name: cursor for name, cursor in calls.items() if not at(1_000) <= cursor < at(1_800)}
    listed = Listed(living, at(2_000), 2)
    position = lambda instant: sum(cursor >= instant for cursor in calls.values() if cursor >= at(1_000))  # noqa: E731
    wanted = Spans([Span(ORIGIN, at(1_000)), Span(at(1_999), NOW)])
    claimed = Spans([span for step in newest_first(listed, wanted=wanted, position=position) for span in step.read])

    assert ([asked[0] for asked in listed.asked], claimed.below(at(1_000))) == (
        [1, 6, 5, 3, 1, 2, 3, 4, 5, 6, 7],
        Spans([Span(at(0), at(1_000))]),
    )


def test_the_instant_of_a_pages_last_call_is_not_claimed_before_the_next_page() -> None:
    """Another call of that instant may stand there."""
    listed = Listed({"newer": at(90), "first": at(60), "second": at(60), "older": at(30)}, at(120), 2)
    step = next(newest_first(listed, wanted=Spans([Span(ORIGIN, NOW)]), position=lambda _: 0))

    assert (at(60) in step.read, at(60) + timedelta(microseconds=1) in step.read) == (False, True)


def test_where_more_calls_go_than_a_page_holds_the_walk_steps_back_as_many_pages() -> None:
    """Two of four pages are read when all of the first goes, and one more: the third's calls stand on the first and second."""
    listed = Listed({f"call{place:02}": at(place * 10) for place in range(1, 13)}, at(150), 3)

    def go(listed: Listed, request: int) -> None:
        if request == 2:
            for place in (12, 11, 10, 9):
                del listed.calls[f"call{place:02}"]

    listed.between = go
    steps = list(newest_first(listed, wanted=Spans([Span(ORIGIN, at(150))]), position=lambda _: 0))

    assert missed(steps, listed.calls) == []


def test_what_settles_is_counted_from_the_first_request_however_late_the_last_page_is() -> None:
    """What came late while a long list was read is met by the next run."""
    instants = Instants()
    for seconds in (100, 900):
        page = Page(records=(record("a", at(30)),), facts=PageFacts(), date=at(seconds), sent_at=at(seconds))
        instants.see(page)

    assert (instants.claims_before, instants.settles_before) == (at(100), at(100))


def test_a_resumed_backfill_does_not_read_what_is_held_again() -> None:
    """Of 100 pages a third is held: the walk asks for page 1, then for where the gap begins."""
    calls = {f"call{index:04}": at(index * 60) for index in range(1_000)}
    now = at(1_000 * 60)
    held_from = at(670 * 60)
    listed = Listed(calls, now, 10)
    wanted = Spans([Span(ORIGIN, held_from), Span(now - timedelta(minutes=2), now + DAY)])
    position = lambda instant: sum(cursor >= instant for cursor in calls.values() if cursor >= held_from)  # noqa: E731
    list(newest_first(listed, wanted=wanted, position=position))

    assert [asked[0] for asked in listed.asked][:4] == [1, 34, 33, 34]


@pytest.mark.parametrize("more", [None, False])
def test_a_short_page_is_no_end_before_its_total_is_reached(*, more: bool | None) -> None:
    """What is missing from the page is somewhere further on."""
    facts = PageFacts(total=10, more=more)
    page = Page(records=(record("a", at(60)), record("b", at(30))), facts=facts, date=at(90), sent_at=at(90))

    assert ends(page, number=1, size=5) == Ending(here=False, surely=False)


def test_ties_of_two_and_a_half_pages_arrive_whole() -> None:
    """2,500 calls with one and the same cursor, dealt anew at every request."""
    calls = {f"call{index}": at(1_000) for index in range(2_500)} | {"before": at(1), "after": at(5_000)}
    listed = Listed(calls, NOW, 1_000, descending=False)
    steps = list(ascending(listed, span=Span(EPOCH - DAY, NOW)))

    assert {record.call_id for step in steps for record in step.records} == set(calls)
    assert Spans([span for step in steps for span in step.read]) == Spans([Span(EPOCH - DAY, NOW)])


@pytest.mark.parametrize("descending", [True, False], ids=["newest first", "ascending"])
def test_an_empty_answer_claims_nothing(*, descending: bool) -> None:
    """An outage that answers with an empty list and total 0 settles no history."""
    listed = Listed({}, NOW, 10, descending=descending)
    if descending:
        steps = list(newest_first(listed, wanted=Spans([Span(ORIGIN, NOW + DAY)]), position=lambda _: 0))
    else:
        steps = list(ascending(listed, span=Span(ORIGIN, NOW)))

    assert [(step.read, step.horizon) for step in steps] == [(Spans(), None)]


def test_a_list_that_ignores_page_claims_its_first_page_only() -> None:
    """What cannot be reached stands as a gap."""
    calls = {f"call{index:02}": at(index * 60) for index in range(50)}
    listed = Listed(calls, at(3_000), 10, page_works=False, totals=False)
    steps = list(newest_first(listed, wanted=Spans([Span(ORIGIN, NOW + DAY)]), position=lambda _: 0))

    assert Spans([span for step in steps for span in step.read]) == Spans(
        [Span(at(40 * 60) + timedelta(microseconds=1), at(3_000))]
    )
    assert [note.value for step in steps for note in step.notes] == ["page_ignored"]


def test_a_list_without_order_is_read_whole_and_claimed_at_its_end() -> None:
    """Nothing is claimed until the distinct ids reach the total."""
    calls = {f"call{index:02}": at(index * 600) for index in range(50)}
    listed = Listed(calls, at(50 * 600), 10, shuffled=True, seed=3)
    steps = list(newest_first(listed, wanted=Spans([Span(ORIGIN, NOW + DAY)]), position=lambda _: 0))

    assert [bool(step.read) for step in steps] == [False] * (len(steps) - 1) + [True]
    assert (steps[-1].read, listed.unsorted_noted) == (Spans([Span(at(0), at(50 * 600))]), True)


@pytest.mark.parametrize("wanted_from", [0, 40 * 60])
def test_a_first_page_of_calls_within_minutes_does_not_hide_that_the_oldest_come_first(wanted_from: int) -> None:
    """Its disorder would be tolerated, and it would be taken for the newest calls, before which nothing is wanted."""
    calls = {f"call{index:02}": at(index * 60) for index in range(60)}
    listed = Listed(calls, NOW, 4)
    listed.descending = False
    steps = newest_first(listed, wanted=Spans([Span(at(wanted_from), NOW)]), position=lambda _: 0)
    first, *others = steps

    assert first.read == Spans()
    assert (len(others) > 15, listed.unsorted_noted) == (True, True)


@pytest.mark.parametrize("wanted_from", [0, 40 * 60])
@pytest.mark.parametrize("apart", [0, 1])
def test_a_first_page_of_one_instant_does_not_hide_that_the_oldest_come_first(wanted_from: int, apart: int) -> None:
    """Nothing is claimed until a page shows which calls come first; where it is the newest, nothing else changes."""
    calls = {f"call{index:02}": at(index * 60 if index > 3 else index * apart) for index in range(60)}
    wanted = Spans([Span(at(wanted_from), NOW)])
    listed = Listed(calls, NOW, 4)
    listed.descending = False
    first, *others = newest_first(listed, wanted=wanted, position=lambda _: 0)
    assert (first.read, len(others) > 15, listed.unsorted_noted) == (Spans(), True, True)

    newest = Listed({call_id: at(86_400 - (cursor - at(0)).total_seconds()) for call_id, cursor in calls.items()}, NOW, 4)
    first, second, *_ = newest_first(newest, wanted=wanted, position=lambda _: 0)
    assert (bool(first.read), bool(second.read), newest.unsorted_noted) == (bool(apart), True, False)


@pytest.mark.parametrize("totals", [True, False], ids=["with a total", "without"])
@pytest.mark.parametrize("apart", [0, 1])
def test_a_window_whose_newest_calls_come_first_though_its_first_page_hides_it_is_read_whole(apart: int, *, totals: bool) -> None:
    """Its disorder would be tolerated, and all that is older would be claimed."""
    calls = {f"call{index:02}": at(index * 60 if index < 56 else 3600 + index * apart) for index in range(60)}
    listed = Listed(calls, NOW, 4, totals=totals)
    steps = list(ascending(listed, span=Span(at(0), NOW)))

    assert ({record.call_id for step in steps for record in step.records}, listed.unsorted_noted) == (set(calls), True)
    assert [bool(step.read) for step in steps[:-1]] == [False] * (len(steps) - 1)


def test_a_cursor_from_another_age_moves_no_claim() -> None:
    """One record dated 1970 at the end of a page and one in 2099 at its head: loaded, but they bound nothing."""
    calls = {f"call{index:02}": at(index * 60) for index in range(20)} | {"old": ORIGIN, "future": at(86_400 * 365 * 70)}
    listed = Listed(calls, at(2_000), 30)
    steps = list(newest_first(listed, wanted=Spans([Span(ORIGIN, NOW + DAY)]), position=lambda _: 0))

    assert [step.read for step in steps] == [Spans([Span(at(0), at(2_000))])]
    assert steps[-1].horizon == at(0)


def test_without_a_date_the_newest_cursor_bounds_claims_and_settling() -> None:
    """A clock that may be wrong claims nothing beyond what was seen."""
    listed = Listed({"a": at(100), "b": at(50)}, NOW, 10, dated=False)
    steps = list(newest_first(listed, wanted=Spans([Span(ORIGIN, NOW + DAY)]), position=lambda _: 0))

    assert [(step.read, step.settles_before) for step in steps] == [(Spans([Span(at(50), at(100))]), at(100))]


@pytest.mark.parametrize("totals", [True, False], ids=["with a total", "without"])
def test_an_instant_of_which_a_call_is_never_shown_is_not_claimed(*, totals: bool) -> None:
    """Each request deals 25 calls of one instant anew on pages of ten, and never shows one of them: that instant is a gap."""

    def hiding(listed: Listed, number: int, page: Page) -> Page:
        shown = [record("tied08", at(5_000)) if one.call_id == "tied07" else one for one in page.records]
        return replace(page, records=tuple(shown))

    calls = {f"tied{index:02}": at(5_000) for index in range(25)} | {"before": at(1), "after": at(9_000)}
    listed = Listed(calls, NOW, 10, habit=hiding, totals=totals)
    steps = list(newest_first(listed, wanted=Spans([Span(ORIGIN, NOW + DAY)]), position=lambda _: 0))
    claimed = Spans([span for step in steps for span in step.read])

    assert {one.call_id for step in steps for one in step.records} == set(calls) - {"tied07"}
    assert (at(5_000) in claimed, at(9_000) in claimed, missed(steps, calls)) == (False, True, [])


@pytest.mark.parametrize("skipped", [3, 7])
def test_a_total_that_disagrees_with_the_page_before_is_looked_into(skipped: int) -> None:
    """The first answer leaves a call out, as a list does that shifts meanwhile: the next total gives it away, and it is read."""

    def shifting(listed: Listed, number: int, page: Page) -> Page:
        kept = [one for one in page.records if len(listed.asked) > 1 or one.call_id != f"call{skipped:02}"]
        return replace(page, records=tuple(kept))

    calls = {f"call{index:02}": at(index * 600) for index in range(30)}
    listed = Listed(calls, NOW, 10, habit=shifting, descending=False)
    steps = list(ascending(listed, span=Span(EPOCH - DAY, NOW)))

    assert ({one.call_id for step in steps for one in step.records}, missed(steps, calls)) == (set(calls), [])
    assert {note.value for step in steps for note in step.notes} == set()
