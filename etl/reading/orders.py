"""Knows which way of listing a provider has: the table to which a third way adds one line."""

from __future__ import annotations

from collections.abc import Mapping

from etl.provider import Order, Provider
from etl.reading.walks.by_place import ByPlace
from etl.reading.walks.by_window import ByWindow
from etl.reading.walks.way import Way

WAYS: Mapping[Order, Way] = {
    Order.ASCENDING: ByWindow(),
    Order.NEWEST_FIRST: ByPlace(),
}


def way_of(provider: Provider) -> Way:
    """Return the way in which a provider lists its calls."""
    return WAYS[provider.listing.order]
