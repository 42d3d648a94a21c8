"""Which limits hold for a connection, by its provider and its settings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from etl import providers
from etl.config import ConnectionSettings
from etl.provider import Limit
from etl.wiring import limits_of

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
TEN, SIXTY, THOUSAND = Limit(requests=10, per=SECOND), Limit(requests=60, per=MINUTE), Limit(requests=1000, per=DAY)


@pytest.mark.parametrize(
    ("provider", "settings", "limits"),
    [
        ("krosai", {}, (TEN,)),
        ("krosai", {"daily_requests": 1000}, (TEN, THOUSAND)),
        ("krosai", {"daily_requests": 1000, "rate_limit": "60/min"}, (SIXTY, THOUSAND)),
        ("tuple", {"daily_requests": 1000}, (SIXTY,)),
        ("salpre", {}, ()),
        ("salpre", {"rate_limit": "10/s"}, (TEN,)),
    ],
)
def test_the_limits_that_hold_at_once(provider: str, settings: dict[str, Any], limits: tuple[Limit, ...]) -> None:
    """The setting takes the place of the provider's; a budget by the day is a limit too where any 24 hours may be counted."""
    assert limits_of(ConnectionSettings(provider=provider, **settings), providers.get(provider)) == limits
