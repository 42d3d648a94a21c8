"""
What a page says of itself proves nothing alone: a list whose statements disagree is read to its end, and not called complete.

Each habit is one that real APIs have, or that a proxy between makes; the list behind it is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given, note
from hypothesis import strategies as st

from etl.coverage import ORIGIN, Span, Spans
from etl.errors import ProviderRefused
from etl.reading.source import Page
from etl.reading.walks import Step, ascending, newest_first, scan
from tests.unit.reading.walks.listed import Listed, at

DAY = timedelta(days=1)
NOW = at(86_400)
WANTED = Spans([Span(ORIGIN, NOW + DAY)])
Habit = Callable[[Listed, int, Page], Page]


def total_stops_at(most: int) -> Habit:
    """Count like a search engine: no further than `most`."""
    return lambda listed, number, page: replace(page, facts=replace(page.facts, total=min(page.facts.total or 0, most)))


def total_off_by(difference: int) -> Habit:
    """Miscount by so many."""
    return lambda listed, number, page: replace(page, facts=replace(page.facts, total=len(listed.calls) + difference))


def total_of_the_page(listed: Listed, number: int, page: Page) -> Page:
    """Count the records on this page, and conclude from that whether another follows."""
    return replace(page, facts=replace(page.facts, total=len(page.records), more=None))


def never_more(listed: Listed, number: int, page: Page) -> Page:
    """Say of every page that it is the last, in agreement with a total that counts what was shown so far."""
    shown = (number - 1) * listed.size + len(page.records)
    return replace(page, facts=replace(page.facts, total=shown, more=False))


def smaller_than_it_says(listed: Listed, number: int, page: Page) -> Page:
    """Say the size that was asked for, twice as many as are served."""
    return replace(page, facts=replace(page.facts, size=2 * listed.size))


DISAGREEING = {
    "a total that stops at a limit": total_stops_at(20),
    "a total one too low": total_off_by(-1),
    "a total some too low": total_off_by(-5),
    "a total too high": total_off_by(3),
    "a total of the page": total_of_the_page,
}


def sixty(habit: Habit | None = None, **given: object) -> Listed:
    """A list of sixty calls, ten a page."""
    calls = {f"call{index:02}": at(index * 600) for index in range(60)}
    return Listed(calls, NOW, 10, habit=habit, **given)  # type: ignore[arg-type]


def read(listed: Listed) -> list[Step]:
    return list(newest_first(listed, wanted=WANTED, position=lambda _: 0))


def ids(steps: list[Step]) -> set[str | None]:
    return {record.call_id for step in steps for record in step.records}


def noted(steps: list[Step]) -> set[str]:
    return {note.value for step in steps for note in step.notes}


@pytest.mark.parametrize("habit", DISAGREEING.values(), ids=DISAGREEING)
def test_a_list_whose_total_is_wrong_is_read_to_its_end_and_has_none(habit: Habit) -> None:
    """Every call is read; since total and list disagree, no horizon is set, and it is told."""
    listed = sixty(habit)
    steps = read(listed)

    assert ids(steps) == set(listed.calls)
    assert {step.horizon for step in steps} == {None}
    assert noted(steps) == {"total_disagrees"}
    assert len(listed.asked) < 20


def test_a_full_page_that_says_it_is_the_last_is_followed_to_an_empty_one() -> None:
    """All statements of the first page agree, and all are wrong: only the next page can show it."""
    listed = sixty(never_more)
    steps = read(listed)

    assert ids(steps) == set(listed.calls)
    assert [asked[0] for asked in listed.asked] == [1, 2, 3, 4, 5, 6, 7]


def test_a_size_that_is_not_the_pages_own_loses_nothing() -> None:
    """Places are counted by ids, not by page numbers and sizes: with twenty said and ten served half of the list is no end."""
    listed = sixty(smaller_than_it_says)

    assert ids(read(listed)) == set(listed.calls)


@pytest.mark.parametrize("status", [400, 404, 410, 416, 422])
def test_a_refusal_of_the_page_behind_the_last_is_its_end(status: int) -> None:
    """Where the last page is full and said to be the last, an error for the next says the same as an empty page."""

    def refusing(listed: Listed, number: int, page: Page) -> Page:
        if not page.records:
            raise ProviderRefused("no such page", status=status)
        return page

    listed = sixty(refusing)
    steps = read(listed)

    assert (ids(steps), steps[-1].horizon, noted(steps)) == (set(listed.calls), at(0), set())


@pytest.mark.parametrize("totals", [True, False], ids=["with a total", "without"])
@pytest.mark.parametrize("echo", [True, False], ids=["echoing the page asked for", "silent"])
def test_a_list_that_serves_its_first_page_for_ever_ends(*, totals: bool, echo: bool) -> None:
    """An echo is no proof: two pages without a new id, and nothing further down is asked for or claimed."""
    listed = sixty(totals=totals, page_works=False, echo_asked=echo)
    steps = read(listed)

    assert len(listed.asked) <= 3
    assert Spans([span for step in steps for span in step.read]) == Spans([Span(at(50 * 600) + timedelta(microseconds=1), NOW)])
    assert ({step.horizon for step in steps}, noted(steps)) == ({None}, {"page_ignored"})


@pytest.mark.parametrize("totals", [True, False], ids=["with a total", "without"])
def test_where_page_does_not_work_the_next_style_is_tried(*, totals: bool) -> None:
    """Page 2 echoed, but with page 1's calls: asked for by offset it comes, and the rest after it."""
    listed = sixty(totals=totals, page_works=False, echo_asked=True, styles_left=1, next_style_works=True)
    steps = read(listed)

    assert (ids(steps), steps[-1].horizon, noted(steps)) == (set(listed.calls), at(0), set())


@pytest.mark.parametrize("seed", range(8))
def test_a_first_page_that_looks_like_the_second_hides_nothing(seed: int) -> None:
    """Where `page` is ignored, and each answer deals the calls of its last instant anew, only page 3 shows it."""
    tied = {f"tied{index}": at(30_000) for index in range(4)}
    listed = sixty(page_works=False, styles_left=1, next_style_works=True, seed=seed)
    listed.calls = {f"call{index:02}": at(index * 600) for index in range(50)} | tied | {"new0": at(31_000), "new1": at(32_000)}
    listed.size = 4
    steps = read(listed)

    assert (ids(steps), steps[-1].horizon, noted(steps)) == (set(listed.calls), at(0), set())


def test_calls_that_arrive_do_not_make_a_first_page_the_second() -> None:
    """As many arrive, further down, as stand on a page: that the first is shown again could be their doing, twice it cannot."""

    def arrive(listed: Listed, request: int) -> None:
        if request == 1:
            listed.calls |= {"late0": at(30_000), "late1": at(30_001)}

    listed = sixty(page_works=False, styles_left=1, next_style_works=True, between=arrive)
    listed.size = 2
    steps = read(listed)

    assert (ids(steps), steps[-1].horizon, noted(steps)) == (set(listed.calls), at(0), set())


@pytest.mark.parametrize("vanishes", range(1, 7))
def test_a_page_served_in_the_place_of_another_is_none_where_the_walk_steps_back_to_it(vanishes: int) -> None:
    """A call vanishes from the page that is always shown twice, or from below it; what was not shown is not claimed."""

    def vanish(listed: Listed, request: int) -> None:
        if request == vanishes:
            del listed.calls["call10"]

    listed = sixty(served_as={2: 1}, between=vanish)
    steps = read(listed)
    claimed = Spans([span for step in steps for span in step.read])
    lost = [call_id for call_id in listed.calls if call_id not in ids(steps)]

    assert len(lost) in (9, 10)
    assert [call_id for call_id in lost if listed.calls[call_id] in claimed] == []


@pytest.mark.parametrize("totals", [True, False], ids=["with a total", "without"])
@pytest.mark.parametrize("repeated", [2, 3, 5, 6])
def test_a_page_served_in_the_place_of_another_leaves_its_place_as_a_gap(*, totals: bool, repeated: int) -> None:
    """Page N is served once more as page N+1, under the right number: what belongs there is never claimed, and it is told."""
    served = {repeated: repeated - 1}
    listed = sixty(lambda listed, number, page: page, totals=totals, served_as=served, echo_asked=True)
    steps = read(listed)
    claimed = Spans([span for step in steps for span in step.read])
    lost = [call_id for call_id in listed.calls if call_id not in ids(steps)]

    assert len(lost) == 10
    assert [call_id for call_id in lost if listed.calls[call_id] in claimed] == []
    assert noted(steps)


@example(count=1, size=2, off=3, most=4, totals=True, served_as={2: 1})
@example(count=9, size=4, off=2, most=11, totals=True, served_as={5: 2, 4: 3})
@given(
    count=st.integers(1, 60),
    size=st.integers(2, 12),
    off=st.integers(-8, 8),
    most=st.integers(1, 80),
    totals=st.booleans(),
    served_as=st.dictionaries(st.integers(2, 12), st.integers(1, 12), max_size=3),
)
def test_whatever_a_list_says_no_call_that_it_did_not_show_is_claimed(
    *, count: int, size: int, off: int, most: int, totals: bool, served_as: dict[int, int]
) -> None:
    """Totals wrong by some or cut off at a limit, pages in the place of others: claims cover only calls that were read."""

    def habit(listed: Listed, number: int, page: Page) -> Page:
        told = max(min(len(listed.calls) + off, most), 0) if totals else None
        return replace(page, facts=replace(page.facts, total=told))

    calls = {f"call{index:02}": at(index * 600) for index in range(count)}
    # Only a page that repeats what was shown gives itself away. One that is shown late, or ahead of its turn, looks like
    # an honest page of a shorter list (docs/promise.md).
    earlier = {number: shown for number, shown in served_as.items() if shown < number and shown not in served_as}
    listed = Listed(calls, NOW, size, habit=habit, totals=totals, served_as=earlier, echo_asked=True)
    steps = read(listed)
    note(f"pages {[asked[0] for asked in listed.asked]}")
    claimed = Spans()
    for step in steps:
        claimed = Spans() if step.takes_back else claimed | step.read

    assert [call_id for call_id, cursor in calls.items() if cursor in claimed and call_id not in ids(steps)] == []
    assert len(listed.asked) <= 60 + 4 * (count // size + 1)


@example(count=10, size=20, offs=[50, 30], more=None, tied=False, goes=2, way="newest_first")
@given(
    count=st.integers(0, 60),
    size=st.integers(1, 20),
    offs=st.lists(st.integers(-20, 60), min_size=1, max_size=4),
    more=st.sampled_from([None, True, False]),
    tied=st.booleans(),
    goes=st.integers(1, 9),
    way=st.sampled_from(["newest_first", "scan", "ascending"]),
)
def test_whatever_each_page_says_the_walk_ends(
    *, count: int, size: int, offs: list[int], more: bool | None, tied: bool, goes: int, way: str
) -> None:
    """Totals that differ from page to page, and come back, while the oldest call goes: the requests have a bound."""

    def habit(listed: Listed, number: int, page: Page) -> Page:
        return replace(page, facts=replace(page.facts, total=max(0, count + offs[number % len(offs)]), more=more))

    def bounded(listed: Listed, request: int) -> None:
        assert request < 200 * (count // size + 1), "the walk asks without an end"
        if request == goes:
            listed.calls.pop("call00", None)

    calls = {f"call{index:02}": at(index // (10 if tied else 1) * 600) for index in range(count)}
    listed = Listed(calls, NOW, size, habit=habit, between=bounded, descending=way != "ascending")
    walks: dict[str, Callable[[], Iterator[Step]]] = {
        "newest_first": lambda: newest_first(listed, wanted=WANTED, position=lambda _: 0),
        "scan": lambda: scan(listed, claims_from=None),
        "ascending": lambda: ascending(listed, span=Span(at(0), NOW)),
    }
    steps = list(walks[way]())

    assert len(listed.calls) >= len(ids(steps)) - 1


def test_a_scan_of_a_list_whose_total_comes_and_goes_gives_up_soon() -> None:
    """A total that is larger at the end and small again at the beginning looks each time as if calls had vanished."""

    def more_at_the_end(listed: Listed, number: int, page: Page) -> Page:
        return replace(page, facts=replace(page.facts, total=len(listed.calls) + max(0, number - 4), more=True))

    listed = sixty(more_at_the_end)
    steps = list(scan(listed, claims_from=None))

    assert [bool(step.read) for step in steps] == [False] * len(steps)
    assert (len(ids(steps)), noted(steps)) == (60, {"total_disagrees"})
    assert len(listed.asked) < 100


def test_a_scan_is_proven_by_the_larger_total() -> None:
    """The distinct ids must reach the total before and after: a call that comes meanwhile is not lost to the smaller one."""

    def appearing(listed: Listed, request: int) -> None:
        if request == 3:
            listed.calls["late"] = at(59 * 600 + 1)

    listed = sixty(between=appearing)
    steps = list(scan(listed, claims_from=None))

    assert "late" in ids(steps)
    assert [bool(step.read) for step in steps] == [False] * (len(steps) - 1) + [True]
