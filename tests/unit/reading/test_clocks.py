"""How far a provider's clock is believed beside ours and the calls it lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from etl.reading.clocks import Apart, believed, newest_two

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MOMENT = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("date", "newest", "expected"),
    [
        (NOW + MOMENT, (), NOW + MOMENT),
        (NOW + HOUR, (), NOW + HOUR),
        (NOW + HOUR + MOMENT, (), NOW),  # ahead of ours: ours is believed
        (NOW - DAY, (), NOW - DAY),  # behind ours, and no call contradicts it
        (NOW - DAY, (NOW - DAY + HOUR, NOW - DAY), NOW - DAY),
        (NOW - DAY, (NOW - MOMENT, NOW - DAY), NOW - DAY),  # one call alone may have the wrong time itself
        (NOW - DAY, (NOW - MOMENT, NOW - HOUR), None),
        (NOW - DAY, (NOW - MOMENT,), None),
        (None, (NOW,), None),
    ],
)
def test_a_clock_behind_two_calls_is_wrong_and_of_two_clocks_the_earlier_is_believed(
    date: datetime | None, newest: tuple[datetime, ...], expected: datetime | None
) -> None:
    """The two newest calls decide, or the only one there is."""
    assert believed(date, NOW, newest) == expected


def test_a_newest_cursor_far_above_all_others_is_not_believed() -> None:
    """More than thirty days above the next one: a typing error in a year. The only one there is must be taken."""
    assert newest_two([NOW - HOUR, NOW + 4_000 * DAY, NOW]) == (NOW, NOW - HOUR)
    assert newest_two([NOW + 4_000 * DAY, NOW + 8_000 * DAY, NOW, NOW - HOUR]) == (NOW, NOW - HOUR)
    assert newest_two([NOW - 30 * DAY, NOW]) == (NOW, NOW - 30 * DAY)
    assert newest_two([NOW]) == (NOW,)
    assert newest_two([]) == ()


def test_two_clocks_are_apart_by_more_than_an_hour() -> None:
    """In either direction; without a `Date` only calls of the future tell that ours is behind."""
    assert Apart.between(NOW + HOUR, NOW) is None
    assert Apart.between(NOW + HOUR + MOMENT, NOW) == Apart(theirs=NOW + HOUR + MOMENT, ours=NOW)
    assert Apart.between(NOW - HOUR - MOMENT, NOW) == Apart(theirs=NOW - HOUR - MOMENT, ours=NOW)
    assert Apart.between(None, NOW) is None
    assert Apart.between(None, NOW, (NOW + DAY, NOW)) is None
    assert Apart.between(None, NOW, (NOW + 2 * DAY, NOW + DAY)) == Apart(theirs=NOW + DAY, ours=NOW)
    assert Apart.between(None, NOW, (NOW - DAY,)) is None


def test_two_clocks_are_remembered_as_they_were_stored() -> None:
    """What is no such pair is none."""
    apart = Apart(theirs=NOW + DAY, ours=NOW)

    assert Apart.remembered(apart.stored()) == apart
    assert [Apart.remembered(other) for other in (None, {}, [], "2026", {"theirs": 1, "ours": 2})] == [None] * 5
