"""The program is interrupted: while several connections are at work, and in the middle of the work of asking it to stop."""

from __future__ import annotations

import signal
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from etl.cli.syncing import interruptible
from etl.config import ConnectionSettings
from etl.wiring import on_each
from tests.inline import NoThreads

CHOSEN = {"devices": ConnectionSettings(provider="salpre"), "pairing": ConnectionSettings(provider="tuple")}


@pytest.mark.parametrize(("error", "stops"), [(KeyboardInterrupt(), True), (KeyError("a fault"), False)])
def test_who_is_interrupted_stops_all(error: BaseException, *, stops: bool) -> None:
    """Ctrl-C, or an orchestrator's time-out, reaches only the thread that waits; a fault in one run stops no other."""
    stop = Event()
    given: Any = SimpleNamespace(threads=NoThreads(), stop=stop)

    def work(_account: object) -> None:
        raise error

    with pytest.raises(type(error)):
        on_each(work, CHOSEN, given=given)

    assert stop.is_set() is stops


def test_two_signals_that_come_together_are_two() -> None:
    """The first comes while the event that it is to set is locked, as it is for the second: it is set, and the second counts."""
    before = signal.getsignal(signal.SIGINT)

    with interruptible() as stop:
        first = signal.getsignal(signal.SIGINT)
        with stop._cond:  # type: ignore[attr-defined] # where a signal may find the thread that it interrupts
            signal.raise_signal(signal.SIGINT)
            second = signal.getsignal(signal.SIGINT)
        assert stop.wait(60)

    assert len({before, first, second}) == 3
    assert signal.getsignal(signal.SIGINT) is before
