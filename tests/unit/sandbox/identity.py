"""Knows by which key each provider's records name a call."""

from __future__ import annotations

from typing import Any


def identity(record: Any) -> str:
    """Return a record's id, whichever provider it is of."""
    return str(next(record[key] for key in ("id", "call_id", "sid") if key in record))
