"""Two JSON values are the same as JSON has it, whatever Python makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.records.content import same_json, same_text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def reordered(value: Any) -> Any:
    """Return the same value with the keys of every object in the other order."""
    if isinstance(value, dict):
        return {key: reordered(inner) for key, inner in reversed(value.items())}
    return [reordered(inner) for inner in value] if isinstance(value, list) else value


def booleans_as_numbers(value: Any) -> Any:
    """Return the value with 1 and 0 in the place of true and false."""
    if isinstance(value, dict):
        return {key: booleans_as_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [booleans_as_numbers(inner) for inner in value]
    return int(value) if isinstance(value, bool) else value


@given(VALUES)
def test_the_order_of_keys_is_nothing(value: Any) -> None:
    """A database that reorders the keys of objects holds the same value."""
    assert same_json(value, reordered(value))
    assert same_text(json.dumps(value), json.dumps(reordered(value), indent=1))


@given(VALUES)
def test_a_boolean_is_no_number(value: Any) -> None:
    """Python takes true for 1, at any depth; JSON does not."""
    other = booleans_as_numbers(value)
    assert same_json(value, other) is (json.dumps(value) == json.dumps(other))


@given(VALUES, VALUES)
def test_the_same_from_both_sides(one: Any, other: Any) -> None:
    """Which of the two stands first does not matter, and every value is the same as itself."""
    assert same_json(one, other) is same_json(other, one)
    assert same_json(one, one)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (None, None, True),
        (None, "null", False),  # no value is not the value null
        ("1", "1.0", True),
        ('{"a": [1, {"b": true}]}', '{"a":[1,{"b":true}]}', True),
        ('{"a": true}', '{"a": 1}', False),
        ('{"a": 1}', '{"a": 1, "b": null}', False),
    ],
)
def test_texts(one: str | None, other: str | None, *, same: bool) -> None:
    """Texts are the same where their values are."""
    assert same_text(one, other) is same
