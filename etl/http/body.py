"""
Splits a response body into records as raw JSON text, without decoding them.

Providers send text that no JSON decoder or database accepts. It is repaired inside strings and literals only, so that every
number keeps its digits and a body that was cut off is never completed:

    raw control characters in strings     escaped, the value stays as it is
    NUL, lone surrogates, broken UTF-8    U+FFFD takes their place, the record counts as cleaned
    NaN, Infinity, -Infinity              null, the record counts as cleaned
    a backslash that begins no escape     stands for itself, the record counts as cleaned
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

import msgspec

from etl import json_text
from etl.http.charset import as_utf8
from etl.model import JSON, Drift, DriftNote

_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_VALUE = msgspec.json.Decoder()

_LITERAL = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|-?\bInfinity\b|\bNaN\b', re.DOTALL)
_SUSPECT = re.compile(r"\\u(?:0000|[dD]|(?![0-9a-fA-F]{4}))|\\[^\"\\/bfnrtu]|[\x00-\x1f\ud800-\udfff]", re.DOTALL)
_MEND = re.compile(
    r"(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?P<lost>\\u0000|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|[\x00\ud800-\udfff])"
    r"|(?P<escape>\\(?:[\"\\/bfnrt]|u[0-9a-fA-F]{4}))"
    r"|(?P<bad>\\)"
    r"|(?P<control>[\x01-\x1f])"
)
_PAGE = re.compile(rb"<(?:!doctype\s+html|html|head|body|title|script|meta)\b", re.IGNORECASE)
_PAGE_BEGINS = 2048
_PRIVATE = range(0xE000, 0xF8FF)
_REPLACEMENT = "\ufffd"

Taken = TypeVar("Taken")


class Unreadable(Exception):
    """The body is not JSON, even after repair."""


class WebPage(Unreadable):
    """The body is a web page."""


class Unexpected(Exception):
    """The body is JSON but lacks the requested list or object. `value` is the whole body, decoded."""

    def __init__(self, value: JSON) -> None:
        super().__init__("JSON without what was asked for")
        self.value = value


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """
    The records as JSON text, the other top-level fields decoded, and which records had to be cleaned.

    `envelope` is the part that may show the body to be an error after all: the fields, or the record if the body is the record,
    or None if the body is a list. `departures` lists what differs from the documented form but was understood. `stated` is false
    where an empty list was only inferred, from null or from a response without content.
    """

    records: tuple[bytes, ...]
    fields: Mapping[str, JSON] = field(default_factory=dict)
    cleaned: frozenset[int] = frozenset()
    envelope: JSON = None
    departures: frozenset[DriftNote] = frozenset()
    stated: bool = True


# ── What the client asks for ────────────────────────────────────────────────────────────────────────────────────────


def read_list(body: bytes, keys: tuple[str, ...], *, content_type: str = "") -> Body:
    """
    Slice the list under the first of `keys` that holds one, or the body itself if `keys` is empty.

    Null in place of the list counts as an empty list, an object of numbered records as a list. Raises Unreadable and Unexpected.
    """
    return _read(body, lambda text: _list_in(text, keys), content_type)


def read_one(body: bytes, key: str | None, *, content_type: str = "") -> Body:
    """Take the object under `key`, or the body itself for None, as the only record. Raises Unreadable and Unexpected."""
    return _read(body, lambda text: _one_in(text, key), content_type)


def no_content() -> Body:
    """Return the empty list that HTTP 204 stands for."""
    return Body(records=(), departures=frozenset({departure("status", Drift.OUT_OF_RANGE, "204")}), stated=False)


def departure(part: str, kind: Drift, sample: str) -> DriftNote:
    """Return a note about an answer as a whole; its path cannot be one inside a record."""
    return DriftNote(f"(answer).{part}", kind, sample)


def read_error(body: bytes, *, content_type: str = "") -> JSON:
    """Return an error body decoded, None where it is not JSON."""
    try:
        return _attempts(as_utf8(body, content_type).text, lambda text: text.value(text.raw))
    except Unreadable:
        return None


def _list_in(text: _Text, keys: tuple[str, ...]) -> Body:
    if not keys:
        if text.raw.strip() == b"null":
            return Body(records=(), departures=frozenset({departure("list", Drift.WRONG_TYPE, "null")}), stated=False)
        return text.records_of(text.raw, {})
    others = text.object_fields()
    for key in keys:
        if key in others and others[key][:1] == b"[":
            return text.records_of(others.pop(key), others)
    for key in keys:
        if key in others and (listed := _meant_as_list(text, others[key])) is not None:
            kind = "null" if others[key] == b"null" else "object"
            found = text.records_of(listed, {name: value for name, value in others.items() if name != key})
            noted = frozenset({DriftNote(key, Drift.WRONG_TYPE, kind)})
            return replace(found, departures=noted, stated=kind != "null")
    raise Unexpected(text.value(text.raw))


def _meant_as_list(text: _Text, value: bytes) -> bytes | None:
    """
    Return the list that a value stands for which is none: null, or an object of numbered records.

    Some languages have one type for lists and maps, and write a list with gaps as an object. An empty object says nothing.
    """
    if value == b"null":
        return b"[]"
    if value[:1] != b"{":
        return None
    numbered = replace(text, raw=value).object_fields()
    return b"[" + b",".join(numbered.values()) + b"]" if numbered and all(map(str.isdecimal, numbered)) else None


def _one_in(text: _Text, key: str | None) -> Body:
    others = text.object_fields()
    if key is None:
        return replace(text.records_of(b"[" + text.raw + b"]", {}), envelope=text.value(text.raw))
    if key not in others or others[key][:1] != b"{":
        raise Unexpected(text.value(text.raw))
    return text.records_of(b"[" + others.pop(key) + b"]", others)


def _read(body: bytes, take: Callable[[_Text], Body], content_type: str) -> Body:
    characters = as_utf8(body, content_type)
    found = _attempts(characters.text, take)
    departures = set(found.departures)
    if characters.charset is not None:
        departures.add(departure("charset", Drift.OUT_OF_RANGE, characters.charset))
    if characters.marks:
        departures.add(departure("byte_order_mark", Drift.CLEANED_TEXT, "string"))
    return replace(found, departures=frozenset(departures)) if departures else found


def _attempts(body: bytes, take: Callable[[_Text], Taken]) -> Taken:
    """Apply `take` to the text as it is or, if that fails, to the repaired text."""
    if not body:
        raise Unreadable("an empty body")
    has_nul = b"\\" in body and b"\\u0000" in body  # searching for one byte is ten times as fast as for six
    if not has_nul and _is_utf8(body):
        with suppress(ValueError, RecursionError):  # then try again with the repaired text
            return take(_Text(raw=body))
    try:
        return take(_Text.mended(body))
    except (ValueError, RecursionError) as error:
        is_page = body.lstrip().startswith(b"<") and _PAGE.search(body[:_PAGE_BEGINS])
        raise (WebPage if is_page else Unreadable)("not JSON") from error


def _is_utf8(body: bytes) -> bool:
    try:
        return body.isascii() or bool(body.decode())
    except UnicodeDecodeError:
        return False


# ── Text that can be sliced ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """
    Text that should be JSON.

    In repaired text, `lost` is the character that replaces what was removed, `slash` the one that replaces a backslash that
    begins no escape, and `nothing` the string that replaces NaN and Infinity. The body itself contains none of the three, so they
    show which records were changed.
    """

    raw: bytes
    lost: bytes = b""
    slash: bytes = b""
    nothing: bytes = b""

    @classmethod
    def mended(cls, body: bytes) -> _Text:
        text = body.decode("utf-8", "surrogateescape")
        lost, slash, nothing = _unused(text, 3)
        raw = _LITERAL.sub(lambda found: _mend(found[0], lost=lost, slash=slash, nothing=nothing), text).encode()
        return cls(raw=raw, lost=lost.encode(), slash=slash.encode(), nothing=f'"{nothing}"'.encode())

    def object_fields(self) -> dict[str, bytes]:
        """Return the body's top-level fields. Raises Unexpected if the body is not an object."""
        try:
            found, whole = json_text.sliced(_OBJECT.decode, self.raw)
        except msgspec.ValidationError:
            raise Unexpected(self.value(self.raw)) from None
        return {key: whole(bytes(raw)) for key, raw in found.items()}

    def records_of(self, array: bytes, others: Mapping[str, bytes]) -> Body:
        """Slice the array; decode the other fields."""
        try:
            found, whole = json_text.sliced(_ARRAY.decode, array)
        except msgspec.ValidationError:
            raise Unexpected(self.value(self.raw)) from None
        records = tuple([whole(bytes(record)) for record in found])
        fields = {self._clean(key.encode()).decode(): self.value(raw) for key, raw in others.items()}
        if not self.lost:
            return Body(records=records, fields=fields, envelope=fields or None)
        clean = tuple(map(self._clean, records))
        touched = frozenset(index for index, record in enumerate(records) if clean[index] != record)
        return Body(records=clean, fields=fields, cleaned=touched, envelope=fields or None)

    def value(self, raw: bytes) -> JSON:
        """Decode one value; a number too large for a float becomes null."""
        raw = self._clean(raw)
        try:
            return _VALUE.decode(raw)
        except msgspec.ValidationError:
            return json.loads(raw, parse_float=_finite)
        except RecursionError:
            return json_text.decoded(raw)

    def _clean(self, raw: bytes) -> bytes:
        """Replace the three placeholders by their final text."""
        if not self.lost or not any(sign in raw for sign in (self.lost, self.slash, self.nothing)):
            return raw
        clean = raw.replace(self.nothing, b"null").replace(self.slash, b"\\\\").replace(self.lost, _REPLACEMENT.encode())
        json_text.check(clean)  # rejects a bare NaN that stood where only a key is allowed
        return clean


def _unused(text: str, count: int) -> list[str]:
    """Return `count` characters that the text does not contain."""
    free = list(islice((chr(code) for code in _PRIVATE if chr(code) not in text), count))
    if len(free) < count:
        raise Unreadable("a body that uses every private character")
    return free


def _mend(literal: str, *, lost: str, slash: str, nothing: str) -> str:
    """Repair one string, or replace one literal that JSON lacks (NaN, Infinity)."""
    if not literal.startswith('"'):
        return f'"{nothing}"'
    if not _SUSPECT.search(literal):
        return literal

    def mended(found: re.Match[str]) -> str:
        if found["lost"]:
            return lost
        if found["bad"]:
            return slash
        return f"\\u{ord(found[0]):04x}" if found["control"] else found[0]

    return _MEND.sub(mended, literal)


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None
