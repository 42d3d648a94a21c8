"""The colours of the dashboards' labels."""

from __future__ import annotations

from collections.abc import Mapping

from etl.superset.definitions import Colours

OTHERS = "others"


def labelled(colours: Colours, connections: Mapping[str, str]) -> dict[str, str]:
    """Return the colour of each label: a metric's name, or a connection's, whose provider `connections` says."""
    found = dict(colours.metrics)
    seen: dict[str, int] = {}
    for connection, provider in sorted(connections.items()):
        shades = colours.providers.get(provider) or colours.providers[OTHERS]
        found[connection] = shades[seen.get(provider, 0) % len(shades)]
        seen[provider] = seen.get(provider, 0) + 1
    return found
