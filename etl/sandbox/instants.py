"""Instants in the sandbox: microseconds since 1970 in UTC, and the forms in which providers write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - formats faster; never leaves this file
_MICROSECOND = timedelta(microseconds=1)


def count(moment: datetime) -> int:
    """Return an aware datetime as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(micros: int) -> datetime:
    """Return microseconds since 1970 as an aware datetime."""
    return _EPOCH + timedelta(microseconds=micros)


def to_millis(micros: int) -> str:
    """Write `2026-03-15T14:30:00.000Z`, as Tuple and BimpeAI do."""
    return (_PLAIN_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="milliseconds") + "Z"


def to_seconds(micros: int) -> str:
    """Write `2026-03-15T14:30:00Z`, as Salpre does."""
    return (_PLAIN_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="seconds") + "Z"


def to_micros(micros: int) -> str:
    """Write `2026-03-15T14:30:00.000000+00:00`, as a Postgres-backed API such as KrosAI's does (assumed)."""
    return (_PLAIN_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds") + "+00:00"


def to_day(micros: int) -> str:
    """Write `2026-03-15`, the day in UTC."""
    return (_PLAIN_EPOCH + timedelta(microseconds=micros)).date().isoformat()


def to_rfc_2822(micros: int) -> str:
    """Write `Fri, 18 Oct 2019 17:00:00 +0000`, as Twilio does."""
    return format_datetime(moment(micros // SECOND * SECOND))


def to_http_date(micros: int) -> str:
    """Write an HTTP date, floored to the second."""
    return format_datetime(moment(micros // SECOND * SECOND), usegmt=True)


def read(text: object) -> int | None:
    """Read an ISO 8601 date or datetime (without an offset: UTC), whole seconds, or a date of a mail; else None."""
    if isinstance(text, int) and not isinstance(text, bool) and 0 < text < 1 << 36:
        return text * SECOND
    if not isinstance(text, str):
        return None
    try:
        parsed = parsedate_to_datetime(text) if text[:3].isalpha() else datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    try:
        return count(parsed)
    except OverflowError:
        return None
