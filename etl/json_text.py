"""Decodes JSON text, whatever numbers it holds."""

from __future__ import annotations

import json
from typing import NoReturn

import msgspec

_LONG_INTEGER = 300  # digits; no column could hold a longer one, and Python refuses very long ones
_decode = msgspec.json.Decoder().decode


def decoded(text: bytes) -> object:
    """Return the decoded text; None if it is not JSON. Numbers too large for any type become infinite."""
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
