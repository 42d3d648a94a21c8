"""Several connections at once, and the one who waits for them is interrupted."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

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
