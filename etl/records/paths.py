"""
Looks away from some paths of a decoded record, or cuts them out of its text.

A path is a dotted key; where it leads through a list, it means every element.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Raw

from etl import json_text
from etl.model import JSON

Tree = Mapping[str, Any]
"""Paths by their first keys; below the last key of a path there is nothing."""


def tree_of(paths: Iterable[str]) -> Tree:
    """Return the paths as a tree. Of two paths of which one leads through the other, the shorter counts."""
    found: dict[str, Any] = {}
    for path in sorted(paths, key=lambda one: one.count(".")):
        *above, last = path.split(".")
        place = found
        for key in above:
            inner = place.setdefault(key, {"": None})
            if not inner:
                break  # a shorter path ends here
            inner.pop("", None)
            place = inner
        else:
            place[last] = {}
    return found


def steady(value: JSON, tree: Tree) -> JSON:
    """Return a value in which only whether there is a value counts at these paths: null, or true."""
    if isinstance(value, list):
        return [steady(one, tree) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: inner if key not in tree else _steady(inner, tree[key]) for key, inner in value.items()}


def _steady(value: JSON, below: Tree) -> JSON:
    return steady(value, below) if below else value is not None or None


def without(value: JSON, tree: Tree) -> JSON:
    """Return a value without what stands at these paths."""
    if isinstance(value, list):
        return [without(one, tree) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: inner if key not in tree else without(inner, tree[key])
        for key, inner in value.items()
        if key not in tree or tree[key]
    }


def only(value: JSON, tree: Tree) -> JSON:
    """Return of a value what stands at these paths, where that is no object and no list; in the place of anything else null."""
    if not tree:
        return None if isinstance(value, dict | list | Raw) else value
    if isinstance(value, list):
        return [only(one, tree) for one in value]
    if not isinstance(value, dict):
        return None
    return {key: only(inner, tree[key]) for key, inner in value.items() if key in tree}


def emptied(value: JSON, tree: Tree, *, but: Tree) -> JSON:
    """
    Return a value with null at these paths.

    At those of them that `but` holds too stands an empty text where a value was: that there is one tells something else as well.
    """
    if isinstance(value, list):
        return [emptied(one, tree, but=but) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: inner if key not in tree else _emptied(inner, tree[key], but.get(key)) for key, inner in value.items()}


def _emptied(value: JSON, below: Tree, but: Tree | None) -> JSON:
    if below:
        return emptied(value, below, but=but or {})
    return None if value is None or but is None else ""


def cut_out(paths: frozenset[str], text: bytes) -> bytes:
    """
    Return a record's JSON text without what stands at these paths; the same text where no such key occurs in it.

    Called before anything else sees the record, so that what is cut out is never stored, compared or shown.
    """
    lasts = {path.rpartition(".")[2].encode() for path in paths}
    if b"\\u" not in text and not any(last in text for last in lasts):
        return text
    value = json_text.decoded(text)
    return json_text.encoded(without(value, tree_of(paths))) if isinstance(value, dict) else text
