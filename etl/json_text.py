"""Knows how a record's JSON text is decoded, whatever numbers it holds; knows no record."""

from __future__ import annotations

import json
from typing import NoReturn

import msgspec

_LONG_INTEGER = 300  # digits; beyond, Python would not read it as an integer, and no column could hold it
_decode = msgspec.json.Decoder().decode


def decoded(text: bytes) -> object:
    """Return the decoded text; None where nothing can read it. Numbers that no type can hold become infinite."""
    try:
        return _decode(text)
    except (msgspec.MsgspecError, RecursionError):
        try:
            found: object = json.loads(text, parse_int=_integer, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return None
        return found


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < _LONG_INTEGER else float(digits)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
