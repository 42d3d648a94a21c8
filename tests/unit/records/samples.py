"""Knows what calls of every provider of ours look like: made of its payloads, whatever its keys, clocks and ids are."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from etl import providers
from etl.provider import Provider, all_of
from etl.testing.made import Made, Maker
from etl.testing.payloads import Payloads

PAYLOADS = Path(__file__).parents[2] / "providers" / "payloads"
BEGIN = datetime(2026, 5, 1, 10, tzinfo=UTC)

EVERY = [providers.get(name) for name in providers.OURS]
"""A new provider is held to whatever is asked of these."""

EACH = 400 // len(EVERY)
"""How many examples each of them gets: a new provider costs no time."""


@cache
def _maker(name: str) -> Maker:
    return Maker(providers.get(name), Payloads.of(json.loads((PAYLOADS / f"{name}.json").read_text("utf-8"))))


@cache
def _made(name: str, number: int) -> Made:
    call = _maker(name).call(number, BEGIN + timedelta(seconds=number))
    assert isinstance(call, Made)
    return call


def made(provider: Provider, number: int) -> Made:
    """Return a call as the provider lists it, and as its detail shows it; each number is a call of its own."""
    return _made(provider.name, number)


def marks(provider: Provider) -> tuple[list[str], list[str]]:
    """Return the top-level keys under which a record's id and its cursor stand."""
    ids, cursors = ([key.partition(".")[0] for key in all_of(keys)] for keys in (provider.call_id, provider.cursor))
    return ids, cursors


def bare(provider: Provider) -> st.SearchStrategy[dict[str, Any]]:
    """Return records that hold an id and a cursor and nothing else, as the provider writes them."""
    keys = [key for found in marks(provider) for key in found]

    def only(number: int) -> dict[str, Any]:
        record = made(provider, number).record
        return {key: record[key] for key in keys if key in record}

    return st.integers(0, 200).map(only)
