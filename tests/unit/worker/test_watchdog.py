"""The watchdog ends a worker that is stuck or takes too long to stop, and no other."""

from __future__ import annotations

from datetime import timedelta
from threading import Event

import pytest

from etl.worker.watchdog import Pulse, Watchdog


class Hands:
    """A clock whose hands the test moves, and what the watchdog did."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.ended: list[int] = []
        self.stop = Event()
        self.pulse = Pulse(lambda: self.seconds)
        self.watchdog = Watchdog(
            self.pulse,
            stop=self.stop,
            stop_after=timedelta(seconds=45),
            monotonic=lambda: self.seconds,
            end=self.ended.append,
        )

    def after(self, seconds: float) -> list[int]:
        """Return the codes that the process was ended with when so many seconds have passed."""
        self.seconds += seconds
        self.watchdog.look()
        return self.ended


@pytest.fixture
def hands() -> Hands:
    return Hands()


def test_a_worker_that_has_not_begun_is_not_stuck(hands: Hands) -> None:
    """There is no loop yet."""
    assert hands.after(10_000) == []


def test_a_loop_that_stands_still_for_a_minute_ends_the_worker(hands: Hands) -> None:
    """With 1, and at once."""
    hands.pulse.beat("heart")
    assert (hands.after(59), hands.pulse.overdue) == ([], timedelta(seconds=59))
    assert hands.after(1) == [1]


def test_one_of_several_is_enough(hands: Hands) -> None:
    """The others go on."""
    hands.pulse.beat("ticks")
    for _ in range(59):
        hands.pulse.beat("heart")
        assert hands.after(1) == []
    hands.pulse.beat("heart")
    assert hands.after(1) == [1]


def test_a_loop_that_sleeps_is_not_stuck(hands: Hands) -> None:
    """It says for how long; what has ended is waited for no more."""
    hands.pulse.beat("ticks", within=timedelta(seconds=15))
    assert hands.after(74) == []
    hands.pulse.rest("ticks")
    assert hands.after(1000) == []


def test_stopping_may_take_as_long_as_is_configured(hands: Hands) -> None:
    """Counted from when the watchdog saw it; then the worker is cut off, with 0, whatever its loops do."""
    hands.pulse.beat("heart")
    hands.after(50)
    hands.stop.set()
    assert (hands.after(0), hands.after(44.9)) == ([], [])
    assert hands.after(0.1) == [0]
