"""
Knows one stretch of a replay: held calls are derived again, and written where they would be otherwise. Knows no API, no SQL.

What a mapping makes otherwise is written in place: no version becomes history, since nothing changed at the provider.
"""

from __future__ import annotations

from typing import NamedTuple

from etl.records.rederive import rederive
from etl.runs.account import Account
from etl.runs.port import Departures, ReplayPage

ROWS = 1_000
"""The number of calls that are derived again in one transaction."""


class Rewritten(NamedTuple):
    """What deriving a stretch of calls did: the last id in it, how many were seen, written, and left as they were against it."""

    last: str
    seen: int
    written: int
    underivable: int
    refused: int
    departures: Departures


def rewrite_stretch(page: ReplayPage, account: Account, *, run_id: int, after: str) -> Rewritten | None:
    """Derive the calls after an id again and write what differs; None where there is none left."""
    held = page.held_after(after, limit=ROWS)
    if not held.calls:
        return None
    found = rederive(account.provider, held, currency=account.currency, run_id=run_id)
    refused = page.rewrite([rewrite for _, rewrite in found.differing])
    departures: dict[tuple[str, str], tuple[int, str]] = {}
    for note, count in found.drift.items():
        before, _ = departures.get((note.path, note.kind.value), (0, ""))
        departures[note.path, note.kind.value] = (before + count, note.sample)
    return Rewritten(
        last=held.calls[-1].call_id,
        seen=len(held.calls),
        written=len(found.differing) - len(refused),
        underivable=len(found.unlike),
        refused=len(refused),
        departures=departures,
    )
