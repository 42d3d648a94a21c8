"""Writes instants as an API writes them: learned from one that it wrote."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from etl.model import JSON
from etl.records.parse import Unfit, instant
from etl.records.values import epoch_millis, epoch_seconds, rfc_2822

Read = Callable[[JSON], object]
Write = Callable[[datetime], JSON]

_MILLI = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _iso(at: datetime, places: str, zone: str) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=places) + zone


WAYS: tuple[Write, ...] = (
    *(
        lambda at, places=places, zone=zone: _iso(at, places, zone)
        for places in ("seconds", "milliseconds", "microseconds")
        for zone in ("Z", "+00:00", "")
    ),
    lambda at: _iso(at, "seconds", "").replace("T", " "),
    lambda at: int(at.timestamp()),
    lambda at: (at - _EPOCH) // _MILLI,
    lambda at: str(int(at.timestamp())),
    lambda at: str((at - _EPOCH) // _MILLI),
    lambda at: at.timestamp(),
    lambda at: format_datetime(at.astimezone(UTC)),
    lambda at: format_datetime(at.astimezone(UTC), usegmt=True),
)

KINDS: dict[str, Callable[[JSON], datetime | None]] = {
    "instant": instant,
    "epoch_seconds": epoch_seconds,
    "epoch_millis": epoch_millis,
    "rfc_2822": rfc_2822,
}
"""The parsers of instants that a single value may need, by their names."""

LIKELY = (datetime(2005, 1, 1, tzinfo=UTC), datetime(2060, 1, 1, tzinfo=UTC))


def writer(sample: JSON, read: Read) -> Write | None:
    """Return what writes an instant as `sample` is written, so that `read` reads it; None if that is not known."""
    at = read_or_none(read, sample)
    if not isinstance(at, datetime):
        return None
    other = at + timedelta(hours=1)
    fitting = [way for way in WAYS if type(way(at)) is type(sample) and read_or_none(read, way(other)) == other]
    return next((way for way in fitting if way(at) == sample), fitting[0] if fitting else None)


def read_or_none(read: Read, value: JSON) -> object:
    """Return what a parser makes of a value; None for what it cannot use."""
    try:
        return read(value)
    except (Unfit, TypeError, ValueError, AttributeError):
        return None


def kind_of(value: JSON) -> str | None:
    """Return the name of the parser that reads a value as a likely instant; None if none does."""
    if isinstance(value, bool):
        return None
    for name, read in KINDS.items():
        at = read_or_none(read, value)
        if isinstance(at, datetime) and LIKELY[0] < at < LIKELY[1]:
            return name
    return None


def day_or_instant(value: JSON) -> datetime | None:
    """Return the instant that a filter's value stands for; of a bare date its first."""
    if (name := kind_of(value)) is not None:
        return KINDS[name](value)
    try:
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    except (TypeError, ValueError):
        return None
