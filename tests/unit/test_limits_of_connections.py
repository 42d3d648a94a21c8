"""Which limits hold for a connection, by its provider and its settings."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from etl import providers
from etl.config import ConnectionSettings
from etl.provider import Limit
from etl.wiring import account, limits_of

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


@pytest.mark.parametrize(
    ("settings", "limits"),
    [
        ({}, (TEN, THOUSAND)),
        ({"rate_limit": "60/min"}, (SIXTY,)),
        ({"daily_requests": 1000}, (TEN, THOUSAND, THOUSAND)),
    ],
)
def test_several_limits_of_a_provider_hold_at_once(settings: dict[str, Any], limits: tuple[Limit, ...]) -> None:
    """The setting takes the place of all of them."""
    provider = replace(providers.get("krosai"), limit=(TEN, THOUSAND))
    assert limits_of(ConnectionSettings(provider="krosai", **settings), provider) == limits


def test_how_far_back_a_provider_serves_calls_is_its_own_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is older is not missed, and not taken for deleted."""
    form = replace(providers.get("krosai"), retention=180 * DAY)
    monkeypatch.setattr(providers, "get", lambda name: form)
    assert account("desk", ConnectionSettings(provider="krosai")).retention == 180 * DAY
    assert account("desk", ConnectionSettings(provider="krosai", retention="365d")).retention == 365 * DAY
