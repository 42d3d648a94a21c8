"""Raw values become typed ones, or are said to be unfit; nothing else ever happens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl.json_text import LongNumber
from etl.model import Drift, Status
from etl.records import parse
from etl.records.parse import Unfit

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
PARSERS: list[Callable[[Any], object]] = [
    parse.instant,
    parse.text,
    parse.identifier,
    parse.whole,
    parse.flag,
    parse.decimal_cents,
    parse.address,
    parse.direction,
]

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other tests share the machine


def outcome(parser: Callable[[Any], object], value: Any) -> object:
    """Return what the parser returns, or the kind of its refusal."""
    try:
        return parser(value)
    except Unfit as unfit:
        return unfit.kind


@pytest.mark.parametrize("parser", PARSERS)
@UNHURRIED
@given(value=JSON_VALUES)
def test_any_value_is_typed_or_unfit(parser: Callable[[Any], object], value: Any) -> None:
    """Whatever JSON holds is typed or refused in one of two ways, and null is null."""
    found = outcome(parser, value)
    if isinstance(found, Drift):
        assert found in (Drift.WRONG_TYPE, Drift.OUT_OF_RANGE)
    if value is None:
        assert found is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-03-15T14:30:00.000Z", datetime(2026, 3, 15, 14, 30, tzinfo=UTC)),
        ("2026-03-15T14:30:00", datetime(2026, 3, 15, 14, 30, tzinfo=UTC)),
        ("2026-03-15 14:30:00", datetime(2026, 3, 15, 14, 30, tzinfo=UTC)),
        ("2026-03-15t14:30:00z", datetime(2026, 3, 15, 14, 30, tzinfo=UTC)),
        ("2026-03-15T14:30:00+05:30", datetime(2026, 3, 15, 9, tzinfo=UTC)),
        ("2026-03-15T14:30:00-0130", datetime(2026, 3, 15, 16, tzinfo=UTC)),
        ("2026-03-15T14:30:00.5Z", datetime(2026, 3, 15, 14, 30, 0, 500_000, tzinfo=UTC)),
        ("2026-03-15T14:30:00.123456789Z", datetime(2026, 3, 15, 14, 30, 0, 123_456, tzinfo=UTC)),
        ("2026-03-15T24:00:00Z", datetime(2026, 3, 16, tzinfo=UTC)),
        ("2026-03-15T24:00Z", datetime(2026, 3, 16, tzinfo=UTC)),
        ("2026-12-31T23:59:60Z", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-12-31T23:59:60.5Z", datetime(2027, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-02-30T00:00:00Z", Drift.OUT_OF_RANGE),
        ("2026-13-01T00:00:00Z", Drift.OUT_OF_RANGE),
        ("2026-03-15T25:00:00Z", Drift.OUT_OF_RANGE),
        ("2026-03-15T24:30:00Z", Drift.OUT_OF_RANGE),
        ("0001-01-01T00:00:00Z", Drift.OUT_OF_RANGE),
        ("0001-01-01T00:00:00+05:00", Drift.OUT_OF_RANGE),
        ("9999-12-31T23:59:59Z", Drift.OUT_OF_RANGE),
        ("9999-12-31T23:59:59-05:00", Drift.OUT_OF_RANGE),
        ("9999-12-31T24:00:00Z", Drift.OUT_OF_RANGE),
        ("2026-03-15", Drift.WRONG_TYPE),
        ("", Drift.WRONG_TYPE),
        ("yesterday", Drift.WRONG_TYPE),
        (1_773_585_000, Drift.WRONG_TYPE),
        (True, Drift.WRONG_TYPE),
        ({}, Drift.WRONG_TYPE),
    ],
)
def test_instants(given: Any, expected: object) -> None:
    """ISO 8601 date-times in every usual form are read as UTC; days that no calendar has are out of range."""
    assert outcome(parse.instant, given) == expected


@UNHURRIED
@given(
    at=st.datetimes(
        min_value=datetime(3, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
        max_value=datetime(9998, 1, 1),  # noqa: DTZ001 - as above
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=11))]),
    )
)
def test_instants_make_the_round_trip(at: datetime) -> None:
    """An instant written in any offset is read back as the same one, in UTC."""
    assert parse.instant(at.isoformat()) == at
    read = parse.instant(at.isoformat())
    assert read is not None and read.tzinfo is UTC


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (5, "5"),
        (0, "0"),
        ("c874", "c874"),
        ("", None),
        ("é" * 256, "é" * 256),
        ("é" * 257, Drift.OUT_OF_RANGE),
        ("\ud800" * 200, Drift.OUT_OF_RANGE),
        (10**400, Drift.OUT_OF_RANGE),
        (True, Drift.WRONG_TYPE),
        (5.0, "5"),
        (12345.0, "12345"),
        (1e3, "1000"),
        (-7.0, "-7"),
        (5.5, Drift.WRONG_TYPE),
        (2.0**53, Drift.WRONG_TYPE),
        (1e300, Drift.WRONG_TYPE),
        (float("inf"), Drift.WRONG_TYPE),
        (float("nan"), Drift.WRONG_TYPE),
        ("12345.0", "12345.0"),
        ([5], Drift.WRONG_TYPE),
    ],
)
def test_identifiers(given: Any, expected: object) -> None:
    """An id is text, also where a provider types it as a number, however that is written; it has at most 512 bytes."""
    assert outcome(parse.identifier, given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (42, 42),
        (42.0, 42),
        (0, 0),
        (2_147_483_647, 2_147_483_647),
        (2_147_483_648, Drift.OUT_OF_RANGE),
        (2**70, Drift.OUT_OF_RANGE),
        (float("inf"), Drift.OUT_OF_RANGE),
        (float("nan"), Drift.OUT_OF_RANGE),
        (-1, Drift.OUT_OF_RANGE),
        (42.5, Drift.WRONG_TYPE),
        (True, Drift.WRONG_TYPE),
        ("42", Drift.WRONG_TYPE),
    ],
)
def test_whole_numbers(given: Any, expected: object) -> None:
    """Seconds and milliseconds are whole, not negative and fit into the column."""
    found = outcome(parse.whole, given)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (2.4, Decimal("0.024")),
        (12, Decimal("0.12")),
        (-3, Decimal("-0.03")),
        (1e-7, Decimal("0.000000001")),
        ("2.4", Decimal("0.024")),
        ("1e2", Decimal(1)),
        (0.1 + 0.2, Decimal("0.0030000000000000004")),
        (LongNumber("0.12345678901234567890123"), Decimal("0.0012345678901234567890123")),
        (LongNumber("1234567890123.45678"), Decimal("12345678901.2345678")),
        (10**13, Decimal(10) ** 11),
        (10**13 + 1, Drift.OUT_OF_RANGE),  # what no roll-up has room for
        ("-10000000000000.01", Drift.OUT_OF_RANGE),
        (LongNumber("1234567890123456.78"), Drift.OUT_OF_RANGE),
        (LongNumber("0.1234567890123456789012345678901"), Drift.OUT_OF_RANGE),
        (LongNumber("1e400000000000000"), Drift.OUT_OF_RANGE),
        (2**63, Drift.OUT_OF_RANGE),
        (10**300, Drift.OUT_OF_RANGE),
        (1e-300, Drift.OUT_OF_RANGE),
        ("1e99", Drift.OUT_OF_RANGE),
        (float("inf"), Drift.OUT_OF_RANGE),
        (float("nan"), Drift.OUT_OF_RANGE),
        ("1_000", Drift.WRONG_TYPE),
        ("NaN", Drift.WRONG_TYPE),
        ("", Drift.WRONG_TYPE),
        (True, Drift.WRONG_TYPE),
    ],
)
def test_cents(given: Any, expected: object) -> None:
    """Cents become exactly a hundredth of themselves: 2.4 is 0.024, not the float nearest to it."""
    assert outcome(parse.decimal_cents, given) == expected


@UNHURRIED
@given(cents=st.decimals(min_value=-(10**12), max_value=10**12, places=2))
def test_cents_are_exact(cents: Decimal) -> None:
    """A hundred times the result is what was given, as a float and as text."""
    assert parse.decimal_cents(float(cents)) == Decimal(repr(float(cents))).scaleb(-2)
    assert parse.decimal_cents(str(cents)) == cents.scaleb(-2)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("+14155550100", "+14155550100"),
        ("+1 (415) 555-0100", "+14155550100"),
        ("\u202a+14155550100\u202c", "+14155550100"),
        ("\u2066+1 415\u200b 555\u00ad 0100\u2069\ufeff", "+14155550100"),
        ("+1\u2011415\u2010555\u20130100", "+14155550100"),
        ("+1\u2014415\u2212555\uff0d0100", "+14155550100"),
        (" +1 415 555 0100", "+14155550100"),
        ("\t+1\u00a0415\u2009555\u202f0100\n", "+14155550100"),
        ("\uff0b\uff11 \uff08415\uff09555\uff0e0100", "+14155550100"),
        ("+\u0661\u0664\u0661\u0665\u0665\u0665\u0665\u0660\u0661\u0660\u0660", "+14155550100"),
        ("tel:+1-415-555-0100", "+14155550100"),
        ("\u202a+90530xxxxxxx\u202c", "\u202a+90530xxxxxxx\u202c"),
        ("\u202a4155550100\u202c", "\u202a4155550100\u202c"),
        ("+1 415 555 0100 ext. 5", "+1 415 555 0100 ext. 5"),
        ("\u200b", "\u200b"),
        ("+90530xxxxxxx", "+90530xxxxxxx"),
        ("+999", "+999"),
        ("+1 415", "+1 415"),
        ("+", "+"),
        ("+1" + "4" * 300, "+1" + "4" * 300),
        ("4155550100", "4155550100"),
        ("salprebox:EXAMPLE_SERIAL_NO", "salprebox:EXAMPLE_SERIAL_NO"),
        ("test", "test"),
        ("", None),
        (14155550100, Drift.WRONG_TYPE),
    ],
)
def test_addresses(given: Any, expected: object) -> None:
    """
    A valid number that begins with `+` becomes E.164, whatever marks, dashes, spaces and digits it is written with.

    A masked one is not guessed, another address stays as it is.
    """
    assert outcome(parse.address, given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("inbound", "inbound"),
        ("Outbound", "outbound"),
        ("OUTBOUND ", "outbound"),
        ("internal", Drift.OUT_OF_RANGE),
        ("", Drift.OUT_OF_RANGE),
        (1, Drift.WRONG_TYPE),
        (["inbound"], Drift.WRONG_TYPE),
    ],
)
def test_directions(given: Any, expected: object) -> None:
    """A call goes in or out; any other word is out of range."""
    assert outcome(parse.direction, given) == expected


@UNHURRIED
@given(data=st.data())
def test_status_words_in_any_form(data: st.DataObject) -> None:
    """Words are compared without case and with hyphen, space and underscore alike; a provider's own words come before names."""
    words = {"on_hold": Status.IN_PROGRESS, "completed": Status.FAILED}
    named = {status.value: status for status in Status if status is not Status.UNKNOWN} | {"cancelled": Status.CANCELED}
    word, status = data.draw(st.sampled_from(list((named | words).items())))
    letters = (
        data.draw(st.sampled_from(["-", " ", "_"] if letter == "_" else [letter.lower(), letter.upper()])) for letter in word
    )
    assert parse.status("".join(letters), words) == status


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("teleported", Drift.NEW_STATUS),
        ("unknown", Drift.NEW_STATUS),
        ("", Drift.NEW_STATUS),
        (None, Drift.WRONG_TYPE),
        (3, Drift.WRONG_TYPE),
    ],
)
def test_new_status_words(given: Any, expected: object) -> None:
    """A word that nobody documented is new; what is no word at all has the wrong type."""
    assert outcome(lambda value: parse.status(value, {}), given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (42, 42),
        (42.0, 42),
        ("42", 42),
        (" 42 ", 42),
        ("٤٢", None),
        ("4.2", None),
        (4.2, None),
        (-1, None),
        (True, None),
        ({}, None),
    ],
)
def test_counts(given: Any, expected: object) -> None:
    """What a page says of itself in numbers is taken in any clear form, else it says nothing."""
    assert parse.count(given) == expected


@UNHURRIED
@given(value=JSON_VALUES)
def test_what_pages_say_never_raises(value: Any) -> None:
    """No value that a page may hold about itself is an error."""
    assert parse.count(value) is None or isinstance(parse.count(value), int)
    assert parse.yes(value) in (True, False, None)


@pytest.mark.parametrize(
    ("given", "expected"), [(True, True), ("False", False), ("true", True), ("yes", None), (1, None), (None, None)]
)
def test_yes(given: Any, expected: object) -> None:
    """What a page says of itself in booleans is taken in any clear form, else it says nothing."""
    assert parse.yes(given) is expected


def test_refusals_hold_nothing_of_the_value() -> None:
    """What is unfit says only in which way: its text may be somebody's name."""
    with pytest.raises(Unfit) as refusal:
        parse.whole("Alice Example")
    assert str(refusal.value) == "wrong_type"


def test_a_count_is_read_whatever_blanks_surround_it() -> None:
    """What `str` takes for a blank and `int` does not, such as a unit separator, breaks no page."""
    assert [parse.count(value) for value in ("12", " 12\n", "0\x1f", "12\x1c")] == [12, 12, 0, 12]
