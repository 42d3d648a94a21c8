"""Decodes a body's bytes to characters by byte-order mark and declared charset."""

from __future__ import annotations

import codecs
import re
from email.message import Message
from typing import NamedTuple

_BLANKS = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_WIDE = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_NOT_BY_BYTE = re.compile(r"utf[-_]?(16|32|7)|iso2022|hz")
"""In these, bytes that look like ASCII are not."""


class Characters(NamedTuple):
    """A body as UTF-8 (where it is broken, so it stays), and the charset it was declared and found to be in, if another."""

    text: bytes
    charset: str | None = None
    marks: int = 0  # byte-order marks and blanks among them that stood before it


def as_utf8(body: bytes, content_type: str) -> Characters:
    """
    Return the body in UTF-8, without what stands before the JSON.

    JSON is UTF-8, and what is valid UTF-8 is taken for it, whatever was declared: many servers declare
    ISO-8859-1 by habit, and text in another charset is next to never valid UTF-8. Otherwise the declared charset counts.
    """
    wide = next((name for mark, name in _WIDE if body.startswith(mark)), None)
    declared = wide or _declared(content_type)
    if declared is not None and (wide or _NOT_BY_BYTE.match(declared) or not _is_utf8(body)):
        try:
            return _without_marks(_text(body, declared).encode("utf-8", "surrogatepass"), None if wide else declared)
        except UnicodeError:
            pass  # it is not what it was declared to be: what cannot be read in it is replaced later
    return _without_marks(body, None)


def _without_marks(body: bytes, charset: str | None) -> Characters:
    text, marks = body.lstrip(_BLANKS), 0
    while text.startswith(_BOM):
        text, marks = text[len(_BOM) :].lstrip(_BLANKS), marks + 1
    return Characters(text, charset, marks)


def _declared(content_type: str) -> str | None:
    """Return the codec of the declared charset, None where it is UTF-8, ASCII, absent, or nothing that Python knows."""
    if "charset" not in content_type.lower():
        return None
    header = Message()
    header["content-type"] = content_type
    try:
        codec = codecs.lookup(str(header.get_content_charset() or ""))
    except (LookupError, ValueError):
        return None
    is_text = getattr(codec, "_is_text_encoding", True)  # there are codecs of bytes too, such as base64
    return codec.name if is_text and codec.name not in ("utf-8", "ascii", "utf-8-sig") else None


def _text(body: bytes, charset: str) -> str:
    if charset == "iso8859-1":
        try:
            return body.decode("cp1252")  # what is declared so is in truth this, which holds more letters, as browsers know
        except UnicodeDecodeError:
            pass
    return body.decode(charset)


def _is_utf8(body: bytes) -> bool:
    try:
        return body.isascii() or bool(body.decode())
    except UnicodeDecodeError:
        return False
