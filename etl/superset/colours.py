"""The colours of the dashboards: the same thing has the same colour in every chart of every page."""

from __future__ import annotations

from collections.abc import Mapping

# By the names of metrics, which legends write as their labels.
_METRICS = {
    "completed": "#3BA272",
    "no_answer": "#F2B544",
    "busy": "#E98A3C",
    "failed": "#D64550",
    "canceled": "#9AA5B1",
    "rejected": "#8C5E58",
    "voicemail": "#8E7CC3",
    "missed": "#D64550",
    "paired_hours": "#2F7ED8",
    "solo_hours": "#C3CBD6",
    "people": "#2F7ED8",
}
_PROVIDERS = {
    "tuple": ("#2F7ED8", "#1B4F91", "#7FB2EE"),
    "bimpe": ("#17A398", "#0C655E", "#73CFC8"),
    "salpre": ("#7B61C9", "#4A3691", "#B3A3E6"),
    "krosai": ("#F28E2B", "#A95C0D", "#F8BE85"),
}
_OTHERS = ("#5B6B7D", "#34404D", "#96A3B2")


def colours(connections: Mapping[str, str]) -> dict[str, str]:
    """Return the colour of each metric that tells outcomes apart, and of each of `connections`: a shade of its provider's."""
    found = dict(_METRICS)
    seen: dict[str, int] = {}
    for connection, provider in sorted(connections.items()):
        shades = _PROVIDERS.get(provider, _OTHERS)
        found[connection] = shades[seen.get(provider, 0) % len(shades)]
        seen[provider] = seen.get(provider, 0) + 1
    return found
