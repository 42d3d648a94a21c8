"""Parsers of single JSON values. Each returns a typed value or raises `Unfit` with the reason; none knows a provider."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import lru_cache
from operator import attrgetter

from etl.json_text import LongNumber
from etl.model import JSON, Drift, Status

ID_BYTES = 512
"""The maximum length of an id in bytes of UTF-8; longer ones do not fit into the database's indexes."""

LARGEST = 2**31 - 1
"""The largest whole number (seconds, milliseconds) that a column holds."""

_ID_BITS = 1024  # a larger integer is no id in use, and is slow to print
_CENTS = Context(prec=60, traps=[Inexact, InvalidOperation])
_CENTS_LIMIT = Decimal("1e13")
_CENTS_EXPONENT = -30
_NUMBER = re.compile(r"-?\d{1,30}(\.\d{1,30})?([eE][+-]?\d{1,2})?", re.ASCII)
_DATE = re.compile(r"\d{4}-?\d\d-?\d\d", re.ASCII)
_LARGEST_EXACT = 2**53  # beyond, a float stands for several whole numbers
_PHONE_NUMBER = re.compile(r"\+[0-9 ().\-/]+")  # no letters: `phonenumbers` would read a masked `+90530xxxxxxx` as 9s
_LIKE_ASCII = {
    "Pd": "-",  # dashes and hyphens of all kinds
    "Zs": " ",  # spaces of all widths
    "Cc": " ",
    "Cf": "",  # marks of direction, joiners, soft hyphens: nothing that is seen
}
"""By its Unicode category, what a character in a phone number stands for."""
_DATE_ONLY = 10  # characters of `2026-03-15`
_MIDNIGHT = re.compile(r"(\d{4}-\d\d-\d\d[Tt ])24:00((?::00(?:[.,]0+)?)?)(?![:\d])", re.ASCII)
_LEAP_SECOND = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:)60", re.ASCII)


class Unfit(ValueError):
    """A value that does not fit its field; `kind` says why. It holds nothing of the value itself, which may be personal."""

    def __init__(self, kind: Drift) -> None:
        super().__init__(kind.value)
        self.kind = kind


def instant(value: JSON) -> datetime | None:
    """
    Return an ISO 8601 date-time as an aware UTC one, cut to microseconds; without an offset it is UTC.

    None for null. Raises Unfit: `wrong_type` for anything but a date-time (a number, a bare date), `out_of_range` for a day that
    does not exist, and for the years 1 and 9999, which stand for "never" (and leave no room for arithmetic).
    """
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        at = _unusual_instant(value)
    except TypeError:
        if value is None:
            return None
        raise Unfit(Drift.WRONG_TYPE) from None
    if len(value) <= _DATE_ONLY:
        raise Unfit(Drift.WRONG_TYPE)
    if at.tzinfo is not UTC:
        try:
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        except OverflowError:
            raise Unfit(Drift.OUT_OF_RANGE) from None
    if 1 < at.year < 9999:
        return at
    raise Unfit(Drift.OUT_OF_RANGE)


def instants(values: Sequence[JSON]) -> list[datetime]:
    """
    Return what `instant` makes of each value, provided that there is one and all are plain date-times in UTC.

    Raises ValueError (Unfit is one) or TypeError otherwise, even for values that `instant` accepts.
    """
    found = list(map(datetime.fromisoformat, values))
    if set(map(attrgetter("tzinfo"), found)) != {UTC} or min(map(len, values)) <= _DATE_ONLY:
        raise Unfit(Drift.WRONG_TYPE)
    if not 1 < min(found).year <= max(found).year < 9999:
        raise Unfit(Drift.OUT_OF_RANGE)
    return found


def text(value: JSON) -> str | None:
    """Return a string as given, None for null. Raises Unfit (`wrong_type`)."""
    if value is None or isinstance(value, str):
        return value
    raise Unfit(Drift.WRONG_TYPE)


def identifier(value: JSON) -> str | None:
    """
    Return an id as text, whether given as a string or as a whole number; None for null and for an empty string.

    12345.0 and 1.2345e4 are the number 12345, as JSON has it; so the id stays the same when a server begins to write it so.
    Raises Unfit: `wrong_type` (also for a fraction, and for a float so large that it may stand for several ids), or
    `out_of_range` for one of more than `ID_BYTES` bytes.
    """
    if type(value) is int:
        if value.bit_length() > _ID_BITS:
            raise Unfit(Drift.OUT_OF_RANGE)
        return str(value)
    if value is None:
        return None
    if isinstance(value, float) and -_LARGEST_EXACT < value < _LARGEST_EXACT and value.is_integer():
        return str(int(value))
    if not isinstance(value, str):
        raise Unfit(Drift.WRONG_TYPE)
    # No character takes more than four bytes, so the first comparison saves encoding most ids.
    if len(value) * 4 > ID_BYTES and len(value.encode("utf-8", "surrogatepass")) > ID_BYTES:
        raise Unfit(Drift.OUT_OF_RANGE)
    return value or None


def identifiers(values: Sequence[JSON]) -> list[str | None]:
    """Return what `identifier` makes of each value. Raises Unfit if it does for any of them."""
    if set(map(type, values)) == {int} and max(map(int.bit_length, values)) <= _ID_BITS:
        return list(map(str, values))
    return list(map(identifier, values))


def whole(value: JSON) -> int | None:
    """
    Return a whole number from 0 to 2147483647 (seconds, milliseconds), also from a float such as 42.0; None for null.

    Raises Unfit: `wrong_type` (a string, a boolean, a fraction), `out_of_range` (negative, infinite, too large for the column).
    """
    if type(value) is int and 0 <= value <= LARGEST:  # nearly all
        return value
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(Drift.WRONG_TYPE)
    if not 0 <= value <= LARGEST:
        raise Unfit(Drift.OUT_OF_RANGE)
    if value != int(value):
        raise Unfit(Drift.WRONG_TYPE)
    return int(value)


def flag(value: JSON) -> bool | None:
    """Return a boolean, None for null. Raises Unfit (`wrong_type`)."""
    if value is None or isinstance(value, bool):
        return value
    raise Unfit(Drift.WRONG_TYPE)


def decimal_cents(value: JSON) -> Decimal | None:
    """
    Return cents, given as a number or as text, in major units: exactly a hundredth. None for null.

    A float stands for its shortest decimal form, which is what the provider wrote: 2.4 becomes 0.024. One with more digits than
    a float holds is taken from its text.
    Raises Unfit: `wrong_type`, or `out_of_range` for what is not finite or beyond 10¹¹ in major units.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Unfit(Drift.WRONG_TYPE)
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            raise Unfit(Drift.WRONG_TYPE)
        cents = Decimal(value)
    elif -1e14 < value < 1e14:  # also false for what is not a number
        cents = Decimal(value.text if isinstance(value, LongNumber) else repr(value))
    else:
        raise Unfit(Drift.OUT_OF_RANGE)
    if not -_CENTS_LIMIT <= cents <= _CENTS_LIMIT or int(cents.as_tuple().exponent) < _CENTS_EXPONENT:
        raise Unfit(Drift.OUT_OF_RANGE)
    return _CENTS.scaleb(cents, -2)


def address(value: JSON) -> str | None:
    """
    Return a phone number as E.164 where `phonenumbers` finds a valid one that begins with `+`, any other address as given.

    Dashes, spaces and digits of every script count as what they look like, invisible characters as nothing, and `tel:` before
    it is no part of it. None for null and for an empty string. Raises Unfit (`wrong_type`).
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise Unfit(Drift.WRONG_TYPE)
    return _phone_number(value) if "+" in value or not value.isascii() else value or None


def direction(value: JSON) -> str | None:
    """Return `inbound` or `outbound`, whatever the case; None for null. Raises Unfit (`wrong_type`, `out_of_range`)."""
    if value is None or value in ("inbound", "outbound"):
        return value  # type: ignore[no-any-return]  # one of the two literals, or None
    if not isinstance(value, str):
        raise Unfit(Drift.WRONG_TYPE)
    lowered = value.strip().lower()
    if lowered in ("inbound", "outbound"):
        return lowered
    raise Unfit(Drift.OUT_OF_RANGE)


def unified_word(word: str) -> str:
    """Return the form in which words are compared: lower case, with `-` and space as `_`."""
    return word.strip().lower().replace("-", "_").replace(" ", "_")


def status(value: JSON, words: Mapping[str, Status]) -> Status:
    """
    Return the unified status for a provider's word; `words` are the provider's own, keyed by `unified_word`.

    A word not among them is looked up by the names of our statuses. Raises Unfit: `wrong_type` (also for null), `new_status`.
    """
    if not isinstance(value, str):
        raise Unfit(Drift.WRONG_TYPE)
    word = unified_word(value)
    found = words.get(word) or _STATUSES.get(word)
    if found is None:
        raise Unfit(Drift.NEW_STATUS)
    return found


def count(value: JSON) -> int | None:
    """Return a number in a page's envelope (42, 42.0, "42"); None for anything else, since nothing may depend on it."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < 16:
        return int(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53 and value == int(value):
        return int(value)
    return None


def yes(value: JSON) -> bool | None:
    """Return a boolean in a page's envelope (true, "true"); None for anything else."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


_STATUSES = {str(status): status for status in Status if status is not Status.UNKNOWN} | {"cancelled": Status.CANCELED}


def _unusual_instant(value: str) -> datetime:
    """Read the rare valid forms that `fromisoformat` refuses: `z`, 24:00 as the end of a day, a leap second."""
    later = timedelta()
    usual = value.strip().upper()
    if _MIDNIGHT.match(usual):
        usual, later = _MIDNIGHT.sub(r"\g<1>00:00\2", usual), timedelta(days=1)
    elif _LEAP_SECOND.match(usual):
        usual, later = _LEAP_SECOND.sub(r"\g<1>59", usual), timedelta(seconds=1)
    try:
        return datetime.fromisoformat(usual) + later
    except (ValueError, OverflowError):
        raise Unfit(Drift.OUT_OF_RANGE if _DATE.match(value) else Drift.WRONG_TYPE) from None


@lru_cache(maxsize=65_536)
def _phone_number(value: str) -> str:
    written = value if value.isascii() else "".join(map(like_ascii, value))
    written = written.strip().removeprefix("tel:").strip()
    if not _PHONE_NUMBER.fullmatch(written):
        return value
    import phonenumbers  # a tenth of a second, and not every provider has phone numbers

    try:
        number = phonenumbers.parse(written, None)
    except phonenumbers.NumberParseException:
        return value
    if not phonenumbers.is_valid_number(number):
        return value
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def like_ascii(sign: str) -> str:
    """Return what a character of a phone number stands for: an ASCII digit, a hyphen, a blank, nothing, else itself."""
    if (digit := unicodedata.decimal(sign, None)) is not None:
        return str(digit)
    known = _LIKE_ASCII.get(unicodedata.category(sign))
    return unicodedata.normalize("NFKC", sign).replace("\u2212", "-") if known is None else known  # U+2212 is a minus
