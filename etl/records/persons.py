"""
Who is named in a record: phone numbers and e-mail addresses, wherever they stand, each in one form however it was written.

Erasure compares these forms, and nothing else: two ways to write one number are one person, two numbers are two.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import msgspec

from etl.json_text import decoded
from etl.model import JSON
from etl.records import parse

FEWEST_DIGITS, MOST_DIGITS = 7, 15
"""How many digits a phone number has: 15 is E.164's bound, and fewer than 7 are no number that names somebody."""

FEWEST, MOST = 10 ** (FEWEST_DIGITS - 1), 10**MOST_DIGITS

LONGEST = 320
"""The longest e-mail address, in characters; of a longer text only what stands inside it is looked at."""

_EMAIL = re.compile(r"[^\s@<>\"'(),;:\[\]\\|=&?/]+@[^\s@<>\"'(),;:\[\]\\|=&?/]+")
_ROW = re.compile(r"\d(?:[ ().\-/]{0,3}\d)*", re.ASCII)
_NUMBER = re.compile(rf"\+? ?\(?{_ROW.pattern}", re.ASCII)
_GROUP = re.compile(r"\d+", re.ASCII)
_WORTH = re.compile(rf"[@:\uff20\ufe6b\uff1a]|(?:\d\D{{0,3}}){{{FEWEST_DIGITS - 1}}}\d")
_BETWEEN = str.maketrans("[]{}:,", "      ")
_UUID = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f])")
_NOBODY = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z|[+-]\d\d:?\d\d)?|" + _UUID.pattern, re.ASCII)
"""Instants and UUIDs, of which records are full: they are passed over, because looking into them takes the most time."""


class Kind(StrEnum):
    """What a person is known by (`sync.erasures.kind`)."""

    PHONE = "phone"
    EMAIL = "email"


class Person(NamedTuple):
    """One phone number or e-mail address, in the form in which it is compared."""

    kind: Kind
    name: str


@lru_cache(maxsize=65_536)
def by_phone(text: str) -> Person | None:
    """
    Return who has this number: its digits, after `parse.address` has read it. None: it is no number that names somebody.

    A number without `+` counts as the same digits with it, and `00` before a number as `+`: else a number that one provider
    writes as 14155550100 would outlive that of another. An address of another kind has a colon (`sip:`), and
    counts in small letters.
    """
    written = _plain(parse.address(text) or "").strip()
    if _NUMBER.fullmatch(written):
        digits = "".join(_GROUP.findall(written)).removeprefix("00")
        return _number("".join(_GROUP.findall(parse.address(f"+{digits}") or "")))
    return Person(Kind.PHONE, _folded(written)) if ":" in written else None


@lru_cache(maxsize=65_536)
def by_email(text: str) -> Person | None:
    """Return who has this e-mail address, whatever its case, its width and the blanks around it; None: it is none."""
    name = _folded(text)
    local, at, domain = name.rpartition("@")
    return Person(Kind.EMAIL, name) if at and local and domain and not any(map(str.isspace, name)) else None


def named(text: str) -> Iterator[Person]:
    """
    Yield everybody who is named in a text, as all of it or inside it.

    An address that is neither a number nor an e-mail address counts as all of it only.
    """
    if names_nobody(text):
        return
    if len(text) <= LONGEST:
        whole = by_phone(text)
        yield from filter(None, (whole, by_email(text) if "@" in text or not text.isascii() else None))
        if whole is not None and whole.name.isdigit():
            return
    yield from _inside(text)


def names_nobody(text: str) -> bool:
    """Whether a text surely names nobody, which of most is seen at a glance."""
    return _WORTH.search(text) is None or _NOBODY.fullmatch(text) is not None


def texts_of(value: JSON) -> list[str]:
    """Return the texts in a decoded record: its keys, its values, and its numbers that could be somebody's, as digits."""
    found: list[str] = []
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, dict):
            found += one
            left += one.values()
        elif isinstance(one, list):
            left += one
        elif isinstance(one, msgspec.Raw):  # too deep to be decoded at once
            left.append(decoded(bytes(one)))
        elif isinstance(one, int | float) and not isinstance(one, bool) and FEWEST <= abs(one) < MOST and one == int(one):
            found.append(str(int(one)))
    return found


def texts_in(text: str) -> set[str]:
    """
    Return what `texts_of` returns of valid JSON in which nothing is escaped, and perhaps more, without decoding it.

    There every second quotation mark ends a string; between strings stand numbers, few of them large enough to be somebody's.
    """
    parts = text.split('"')
    found = set(parts[1::2])
    for word in set("".join(parts[::2]).translate(_BETWEEN).split()):
        if len(word) >= FEWEST_DIGITS or "e" in word.lower():
            found.update(texts_of(decoded(word.encode())))
    return found


def _inside(text: str) -> Iterator[Person]:
    """Yield the e-mail addresses in a text, and the numbers: of digits in groups, every row of groups that could be one."""
    text = _plain(text)
    if "@" in text:
        for found in _EMAIL.findall(text):
            yield from filter(None, map(by_email, {found, found.strip(".!*_~`{}")}))
    for row in _ROW.findall(_UUID.sub(" ", text)):
        groups = [group for group in _GROUP.findall(row) if group != "0"]  # +49 (0)30 …
        for start in range(len(groups)):
            for digits in accumulate(groups[start:]):
                if len(digits) > MOST_DIGITS + 2:
                    break
                if (person := _number(digits)) is not None:
                    yield person


def _number(digits: str) -> Person | None:
    bare = digits.removeprefix("00")
    return Person(Kind.PHONE, bare) if FEWEST_DIGITS <= len(bare) <= MOST_DIGITS else None


def _plain(text: str) -> str:
    """Return a text with digits, dashes and blanks of every script as the ASCII that they look like."""
    return text if text.isascii() else "".join(map(parse.like_ascii, text))


def _folded(text: str) -> str:
    """Return a text as it is compared; folding again changes nothing."""
    if text.isascii():
        return text.lower().strip()
    before = None
    while text != before:  # one step may undo the other's form
        before, text = text, unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", _plain(text)).casefold()).strip()
    return text
