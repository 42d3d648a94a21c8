"""
Decodes and encodes JSON text with numbers of any length and nesting of any depth.

A number with more digits than a float can hold is a `LongNumber`: a float that keeps its original text.

Python's decoders recurse once per level and give up near the interpreter's limit, which we must not change, while Postgres
accepts JSON several thousand levels deep. So text that is too deep is folded: each container that begins on a level which is a
multiple of `LEVELS` is cut out, decoded by itself, and replaced by a `msgspec.Raw`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn, Self, TypeVar

import msgspec

LEVELS = 100
"""The number of levels that are decoded together."""

_LONG_INTEGER = 300  # digits; no column could hold more, and Python refuses integers of more than 4,300
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)
_PRIVATE = range(0xE000, 0xF8FF)
_EXACT = 15  # the number of significant digits that every float can hold


Sliced = TypeVar("Sliced")


class LongNumber(float):
    """A number as a float, and the text that it was written as."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """Make the float, and keep the text."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def number(text: str) -> float:
    """Return the number as a float; a `LongNumber` if it may have more digits than a float can hold."""
    return float(text) if len(text) <= _EXACT else LongNumber(text)


def _as_written(value: object) -> msgspec.Raw:
    if isinstance(value, LongNumber):
        return msgspec.Raw(value.text.encode())
    raise NotImplementedError(f"{type(value).__name__} is not JSON")


encoded = msgspec.json.Encoder(order="sorted", enc_hook=_as_written).encode
"""Encodes a value as JSON, with sorted keys and every number as it was written."""

_decode = msgspec.json.Decoder(float_hook=number).decode
_check = msgspec.json.Decoder(msgspec.Raw).decode


def decoded(text: bytes) -> object:
    """
    Return the decoded text, or None if it is not JSON. Numbers too large for any type become infinite.

    In text that is too deep, containers below `LEVELS` levels are returned as `msgspec.Raw` in canonical form.
    """
    try:
        return _value(text)
    except RecursionError:
        pass
    except (msgspec.MsgspecError, ValueError):
        return None
    try:
        folded = fold(text)
        return folded.filled(_value(folded.text))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _exactly(value: object) -> object:
    """Return a float as the decimal that was written, anything else unchanged."""
    if isinstance(value, LongNumber):
        return Decimal(value.text)
    return Decimal(repr(value)) if isinstance(value, float) else value


def check(text: bytes) -> None:
    """Raise ValueError (msgspec.DecodeError is one) if the text is not JSON, at any depth."""
    try:
        _check(text)
    except RecursionError:
        folded = fold(text)
        folded.filled(_value(folded.text))


def same(one: object, other: object) -> bool:
    """Whether two decoded values are equal as JSON: true is not 1, 1.0 is 1, and the order of keys does not matter."""
    pairs = [(one, other)]
    while pairs:
        one, other = pairs.pop()
        if isinstance(one, msgspec.Raw) or isinstance(other, msgspec.Raw):
            # How deep a text is decoded depends on the room left on the stack, so one of the two may be decoded further.
            if encoded(one) != encoded(other):
                return False
        elif isinstance(one, dict) and isinstance(other, dict):
            if one.keys() != other.keys():
                return False
            pairs += [(value, other[key]) for key, value in one.items()]
        elif isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return False
            pairs += zip(one, other, strict=True)
        elif isinstance(one, LongNumber) or isinstance(other, LongNumber):
            if encoded(one) != encoded(other) and _exactly(one) != _exactly(other):
                return False
        elif isinstance(one, bool) != isinstance(other, bool) or one != other:
            return False
    return True


def sliced(take: Callable[[bytes], Sliced], text: bytes) -> tuple[Sliced, Callable[[bytes], bytes]]:
    """Return `take(text)`, with the text folded if it is too deep, and a function that unfolds a slice of the result."""
    try:
        return take(text), bytes
    except RecursionError:
        folded = fold(text)
        return take(folded.text), folded.restored


class Folded(NamedTuple):
    """Text whose deep containers are cut out. Each is replaced by a string that consists of `mark` and the container's number."""

    text: bytes
    mark: str
    pieces: list[bytes]  # the original text of containers cut out of `text` itself; empty for inner ones
    canonical: list[msgspec.Raw]

    def restored(self, part: bytes) -> bytes:
        """Return a part of the folded text with the original containers put back."""
        mark = self.mark.encode()
        if mark not in part:
            return part
        return re.sub(b'"%s([0-9]+)"' % mark, lambda found: self.pieces[int(found[1])], part)

    def filled(self, value: Any) -> Any:
        """Return a value decoded from folded text, with the containers put back. Raises ValueError if one stands as a key."""
        if isinstance(value, str):
            return self.canonical[int(value.removeprefix(self.mark))] if value.startswith(self.mark) else value
        if isinstance(value, list):
            return [self.filled(inner) for inner in value]
        if isinstance(value, dict):
            if any(key.startswith(self.mark) for key in value):
                raise ValueError("a container in the place of a key")
            return {key: self.filled(inner) for key, inner in value.items()}
        return value


@dataclass(slots=True)
class _Piece:
    """One container that is being cut out: where it starts, and its text so far."""

    start: int
    copied: int
    parts: list[bytes] = field(default_factory=list)


def fold(text: bytes) -> Folded:
    """Cut out deep containers, the innermost first. Raises ValueError if brackets do not match or a container is not JSON."""
    mark = _unused_mark(text)
    folded = Folded(b"", mark, [], [])
    above = [_Piece(0, 0)]
    depth = 0
    for token in _TOKEN.finditer(text):
        sign = text[token.start()]
        if sign == 0x22:  # a string
            continue
        if sign in b"[{":
            if depth and depth % LEVELS == 0:
                above.append(_Piece(token.start(), token.start()))
            depth += 1
            continue
        depth -= 1
        if depth < 0:
            raise ValueError("a bracket that closes nothing")
        if depth and depth % LEVELS == 0:
            piece = above.pop()
            inner = b"".join([*piece.parts, text[piece.copied : token.end()]])
            number = len(folded.canonical)
            folded.canonical.append(msgspec.Raw(encoded(folded.filled(_value(inner)))))
            folded.pieces.append(text[piece.start : token.end()] if len(above) == 1 else b"")
            outer = above[-1]
            outer.parts += [text[outer.copied : piece.start], f'"{mark}{number}"'.encode()]
            outer.copied = token.end()
    if depth:
        raise ValueError("a bracket that is never closed")
    outermost = above[0]
    return folded._replace(text=b"".join([*outermost.parts, text[outermost.copied :]]))


def _unused_mark(text: bytes) -> str:
    """Return a character that the text does not contain, not even escaped."""
    lowered = text.lower()
    for code in _PRIVATE:
        if chr(code).encode() not in text and b"\\u%04x" % code not in lowered:
            return chr(code)
    raise ValueError("text that uses every private character")


def _value(text: bytes) -> Any:
    """Decode the text; numbers too large for any type become infinite. Raises ValueError and RecursionError."""
    try:
        return _decode(text)
    except msgspec.MsgspecError:
        return json.loads(text, parse_float=number, parse_int=_integer, parse_constant=_no_constant)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < _LONG_INTEGER else float(digits)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
