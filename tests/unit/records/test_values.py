"""Values that are written in other ways than most become the same typed values, exactly, or are refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.model import Drift
from etl.records import values
from etl.records.parse import Unfit, instant
from etl.records.values import (
    amount,
    callee,
    caller,
    charge,
    currency,
    date_and_time,
    duration_text,
    epoch_millis,
    epoch_seconds,
    first_of,
    milliseconds,
    minutes,
    rfc_2822,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(9998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda number: timezone(timedelta(minutes=number)))
EVERY = (
    epoch_seconds,
    epoch_millis,
    rfc_2822,
    first_of(instant),
    amount,
    charge,
    currency,
    duration_text,
    minutes,
    milliseconds,
)
JSON_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()) | st.just({})
Parser = Callable[[Any], object]


def refused(parse: Parser, value: Any) -> Drift | None:
    """Return why a value is refused; None if it is not."""
    try:
        parse(value)
    except Unfit as unfit:
        return unfit.kind
    return None


@given(at=MOMENTS)
def test_an_epoch_is_the_instant_it_stands_for(at: datetime) -> None:
    """As a number, as digits, and in milliseconds, which keep more of it."""
    second = at.replace(microsecond=0)
    milli = at.replace(microsecond=at.microsecond // 1000 * 1000)
    seconds, millis = (second - values._EPOCH) // timedelta(seconds=1), (milli - values._EPOCH) // timedelta(milliseconds=1)
    assert epoch_seconds(seconds) == epoch_seconds(str(seconds)) == epoch_seconds(float(seconds)) == second
    assert epoch_millis(millis) == epoch_millis(str(millis)) == milli


@given(at=MOMENTS, zone=OFFSETS)
def test_rfc_2822_is_the_instant_it_stands_for(at: datetime, zone: timezone) -> None:
    """Whatever its offset, with or without the name of the day; ISO 8601 is read as well."""
    second = at.replace(microsecond=0)
    local = second.astimezone(zone)
    assert rfc_2822(format_datetime(local)) == second
    assert rfc_2822(format_datetime(local).partition(", ")[2]) == second
    assert rfc_2822(format_datetime(second).replace("+0000", "GMT")) == second
    assert rfc_2822(at.isoformat()) == at


@given(at=MOMENTS)
def test_a_date_and_a_time_of_their_own_are_one_instant(at: datetime) -> None:
    """In UTC, or in the offset that stands under a third key; without one of them there is none."""
    local = at.astimezone(timezone(timedelta(hours=-7)))
    assert date_and_time((at.date().isoformat(), at.time().isoformat())) == at
    assert date_and_time((local.date().isoformat(), local.time().isoformat(), "-07:00")) == at
    assert date_and_time((None, "10:00:00")) is date_and_time(("2026-03-01", None)) is None


@given(hundredths=st.integers(-(10**9), 10**9))
def test_money_stays_exact(hundredths: int) -> None:
    """Of text and of numbers; what is charged is written as a negative amount."""
    text = f"{hundredths / 100:.2f}"
    assert amount(text) == Decimal(text)
    assert amount(hundredths) == hundredths
    assert charge(text) == -Decimal(text)
    assert not str(charge("0.00")).startswith("-")


@given(seconds=st.integers(0, 2**31 - 1))
def test_durations_become_whole_seconds(seconds: int) -> None:
    """Digits, a clock, milliseconds, and minutes with a fraction."""
    clock = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    assert duration_text(str(seconds)) == duration_text(seconds) == duration_text(clock) == seconds
    assert milliseconds(seconds * 1000 + 999) == seconds
    assert minutes(str(Decimal(seconds) / 60)) == seconds


@pytest.mark.parametrize(
    ("parse", "value", "expected"),
    [
        (rfc_2822, "Fri, 18 Oct 2019 17:00:00 +0000", datetime(2019, 10, 18, 17, tzinfo=UTC)),
        (rfc_2822, "", None),
        (epoch_seconds, 1772366400, NOON),
        (epoch_seconds, 1772366400.25, NOON + timedelta(milliseconds=250)),
        (epoch_seconds, "", None),
        (first_of(rfc_2822), (None, "Sun, 01 Mar 2026 12:00:00 GMT"), NOON),
        (first_of(rfc_2822), ("soon", "Sun, 01 Mar 2026 12:00:00 GMT"), NOON),
        (first_of(rfc_2822), (None, ""), None),
        (charge, "-0.200", Decimal("0.200")),
        (charge, None, None),
        (currency, "USD", "USD"),
        (currency, "eur", "EUR"),
        (currency, "", None),
        (amount, "", None),
        (duration_text, "2:10", 130),
        (duration_text, "42.0", 42),
        (duration_text, " ", None),
        (minutes, 1.5, 90),
        (minutes, "0.28333", 17),
        (milliseconds, 107787, 107),
        (caller, ("inbound", "+1 415-555-0100", "+1 415-555-0121"), "+14155550121"),
        (callee, ("inbound", "+1 415-555-0100", "anonymous"), "+14155550100"),
        (caller, ("Outbound", "+1 415-555-0100", "anonymous"), "+14155550100"),
        (callee, ("outbound", None, "anonymous"), "anonymous"),
        (caller, ("sideways", "+1 415-555-0100", "+1 415-555-0121"), None),
        (callee, (None, "+1 415-555-0100", None), None),
    ],
)
def test_values_as_real_apis_write_them(parse: Parser, value: Any, expected: Any) -> None:
    """Each with the value that it stands for."""
    found = parse(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("parse", "value", "kind"),
    [
        (epoch_seconds, 0, Drift.OUT_OF_RANGE),
        (epoch_seconds, -1, Drift.OUT_OF_RANGE),
        (epoch_seconds, 1772366400000, Drift.OUT_OF_RANGE),
        (epoch_seconds, float("inf"), Drift.OUT_OF_RANGE),
        (epoch_seconds, True, Drift.WRONG_TYPE),
        (epoch_seconds, "2026-03-01", Drift.WRONG_TYPE),
        (epoch_millis, 2**70, Drift.OUT_OF_RANGE),
        (rfc_2822, "Fri, 18 Foo 2019 17:00:00 +0000", Drift.WRONG_TYPE),
        (rfc_2822, "Fri, 18 Oct 2019 17:00:00 PST", Drift.WRONG_TYPE),
        (rfc_2822, "Fri, 31 Feb 2019 17:00:00 +0000", Drift.OUT_OF_RANGE),
        (rfc_2822, 5, Drift.WRONG_TYPE),
        (first_of(rfc_2822), (None, "soon"), Drift.WRONG_TYPE),
        (date_and_time, (20260301, "10:00:00"), Drift.WRONG_TYPE),
        (amount, "1e12", Drift.OUT_OF_RANGE),
        (amount, "two", Drift.WRONG_TYPE),
        (currency, "dollars", Drift.WRONG_TYPE),
        (duration_text, "2:70", Drift.WRONG_TYPE),
        (duration_text, "99999999999", Drift.OUT_OF_RANGE),
        (minutes, -1, Drift.OUT_OF_RANGE),
        (milliseconds, -1, Drift.OUT_OF_RANGE),
        (caller, ("inbound", None, 5), Drift.WRONG_TYPE),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(parse: Parser, value: Any, kind: Drift) -> None:
    """Milliseconds in the place of seconds lie in another age, and are not believed."""
    assert refused(parse, value) is kind


@given(value=JSON_VALUES, parse=st.sampled_from(EVERY[:3] + EVERY[4:]))
def test_nothing_but_unfit_is_raised(value: Any, parse: Parser) -> None:
    """Whatever JSON stands there."""
    refused(parse, value)
    if value is None:
        assert parse(value) is None


@given(given_values=st.tuples(JSON_VALUES, JSON_VALUES, JSON_VALUES))
def test_nothing_but_unfit_is_raised_of_several_keys(given_values: tuple[Any, ...]) -> None:
    """Whatever JSON stands under each of them."""
    for parse in (date_and_time, caller, callee, first_of(instant), first_of(rfc_2822)):
        refused(parse, given_values)
