"""Looks at JSON values leaf by leaf: which there are, and the same value with one of them changed."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

from etl.model import JSON

Place = tuple[str | int, ...]
"""The keys and positions that lead to a leaf."""

ABSENT: JSON = object()
"""Stands for a leaf that is to be left out."""


def leaves(value: JSON, above: Place = ()) -> Iterator[tuple[Place, JSON]]:
    """Yield every value that is neither an object nor a list, with its place; an empty object or list is a leaf."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not inside:
        yield above, value
    for key, inner in inside:
        yield from leaves(inner, (*above, key))


def changed(value: JSON, place: Place, leaf: JSON) -> JSON:
    """Return a copy of a value with another leaf in this place."""
    copy = deepcopy(value)
    put(copy, place, leaf)
    return copy


def put(value: JSON, place: Place, leaf: JSON) -> None:
    """Put another leaf in this place of a value; an object on the way to it is made where there is none."""
    inside = value
    for key in place[:-1]:
        if isinstance(inside, dict) and not isinstance(inside.get(key), dict | list):
            inside[key] = {}
        inside = inside[key]
    if leaf is not ABSENT:
        inside[place[-1]] = leaf
    elif isinstance(inside, dict):
        inside.pop(place[-1], None)


def dotted(place: Place) -> str:
    """Return a place as messages show it."""
    return ".".join(map(str, place))
