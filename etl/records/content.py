"""When two JSON values are equal, and when two records say the same about a call."""

from __future__ import annotations

from etl.json_text import decoded
from etl.model import JSON
from etl.provider import Provider


def same_json(one: JSON, other: JSON) -> bool:
    """Whether two decoded values are the same JSON: true is not 1, but 1.0 is 1; the order of keys does not matter."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def same_text(one: str | None, other: str | None) -> bool:
    """Whether two JSON texts are the same JSON; None is the database's null."""
    if one is None or other is None or one == other:
        return one == other
    return same_json(decoded(one.encode()), decoded(other.encode()))


def same_content(provider: Provider, held: JSON, seen: JSON) -> bool:
    """
    Whether two decoded records say the same about a call, whatever the order of their keys.

    For a volatile key (a presigned URL) it only matters whether there is a value: the first URL of a recording is news, the next
    URL of the same recording is not.
    """
    if not isinstance(held, dict) or not isinstance(seen, dict):
        return same_json(held, seen)
    if held.keys() != seen.keys():
        return False
    return all(
        (held[key] is None) == (seen[key] is None) if key in provider.volatile else same_json(held[key], seen[key])
        for key in held
    )
