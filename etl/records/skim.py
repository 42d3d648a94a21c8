"""Reads only the id and the cursor of records: compiled from a provider's form, and fast where both stand under plain keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from etl import json_text
from etl.model import JSON
from etl.provider import Keys, Provider, all_of
from etl.records import parse
from etl.records.reach import Reach, reacher, shown

TOGETHER = 64
"""
How many texts are decoded together: enough to make the cost of the call negligible, few enough that the memory for their copy is
reused instead of requested from the system each time, and that other threads need not wait for long.
"""

Found = TypeVar("Found")
"""What a parser makes of a value."""


class Skim(NamedTuple):
    """
    Decoders that read only a call's id and cursor from its record's text: `one` of one record, `many` of several at once.

    Both raise msgspec.MsgspecError and RecursionError, and Unfit where a path leads through what is no object; `many` also raises
    ValueError if a text is not exactly one JSON value.
    """

    one: Callable[[bytes], tuple[JSON, JSON]]
    many: Callable[[Sequence[bytes]], tuple[list[JSON], list[JSON]]]


class Mark(NamedTuple, Generic[Found]):
    """What marks a record, its id or its cursor: where it stands, and how it is read."""

    key: str  # of several keys a list of them, as messages show it
    reach: Reach
    read: Callable[[JSON], Found | None]
    read_all: Callable[[Sequence[JSON]], Sequence[Found | None]]  # of a page; may raise where `read` would not


def skim_of(provider: Provider) -> Skim:
    """Return the decoders for a provider's records; nothing but the keys that lead to id and cursor is decoded."""
    heads = [key.partition(".")[0] for keys in (provider.call_id, provider.cursor) for key in all_of(keys)]
    keys = list(dict.fromkeys(heads))
    names = [f"_{place}" for place in range(len(keys))]
    skimmed = msgspec.defstruct(
        "Skimmed", [(name, Any, None) for name in names], rename=dict(zip(names, keys, strict=True)), gc=False
    )
    decode, decode_all = msgspec.json.Decoder(skimmed).decode, list_decoder(skimmed)
    if heads == [provider.call_id, provider.cursor]:
        first, last, both = attrgetter(names[0]), attrgetter(names[-1]), attrgetter(names[0], names[-1])

        def many(texts: Sequence[bytes]) -> tuple[list[JSON], list[JSON]]:
            found = decode_all(texts)
            return list(map(first, found)), list(map(last, found))

        return Skim(one=lambda text: both(decode(text)), many=many)

    given, placed = reacher(provider.call_id), reacher(provider.cursor)

    def marks(found: JSON) -> tuple[JSON, JSON]:
        value = {key: getattr(found, name) for key, name in zip(keys, names, strict=True)}
        return given(value, None), placed(value, None)

    def all_marks(texts: Sequence[bytes]) -> tuple[list[JSON], list[JSON]]:
        found = list(map(marks, decode_all(texts)))
        return [one for one, _ in found], [one for _, one in found]

    return Skim(one=lambda text: marks(decode(text)), many=all_marks)


def mark_of(keys: Keys, read: Callable[[JSON], Found | None]) -> Mark[Found]:
    """Return the mark that stands under these keys; the usual parsers read a page's values all at once."""
    together: dict[JSON, JSON] = {parse.identifier: parse.identifiers, parse.instant: parse.instants}
    return Mark(shown(keys), reacher(keys), read, together.get(read) or partial(_each, read))


def _each(read: Callable[[JSON], Found | None], values: Sequence[JSON]) -> list[Found | None]:
    """Read every value. Raises Unfit, and TypeError where one is null."""
    if any(value is None for value in values):
        raise TypeError
    return list(map(read, values))


def list_decoder(kind: type[Any]) -> Callable[[Sequence[bytes]], list[Any]]:
    """
    Return a decoder of many texts, each one JSON value of `kind`. It decodes `TOGETHER` at a time, twice as fast as one by one.

    It raises msgspec.MsgspecError and RecursionError, and ValueError if a text is not exactly one value.
    """
    decode = msgspec.json.Decoder(list.__class_getitem__(kind), float_hook=json_text.number).decode

    def decode_all(texts: Sequence[bytes]) -> list[Any]:
        found: list[Any] = []
        for start in range(0, len(texts), TOGETHER):
            found += decode(b"[" + b",".join(texts[start : start + TOGETHER]) + b"]")
        if len(found) != len(texts):
            raise ValueError("a text that is not exactly one value")
        return found

    return decode_all
