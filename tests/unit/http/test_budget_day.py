"""The day of a budget is that of UTC, wherever the program runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from etl.errors import BudgetSpent
from etl.http.limits import Limiter


@pytest.fixture(params=["Etc/GMT+10", "Etc/GMT-14"])
def abroad(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in a place whose day is another one for half of that of UTC."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("abroad")
def test_the_budget_comes_back_at_midnight_utc_and_not_at_local_midnight(make_clock: Callable[[], Any]) -> None:
    """It lasts from 00:00 to 23:59 UTC, through both local midnights, and is remembered for that day."""
    clock = make_clock()
    clock.set(datetime(2026, 3, 15, 0, 0, tzinfo=UTC))
    limiter = Limiter(limits=(), daily=1, clock=clock)
    limiter.acquire("voice").answered({}, None)
    for hour in (10, 11, 23):
        clock.set(datetime(2026, 3, 15, hour, 59, tzinfo=UTC))
        with pytest.raises(BudgetSpent, match=r"2026-03-15 \(UTC\) is spent"):
            limiter.acquire("voice")
    assert limiter.standing().day == date(2026, 3, 15)

    clock.set(datetime(2026, 3, 16, 0, 1, tzinfo=UTC))
    limiter.acquire("voice").answered({}, None)
    assert limiter.standing().day == date(2026, 3, 16)
