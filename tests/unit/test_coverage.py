"""The arithmetic of time ranges, held against sets of plain integers."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from etl.coverage import ORIGIN, Span, Spans, domain_start

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def at(hours: int) -> datetime:
    return EPOCH + timedelta(hours=hours)


def spans(pairs: list[tuple[int, int]]) -> Spans:
    return Spans((at(start), at(end)) for start, end in pairs)


def hours(value: Spans) -> set[int]:
    """Every whole hour that a set of spans holds."""
    return {hour for hour in range(-1, 32) if at(hour) in value}


def plain(pairs: list[tuple[int, int]]) -> set[int]:
    return {hour for start, end in pairs for hour in range(start, end)}


pairs = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6)


@given(pairs, pairs)
def test_union_difference_and_intersection_are_those_of_sets(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    """Spans behave as the sets of instants that they stand for."""
    left, right = spans(a), spans(b)

    assert (plain(a) | plain(b), plain(a) - plain(b), plain(a) & plain(b)) == (
        hours(left | right),
        hours(left - right),
        hours(left & right),
    )


@given(pairs)
def test_spans_are_ascending_disjoint_and_do_not_touch(a: list[tuple[int, int]]) -> None:
    """A value has one form only, whatever order and overlap its parts were given in."""
    listed = list(spans(a))

    assert all(one.end < two.start for one, two in pairwise(listed))
    assert spans(a) == Spans(reversed(listed))


@given(pairs, st.integers(0, 30))
def test_below_and_above_split_at_an_instant(a: list[tuple[int, int]], cut: int) -> None:
    """The two parts join to the whole and share nothing."""
    value = spans(a)

    assert (value.below(at(cut)) | value.above(at(cut)), Spans()) == (value, value.below(at(cut)) & value.above(at(cut)))


@given(pairs, st.integers(0, 30))
def test_the_mark_is_the_end_of_the_stretch_that_holds_the_start(a: list[tuple[int, int]], start: int) -> None:
    """Everything from the start to the mark is held, and the mark itself is not."""
    mark = spans(a).gapless_until(at(start))

    if mark is None:
        assert start not in plain(a)
    else:
        assert Spans([Span(at(start), mark)]) - spans(a) == Spans()
        assert mark not in spans(a)


def test_the_domain_starts_at_the_later_of_start_date_and_horizon() -> None:
    """What the provider no longer serves is not owed, nor what nobody asked for."""
    assert [domain_start(None, None), domain_start(at(1), None), domain_start(None, at(2)), domain_start(at(3), at(2))] == [
        None,
        at(1),
        at(2),
        at(3),
    ]


def test_a_span_shows_its_bounds() -> None:
    """Logs and messages show ranges as Postgres writes them."""
    assert repr(Spans([(ORIGIN, at(0))])) == "Spans([1970-01-01T00:00:00+00:00, 2026-01-01T00:00:00+00:00))"
