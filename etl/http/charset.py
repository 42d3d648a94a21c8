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
"""Charsets in which a byte that looks like ASCII may be part of another character."""


class Characters(NamedTuple):
    """A body as UTF-8 (broken bytes stay as they are), and the declared charset it was decoded from, if it was another one."""

    text: bytes
    charset: str | None = None
    marks: int = 0  # the number of byte-order marks before the text


def as_utf8(body: bytes, content_type: str) -> Characters:
    """
    Return the body in UTF-8, without byte-order marks and white space before the JSON.

    JSON is UTF-8, and a body that is valid UTF-8 is read as such even if another charset is declared: many servers declare
    ISO-8859-1 by habit, and text in another charset is almost never valid UTF-8. Otherwise the declared charset is used.
    """
    wide = next((name for mark, name in _WIDE if body.startswith(mark)), None)
    declared = wide or _declared(content_type)
    if declared is not None and (wide or _NOT_BY_BYTE.match(declared) or not _is_utf8(body)):
        try:
            return _without_marks(_text(body, declared).encode("utf-8", "surrogatepass"), None if wide else declared)
        except UnicodeError:
            pass  # it is not in the declared charset; unreadable bytes are replaced later
    return _without_marks(body, None)


def _without_marks(body: bytes, charset: str | None) -> Characters:
    text, marks = body.lstrip(_BLANKS), 0
    while text.startswith(_BOM):
        text, marks = text[len(_BOM) :].lstrip(_BLANKS), marks + 1
    return Characters(text, charset, marks)


def _declared(content_type: str) -> str | None:
    """Return the codec of the declared charset, or None if it is UTF-8, ASCII, absent, or unknown to Python."""
    if "charset" not in content_type.lower():
        return None
    header = Message()
    header["content-type"] = content_type
    try:
        codec = codecs.lookup(str(header.get_content_charset() or ""))
    except (LookupError, ValueError):
        return None
    is_text = getattr(codec, "_is_text_encoding", True)  # Python also has codecs from bytes to bytes, such as base64
    return codec.name if is_text and codec.name not in ("utf-8", "ascii", "utf-8-sig") else None


def _text(body: bytes, charset: str) -> str:
    if charset == "iso8859-1":
        try:
            return body.decode("cp1252")  # browsers do the same: text declared so is in fact cp1252
        except UnicodeDecodeError:
            pass
    return body.decode(charset)


def _is_utf8(body: bytes) -> bool:
    try:
        return body.isascii() or bool(body.decode())
    except UnicodeDecodeError:
        return False
