"""Maps each order in which providers list calls to its `Way`; a third one would add a line here."""

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
    """Return the `Way` for how a provider lists its calls."""
    return WAYS[provider.listing.order]
