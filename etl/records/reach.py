"""Finds values in decoded records: by a key, along a path, or under several keys at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

from etl.model import JSON, Drift
from etl.provider import Keys, all_of
from etl.records.parse import Unfit

Reach = Callable[[JSON, JSON], JSON]
"""
Returns what stands at a path in a record, else in an earlier one (None: there is none); of several paths a tuple of it.

Raises Unfit where a path leads through what is no object.
"""


def shown(keys: Keys) -> str:
    """Return a key, or a list of several, as notes and messages show it."""
    return ", ".join(all_of(keys))


def is_plain(keys: Keys) -> bool:
    """Whether this is one key that leads to its value alone."""
    return isinstance(keys, str) and "." not in keys


@lru_cache(maxsize=4096)
def paths_of(keys: Keys) -> tuple[tuple[str, ...], ...]:
    """Return the path to each of the keys."""
    return tuple(tuple(key.split(".")) for key in all_of(keys))


def reacher(keys: Keys) -> Reach:
    """Return what finds the value of a key, or the values of several."""
    paths = paths_of(keys)
    return partial(_reached, paths[0]) if isinstance(keys, str) else partial(_gathered, paths)


def _reached(path: tuple[str, ...], value: JSON, earlier: JSON) -> JSON:
    """Return what stands at `path`, taken from the `earlier` record if the later has nothing there. Raises Unfit."""
    inner = value
    for key in path:
        if inner is None:
            break
        if not isinstance(inner, dict):
            raise Unfit(Drift.WRONG_TYPE)
        inner = inner.get(key)
    return _reached(path, earlier, None) if inner is None and earlier is not None else inner


def _gathered(paths: tuple[tuple[str, ...], ...], value: JSON, earlier: JSON) -> tuple[JSON, ...] | None:
    """Return what stands at each of the paths; None where nothing stands at any."""
    found = tuple([_reached(path, value, earlier) for path in paths])
    return None if found.count(None) == len(found) else found


def reached_type(path: tuple[str, ...], value: JSON) -> str:
    """Return the type of what stands at a path, or of what is in its way."""
    for key in path:
        if not isinstance(value, dict):
            break
        value = value.get(key)
    return type_name(value)


def type_name(value: JSON) -> str:
    """Return JSON's name of the value's type: the only thing that a note says about it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, float):
        return "number"
    return {str: "string", int: "number", dict: "object", list: "array"}[type(value)]
