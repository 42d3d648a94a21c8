"""When two JSON values are equal, and when two records say the same about a call."""

from __future__ import annotations

from etl.json_text import decoded
from etl.json_text import same as same_json
from etl.model import JSON
from etl.provider import Provider
from etl.records.compiled import plan_of
from etl.records.paths import steady


def same_text(one: str | None, other: str | None) -> bool:
    """Whether two JSON texts are the same JSON; None is the database's null."""
    if one is None or other is None or one == other:
        return one == other
    return same_json(decoded(one.encode()), decoded(other.encode()))


def same_content(provider: Provider, held: JSON, seen: JSON) -> bool:
    """
    Whether two decoded records say the same about a call, whatever the order of their keys.

    For a volatile key or path (a presigned URL, whether an agent is available now) it only matters whether there is a value: the
    first URL of a recording is news, the next URL of the same recording is not.
    """
    if not isinstance(held, dict) or not isinstance(seen, dict):
        return same_json(held, seen)
    if held.keys() != seen.keys():
        return False
    tree = plan_of(provider).volatile
    if tree is not None:
        return same_json(steady(held, tree), steady(seen, tree))
    return all(
        (held[key] is None) == (seen[key] is None) if key in provider.volatile else same_json(held[key], seen[key])
        for key in held
    )
