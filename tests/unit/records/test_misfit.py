"""A reject says what stood in the unfit place, as a shape that gives no value away, and what would have been accepted."""

from __future__ import annotations

import json

import pytest

from etl.model import JSON
from etl.records.misfit import Misfit, misfit, shape
from tests.memory.acme import ACME

A_TIME = "a date and time in ISO 8601, such as 2026-03-01T12:00:00Z"
AN_ID = "a text that is not blank, or a whole number"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1772000000, "a number of 10 digits"),
        (-5, "a number of 1 digit"),
        (1.5, "a number with a fraction or an exponent"),
        (True, "true or false"),
        (None, "null"),
        ("", "an empty text"),
        ("  ", "a blank text"),
        ("2026-03-01 25:00", "a text of 16 characters like 9999-99-99 99:99"),
        ("Zoë O'Neil <z@example.com>", "a text of 26 characters like Aaa A?Aaaa ?a?aaaaaaa.aaa?"),
        ("+14155550123", "a text of 12 characters like +99999999999"),
        ("x" * 600, f"a text of 600 characters like {'a' * 32}…"),
        (["a", "b"], "a list of 2"),
        ({"name": "Zoë"}, "an object of 1 key"),
    ],
)
def test_a_shape_says_kind_and_size_and_no_value(value: JSON, expected: str) -> None:
    """Digits and letters are masked; only the punctuation of dates and numbers is shown."""
    assert shape(value) == expected


@pytest.mark.parametrize(
    ("reason", "record", "expected"),
    [
        ("not_an_object", ["Zoë"], Misfit("a list of 1", "an object")),
        ("bad_cursor", {"id": "c1", "created": 1772000000}, Misfit("created: a number of 10 digits", A_TIME)),
        ("bad_cursor", {"id": "c1"}, Misfit("no key created", A_TIME)),
        ("missing_id", {"id": " ", "created": "soon"}, Misfit("id: a blank text", AN_ID)),
        ("missing_id", {"created": "soon"}, Misfit("no key id", AN_ID)),
        (
            "id_too_long",
            {"id": "x" * 600},
            Misfit(f"id: a text of 600 characters like {'a' * 32}…", "an id of at most 512 bytes"),
        ),
        (
            "id_in_two_streams",
            {"id": "c1"},
            Misfit("the id of a call that another stream lists too", "an id that one stream lists"),
        ),
        (
            "database_refused",
            {"id": "c1"},
            Misfit("a value that the database cannot hold", "numbers, texts and depths within the database's limits"),
        ),
    ],
)
def test_each_reason_says_what_stood_there_and_what_is_accepted(reason: str, record: JSON, expected: Misfit) -> None:
    """The place is named by the provider's own key."""
    assert misfit(ACME, json.dumps(record).encode(), reason) == expected


def test_what_is_no_json_is_told_by_its_size() -> None:
    """Nothing can be said of its parts."""
    assert misfit(ACME, b"<html>", "not_an_object") == Misfit("6 bytes that are no JSON object", "an object")
