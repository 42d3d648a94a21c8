"""JSON text is decoded, compared and encoded whatever its depth and its numbers, and the interpreter is left as it is."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.json_text import LEVELS, LongNumber, check, decoded, encoded, fold, same

keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
leaves = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | keys


def nested(levels: int, kernel: str) -> str:
    """A value so many levels below others, objects and arrays in turn."""
    return '[{"k": ' * (levels // 2) + kernel + "}]" * (levels // 2)


@given(st.dictionaries(keys, leaves, max_size=3), st.integers(0, 3 * LEVELS), st.integers(0, 3 * LEVELS))
def test_folded_text_can_be_put_together_again(value: dict[str, Any], above: int, below: int) -> None:
    """Whatever is cut out of it, and wherever."""
    text = nested(above, f"[{json.dumps(value)}, {nested(below, json.dumps(value, ensure_ascii=False))}]").encode()
    folded = fold(text)

    assert folded.restored(folded.text) == text


@pytest.mark.parametrize("levels", [LEVELS, 1_500, 2_500, 20_000])
def test_deep_text_is_decoded_and_compared(levels: int) -> None:
    """Blanks and the order of keys make no difference, a value at the very bottom does."""
    limit = sys.getrecursionlimit()
    one = decoded(b'{"id": 7, "x": %s}' % nested(levels, '{"a": 1, "b": 2.50}').encode())
    alike = decoded(b'{"x":%s,"id":7}' % nested(levels, '{"b":2.50,"a":1}').replace(" ", "").encode())
    other = decoded(b'{"id": 7, "x": %s}' % nested(levels, '{"a": 1, "b": 2.51}').encode())

    assert (same(one, alike), same(one, other), sys.getrecursionlimit()) == (True, False, limit)
    assert isinstance(one, dict) and one["id"] == 7


def test_a_value_is_the_same_however_much_of_it_was_decoded() -> None:
    """How deep a decoder reaches depends on the calls above it, what a value says does not."""
    text = nested(2 * LEVELS, '"bottom"').encode()
    folded = fold(text)

    assert same(decoded(text), folded.filled(decoded(folded.text)))


def test_a_container_in_the_place_of_a_key_is_no_json() -> None:
    """Also where folding makes a string of it."""
    for levels in range(2_000, 2_000 + LEVELS):
        text = b"[" * levels + b'{[1]: "x"}' + b"]" * levels
        assert decoded(text) is None
        with pytest.raises(ValueError, match=r"key|JSON|malformed|Expecting"):
            check(text)


@pytest.mark.parametrize("text", [b"[" * 5_000, b"]" * 5_000, b"[" * 5_000 + b"}" * 5_000, b"[" * 3_000 + b"1 2" + b"]" * 3_000])
def test_what_is_deep_and_broken_is_not_decoded(text: bytes) -> None:
    """Nothing can read it, so it is None."""
    assert decoded(text) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.12345678901234567890123", LongNumber("0.12345678901234567890123")),
        ("1.5", 1.5),
        ("123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_a_number_keeps_its_digits(text: str, number: float) -> None:
    """Decoded and encoded again, it is what it was; also inside of what is too deep."""
    value = decoded(text.encode())

    assert (value, type(value), encoded(value).decode()) == (number, type(number), text)
    assert text.encode() in encoded(decoded(nested(2_500, text).encode()))


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("0.1234567890123456789", "0.1234567890123456788", False),
        ("0.1234567890123456789", "0.12345678901234567890", True),
        ("0.30000000000000000001", "0.3", False),
        ("0.30000000000000000000", "0.3", True),
        ("3.0000000000000000000", "3", True),
        ("1.0", "1", True),
        ("1", "true", False),
        ("[1, {}]", "[1, {}]", True),
        ("[1]", "[1, 2]", False),
        ('{"a": 1}', '{"b": 1}', False),
        ('{"a": null}', "{}", False),
    ],
)
def test_sameness_is_that_of_json(one: str, other: str, alike: bool) -> None:
    """To the last digit; true is not 1, 1.0 is 1."""
    assert same(decoded(one.encode()), decoded(other.encode())) is alike


def test_nothing_else_is_encoded() -> None:
    """What is no JSON is a mistake of ours."""
    with pytest.raises(NotImplementedError):
        encoded(complex(1))
