"""
Parsers of values that are written in other ways than most: other clocks, money, durations, parties relative to a direction.

They keep to the rules of `etl.records.parse`: a typed value, None for null, or `Unfit` with the reason. Where several keys are
read together, the parser is given their values in a tuple.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TypeVar

from etl.model import JSON, Drift
from etl.records.parse import LARGEST, Unfit, address, decimal_cents, direction, instant, whole

Value = TypeVar("Value")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
_AMOUNT_LIMIT = Decimal("1e11")
_DIGITS = re.compile(r"\d{1,18}", re.ASCII)
_CLOCK = re.compile(r"(?:(\d{1,6}):)?(\d{1,6}):([0-5]\d)", re.ASCII)
_WHOLE_TEXT = re.compile(r"(\d{1,12})(?:\.0{1,12})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Za-z]{3}", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_RFC_2822 = re.compile(
    r"(?:[A-Za-z]{3,9},\s*)?(\d{1,2})\s+([A-Za-z]{3})[a-z]*\s+(\d{4})\s+(\d\d:\d\d(?::\d\d)?)\s*([+-]\d{4}|[A-Za-z]{1,3})?",
    re.ASCII,
)
_ZONES = {"": "Z", "gmt": "Z", "ut": "Z", "utc": "Z", "z": "Z"}


# ── Instants ────────────────────────────────────────────────────────────────────────────────────────────────────────


def epoch_seconds(value: JSON) -> datetime | None:
    """
    Return seconds since 1970, a number (also with a fraction) or digits as text, as an instant; None for null and empty text.

    Raises Unfit: `wrong_type`, or `out_of_range` for zero and below, which stand for "never", and from the year 9999 on.
    """
    number = _number(value)
    if number is None:
        return None
    if not 0 < number < _LAST_SECOND:
        raise Unfit(Drift.OUT_OF_RANGE)
    return _EPOCH + timedelta(seconds=number)


def epoch_millis(value: JSON) -> datetime | None:
    """Return milliseconds since 1970 as an instant; otherwise like `epoch_seconds`."""
    number = _number(value)
    if number is None:
        return None
    if not 0 < number < _LAST_SECOND * 1000:
        raise Unfit(Drift.OUT_OF_RANGE)
    return _EPOCH + timedelta(milliseconds=number)


def rfc_2822(value: JSON) -> datetime | None:
    """Return `Fri, 18 Oct 2019 17:00:00 +0000` as an instant, and ISO 8601 as well; None for null and empty text."""
    if not isinstance(value, str):
        return instant(value)
    given = value.strip()
    if not given:
        return None
    found = _RFC_2822.fullmatch(given)
    if found is None:
        return instant(given)
    day, month, year, clock, zone = found.groups(default="")
    offset = _ZONES.get(zone.lower(), zone if zone[:1] in ("+", "-") else None)
    if month.lower() not in _MONTHS or offset is None:
        raise Unfit(Drift.WRONG_TYPE)
    return instant(f"{year}-{_MONTHS.index(month.lower()) + 1:02}-{day:0>2}T{clock}{offset}")


def date_and_time(values: JSON) -> datetime | None:
    """Return a date and a time (and an offset, UTC where it is null) that stand under keys of their own. Raises Unfit."""
    day, clock, *offset = values
    if day is None or clock is None:
        return None
    parts = (day, clock, *(one for one in offset if one is not None))
    if not all(isinstance(part, str) for part in parts):
        raise Unfit(Drift.WRONG_TYPE)
    return instant(f"{day.strip()}T{clock.strip()}{''.join(one.strip() for one in parts[2:])}")


def first_of(read: Callable[[JSON], Value | None]) -> Callable[[JSON], Value | None]:
    """Return a parser of several keys: the first of their values that `read` can use. It raises Unfit where it can use none."""

    def first(values: JSON) -> Value | None:
        unfit: Unfit | None = None
        for value in values:
            try:
                if value is not None and (found := read(value)) is not None:
                    return found
            except Unfit as reason:
                unfit = unfit or reason
        if unfit is not None:
            raise unfit
        return None

    return first


# ── Money and durations ─────────────────────────────────────────────────────────────────────────────────────────────


def amount(value: JSON) -> Decimal | None:
    """Return money in major units, a number or text, exactly; None for null and empty text. Raises Unfit, as `decimal_cents`."""
    if value == "":
        return None
    cents = decimal_cents(value)
    if cents is None:
        return None
    found = cents.scaleb(2)
    if abs(found) > _AMOUNT_LIMIT:
        raise Unfit(Drift.OUT_OF_RANGE)
    return found


def charge(value: JSON) -> Decimal | None:
    """Return what a charge costs that is written as a negative amount (`"-0.200"`); a credit costs less than nothing."""
    found = amount(value)
    return found.copy_negate() if found else found


def currency(value: JSON) -> str | None:
    """Return the code of a currency, `USD`; None for null and empty text. Raises Unfit."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or _CURRENCY.fullmatch(value) is None:
        raise Unfit(Drift.WRONG_TYPE)
    return value.upper()


def duration_text(value: JSON) -> int | None:
    """Return the whole seconds of a duration written as text, `130`, `2:10` or `0:02:10`, or as a number. Raises Unfit."""
    if not isinstance(value, str):
        return whole(value)
    given = value.strip()
    if not given:
        return None
    if (plain := _WHOLE_TEXT.fullmatch(given)) is not None:
        return whole(int(plain[1]))
    if (clock := _CLOCK.fullmatch(given)) is None:
        raise Unfit(Drift.WRONG_TYPE)
    hours, minutes, seconds = (int(part or 0) for part in clock.groups())
    return whole((hours * 60 + minutes) * 60 + seconds)


def minutes(value: JSON) -> int | None:
    """Return a duration in minutes, a number or text with a fraction, in whole seconds, rounded. Raises Unfit."""
    found = amount(value)
    if found is None:
        return None
    seconds = found * 60
    if not 0 <= seconds <= LARGEST:
        raise Unfit(Drift.OUT_OF_RANGE)
    return int(seconds.to_integral_value(ROUND_HALF_EVEN))


def milliseconds(value: JSON) -> int | None:
    """Return a duration in milliseconds in whole seconds, its fraction cut off. Raises Unfit."""
    found = _number(value)
    if found is None:
        return None
    if not 0 <= found < (LARGEST + 1) * 1000:
        raise Unfit(Drift.OUT_OF_RANGE)
    return int(found // 1000)


# ── Parties ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def caller(values: JSON) -> str | None:
    """Return who called, of a direction, the account's own number and the other party's; None without a usable direction."""
    way, ours, theirs = values
    return address({"inbound": theirs, "outbound": ours}.get(_way(way)))


def callee(values: JSON) -> str | None:
    """Return who was called; otherwise like `caller`."""
    way, ours, theirs = values
    return address({"inbound": ours, "outbound": theirs}.get(_way(way)))


def _way(value: JSON) -> str:
    try:
        return direction(value) or ""
    except Unfit:  # noted where the direction has its own field
        return ""


def _number(value: JSON) -> int | float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if value is None or value == "":
        return None
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    raise Unfit(Drift.WRONG_TYPE)


WRITTEN: Mapping[Callable[[JSON], object], str] = {
    instant: "a date and time in ISO 8601, such as 2026-03-01T12:00:00Z",
    epoch_seconds: "seconds since 1970, such as 1772366400",
    epoch_millis: "milliseconds since 1970, such as 1772366400000",
    rfc_2822: "a date and time such as Sun, 01 Mar 2026 12:00:00 +0000",
    date_and_time: "a date such as 2026-03-01 and a time such as 12:00:00",
}
"""How instants are written that each parser reads, for messages."""
