"""
Which characters must not reach a terminal as they are, and how they are shown instead.

A provider, a database or a file may put anything into a text: sequences that clear the screen, a carriage return that writes
over what stood there, marks that turn the reading order round.
"""

from __future__ import annotations

import re

_UNFIT = (
    r"\x00-\x1f\x7f-\x9f"  # control characters, among them ESC, and the C1 ones that some terminals obey
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks of the reading order
    r"\u2028\u2029"  # line and paragraph separators
    r"\u200b\u2060-\u2064\ufeff"  # invisible: two names would look the same
    r"\ud800-\udfff"  # lone surrogates, which no encoding holds
)
_IN_A_LINE = re.compile(f"[{_UNFIT}]")
_IN_LINES = re.compile(f"(?!\n)[{_UNFIT}]")


def printable(text: str) -> str:
    r"""Return the text as one line that a terminal only shows: `\x1b` stands for an escape character, `\n` for a line end."""
    return _IN_A_LINE.sub(_escape, text)


def printable_lines(text: str) -> str:
    """Return the text as lines that a terminal only shows; for texts whose line ends are ours."""
    return _IN_LINES.sub(_escape, text)


def json_safe(document: str) -> str:
    """Return a JSON document that means the same and that a terminal only shows; its line ends stay."""
    return _IN_LINES.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")
