"""
Writes numbers, instants and durations for people, and escapes characters that must not reach a terminal unchanged.

Text from a provider, a database or a file may contain anything: sequences that clear the screen, a carriage return that lets text
overwrite what was there, or marks that reverse the reading order.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_UNFIT = (
    r"\x00-\x1f\x7f-\x9f"  # control characters, among them ESC, and the C1 ones that some terminals obey
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks of the reading order
    r"\u2028\u2029"  # line and paragraph separators
    r"\u200b\u2060-\u2064\ufeff"  # invisible: two names would look the same
    r"\ud800-\udfff"  # lone surrogates, which no encoding holds
)
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
_IN_A_LINE = re.compile(f"[{_UNFIT}]")
_IN_LINES = re.compile(f"(?!\n)[{_UNFIT}]")


def printable(text: str) -> str:
    r"""Return the text as one line that is safe to print: an escape character is shown as `\x1b`, a line end as `\n`."""
    return _IN_A_LINE.sub(_escape, text)


def printable_lines(text: str) -> str:
    """Return the text as lines that are safe to print; for text whose line ends are our own."""
    return _IN_LINES.sub(_escape, text)


def json_safe(document: str) -> str:
    """Return an equivalent JSON document that is safe to print; its line ends are kept."""
    return _IN_LINES.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def number_of(number: int, one: str, many: str = "") -> str:
    """Return a number with what it counts: `1 call`, `2,000 calls`; `many` is the plural unless an s makes it."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def instant_text(value: datetime) -> str:
    """Return an instant by the second, or by the millisecond where it has a part of one."""
    return value.strftime("%Y-%m-%d %H:%M:%S") if value.microsecond == 0 else f"{value:%Y-%m-%d %H:%M:%S}.{value:%f}"[:23]


def duration(value: timedelta) -> str:
    """Return a duration by its two largest units: `3d 4h`, `12s`."""
    seconds = int(abs(value).total_seconds())
    parts = []
    for size, unit in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return ("-" if value < timedelta() else "") + (" ".join(parts[:2]) or "0s")


def age(value: timedelta) -> str:
    """Return a duration by its largest unit, in words: `3 hours`; a negative one is `0 seconds`."""
    seconds = max(int(value.total_seconds()), 0)
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return number_of(seconds // size, unit)
    return number_of(seconds, "second")


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")
